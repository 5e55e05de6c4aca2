//! The local copy of a partition: rows in memory over an LMDB environment, and the changelog offset that they are at.
//! Must not know when it is written.

use std::{rc::Rc, time::Duration};

use crate::{
    base::error::Error,
    engine::table::rows::Rows,
    store::{Position, Store},
};

/// How long a partition without room on the disk rests before it tries again: at first, and at most.
const REST_MIN: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(15);

/// A partition's local copy.
#[derive(Default)]
pub(crate) struct Copy {
    rows: Rc<Rows>,
    /// `None` for a group without a table, and while it is not open.
    store: Option<Store>,
    /// Next offset of the changelog, behind the rows that belong to the acknowledged positions.
    changelog: i64,
    /// Whether it lacks acknowledged rows or positions.
    is_behind: bool,
    stored_at: Duration,
    /// How often it found no room on the disk since it was stored last.
    rests: u32,
    rests_until: Duration,
}

impl Copy {
    pub(crate) fn rows(&self) -> &Rc<Rows> {
        &self.rows
    }

    pub(crate) fn is_open(&self) -> bool {
        self.store.is_some()
    }

    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The rows in memory, and what is under them, for who reads the changelog into it.
    pub(crate) fn layers(&mut self) -> Option<(&Rows, &mut Store)> {
        Some((&self.rows, self.store.as_mut()?))
    }

    /// Puts an environment under the rows, of which nothing is in memory.
    ///
    /// # Errors
    /// The environment cannot be read.
    pub(crate) fn open(&mut self, store: Store) -> Result<(), Error> {
        self.store = Some(store);
        self.reload()
    }

    /// Forgets what is not stored, and sees the environment as it is.
    ///
    /// # Errors
    /// The environment cannot be read.
    pub(crate) fn reload(&mut self) -> Result<(), Error> {
        self.rows.reload(self.store.as_ref())
    }

    /// Forgets the rows in memory and gives the environment away.
    pub(crate) fn take(&mut self) -> Option<Store> {
        self.rows.forget();
        self.store.take()
    }

    /// Next offset of the changelog, behind acknowledged rows.
    pub(crate) fn changelog(&self) -> i64 {
        self.changelog
    }

    pub(crate) fn set_changelog(&mut self, next: i64) {
        self.changelog = next;
    }

    /// Rows up to this changelog offset were acknowledged; `None`: none was written.
    pub(crate) fn acknowledge(&mut self, changelog: Option<i64>) {
        match self.store {
            Some(_) => self.rows.settle(),
            None => self.rows.forget(),
        }
        self.changelog = changelog.unwrap_or(self.changelog);
        self.is_behind = true;
    }

    /// Whether it lacks something that was acknowledged.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// When it was written last.
    pub(crate) fn stored_at(&self) -> Duration {
        self.stored_at
    }

    /// Writes the acknowledged rows, the changelog offset behind them and the positions in the sources, in one
    /// transaction, or in parts of which the last one has the offset and the positions; `part` is called between parts.
    ///
    /// # Errors
    /// The disk has no room, or the environment fails.
    pub(crate) fn write(
        &mut self,
        now: Duration,
        (inputs, at_ms): (Vec<(String, i64)>, i64),
        kept: usize,
        part: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.stored_at = now;
        if let Some(store) = &mut self.store {
            let position = Position {
                table: self.changelog,
                inputs,
                at_ms,
            };
            self.rows.store(store, position, kept, part)?;
        }
        (self.is_behind, self.rests) = (false, 0);
        Ok(())
    }

    /// Writes another position, without rows.
    ///
    /// # Errors
    /// The disk has no room, or the environment fails.
    pub(crate) fn move_to(&mut self, position: Position) -> Result<(), Error> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        store.batch().and_then(|batch| batch.commit(position))
    }

    /// Forgets rows that are not stored. What is stored stays, and is behind nothing.
    pub(crate) fn drop_uncommitted(&mut self) {
        self.rows.forget();
        self.is_behind = false;
    }

    /// The partition begins to run: the claim gave the group everything that the copy stands for.
    pub(crate) fn drop_behind(&mut self) {
        self.is_behind = false;
    }

    /// There is no room on the disk: rests, for longer each time.
    pub(crate) fn rest(&mut self, now: Duration) {
        let rest = REST_MIN.saturating_mul(1 << self.rests.min(10));
        self.rests += 1;
        self.rests_until = now + rest.min(REST_MAX);
    }

    pub(crate) fn is_resting(&self, now: Duration) -> bool {
        now < self.rests_until
    }
}
