//! The local copy of a partition: rows in memory on top of an LMDB environment, and the changelog offset after the
//! acknowledged rows. Must not know when the copy is written.

use std::{rc::Rc, time::Duration};

use crate::{
    base::error::Error,
    engine::table::{overlay::Overlay, rows::Rows},
    store::{Position, Store},
};

/// How long a partition rests when the disk has no space for the first time. Each further rest is twice as long, up to
/// `REST_MAX`.
const REST_MIN: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(15);

/// A partition's local copy.
#[derive(Default)]
pub(crate) struct Copy {
    rows: Rc<Rows>,
    /// `None` for a group without a table, and while the copy is not open.
    store: Option<Store>,
    /// The changelog offset after the acknowledged rows.
    changelog: i64,
    /// Whether the environment lacks acknowledged rows or positions.
    is_behind: bool,
    stored_at: Duration,
    /// Since when a store is due that waits for the group's answer. `None`: no store waits.
    due_since: Option<Duration>,
    /// How many times the disk has had no space since the copy was last written.
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

    /// The rows in memory and the environment under them, for restoring. `None`: the copy is not open.
    pub(crate) fn layers(&mut self) -> Option<(&Rows, &mut Store)> {
        Some((&self.rows, self.store.as_mut()?))
    }

    /// Opens the copy with this environment.
    ///
    /// # Errors
    /// The environment cannot be read.
    pub(crate) fn open(&mut self, store: Store) -> Result<(), Error> {
        self.store = Some(store);
        self.reload()
    }

    /// Forgets the rows in memory, and takes a new snapshot of the environment for reads.
    ///
    /// # Errors
    /// The environment cannot be read.
    pub(crate) fn reload(&mut self) -> Result<(), Error> {
        self.rows.reload(self.store.as_ref())
    }

    /// Closes the copy: forgets the rows in memory, and returns the environment.
    pub(crate) fn take(&mut self) -> Option<Store> {
        self.rows.forget();
        self.store.take()
    }

    /// The changelog offset after the acknowledged rows.
    pub(crate) fn changelog(&self) -> i64 {
        self.changelog
    }

    pub(crate) fn set_changelog(&mut self, next: i64) {
        self.changelog = next;
    }

    /// Marks the rows of the closing interval as acknowledged. `changelog` is the changelog offset after these rows;
    /// `None` if the interval wrote no rows.
    pub(crate) fn acknowledge(&mut self, changelog: Option<i64>) {
        match self.store {
            Some(_) => self.rows.acknowledge(),
            None => self.rows.forget(),
        }
        self.changelog = changelog.unwrap_or(self.changelog);
        self.is_behind = true;
    }

    /// Whether the environment lacks acknowledged rows or positions.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// When the environment was written last.
    pub(crate) fn stored_at(&self) -> Duration {
        self.stored_at
    }

    /// Since when a store waits for the group's answer: since `now`, if no earlier call has noted it.
    pub(crate) fn due_since(&mut self, now: Duration) -> Duration {
        *self.due_since.get_or_insert(now)
    }

    /// Writes the acknowledged rows, the changelog offset after them and the positions in the sources to the
    /// environment, in one transaction. Very many rows are written in parts, each in a transaction of its own: the
    /// last part contains the offset and the positions, and `part` is called between two parts.
    ///
    /// # Errors
    /// The disk has no space, or the environment fails.
    pub(crate) fn write(
        &mut self,
        now: Duration,
        (inputs, at_ms): (Vec<(String, i64)>, i64),
        kept: usize,
        part: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        (self.stored_at, self.due_since) = (now, None);
        if let Some(store) = &mut self.store {
            let position = Position {
                changelog: self.changelog,
                inputs,
                at_ms,
                ..Position::default()
            };
            self.rows.store(store, position, kept, part)?;
        }
        (self.is_behind, self.rests) = (false, 0);
        Ok(())
    }

    /// Writes the rows in `kept` and the position that the partition was claimed at: the changelog offset of this copy
    /// and these positions in the sources. Does nothing if the environment has this position already.
    ///
    /// # Errors
    /// The disk has no space, or the environment fails.
    pub(crate) fn claimed(
        &mut self,
        (inputs, at_ms): (Vec<(String, i64)>, i64),
        mut kept: Overlay,
    ) -> Result<(), Error> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let changelog = self.changelog;
        let position = Position {
            changelog,
            inputs,
            at_ms,
            ..Position::default()
        };
        kept.close_interval();
        kept.acknowledge();
        if kept.unstored() == 0 {
            let before = store.position();
            let is_same = (before.changelog, &before.inputs) == (changelog, &position.inputs);
            return match is_same {
                true => Ok(()),
                false => self.move_to(position),
            };
        }
        for (key, value) in kept.sorted() {
            self.rows.write(key, value);
        }
        self.rows.close_interval();
        self.rows.acknowledge();
        self.rows.store(store, position, 0, &mut || Ok(()))
    }

    /// Writes a position to the environment, without rows.
    ///
    /// # Errors
    /// The disk has no space, or the environment fails.
    pub(crate) fn move_to(&mut self, position: Position) -> Result<(), Error> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        store.batch().and_then(|batch| batch.commit(position))
    }

    /// Forgets the rows in memory. Some of them may be acknowledged but not stored: recovery will read these rows from
    /// the changelog.
    pub(crate) fn drop_uncommitted(&mut self) {
        self.rows.forget();
        (self.is_behind, self.due_since) = (false, None);
    }

    /// Notes that the environment lacks nothing, because the partition begins to run: its rows are those of the
    /// environment, and the claim has committed its positions.
    pub(crate) fn drop_behind(&mut self) {
        self.is_behind = false;
    }

    /// Lets the partition rest because the disk has no space: longer each time until the copy is written again.
    pub(crate) fn rest(&mut self, now: Duration) {
        let rest = REST_MIN.saturating_mul(1 << self.rests.min(10));
        self.rests += 1;
        self.rests_until = now + rest.min(REST_MAX);
    }

    pub(crate) fn is_resting(&self, now: Duration) -> bool {
        now < self.rests_until
    }
}
