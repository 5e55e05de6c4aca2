//! One partition of a replica, on the thread that writes it. Must not know who reads it.

use std::time::Duration;

use tracing::warn;

use crate::{
    base::{error::Error, record::Record, state::PartitionState},
    engine::{
        port::Reader,
        replica::{
            board::{Board, Standing},
            spec::Spec,
        },
        table::{replay::Replay, rows::Rows, trust::distrust},
    },
    store::{Identity, Snapshots, Store},
};

/// When the ends of a partition are asked for again.
const RETRY: Duration = Duration::from_millis(500);
/// When it is looked again whether there is room on the disk.
const ROOM_RETRY: Duration = Duration::from_secs(2);
/// How old the time of a copy may be that has everything: it tells how old the copy is.
const REFRESH_MS: i64 = 3_600_000;
/// A shorter `delete.retention.ms` counts as this: the broker looks for deletions to forget every 15 s.
const AGE_MIN_MS: i64 = 10_000;

pub(super) struct Copy {
    number: i32,
    rows: Rows,
    store: Store,
    /// What readers still see while `store` is rebuilt.
    old: Option<Store>,
    /// `None`: it has to be asked where to begin.
    replay: Option<Replay>,
    retry_at: Duration,
    up_to_date: bool,
    /// Rows were taken and not stored yet.
    dirty: bool,
    /// Whether what is read next may be rows of the inputs up to the positions that are stored: it
    /// was opened, and has not been at the end. Later rows are those of another owner.
    keeps_inputs: bool,
    /// How old its time may get.
    refresh_ms: i64,
    standing: Standing,
}

impl Copy {
    pub(super) fn open(spec: &Spec, number: i32) -> Result<Self, Error> {
        let identity = identity(spec, number);
        let path = spec.dir.join(number.to_string());
        let (store, discarded) = Store::open(&path, &identity, &spec.options)?;
        if let Some(reason) = discarded {
            rebuilt(&identity.topic, number, &reason);
        }
        Ok(Copy {
            keeps_inputs: true,
            ..Self::given(spec, number, store)
        })
    }

    /// Goes on with one that somebody else has written.
    pub(super) fn given(spec: &Spec, number: i32, store: Store) -> Self {
        let standing = Standing {
            visible: store.position().table,
            end: store.position().table,
            at_ms: store.position().at_ms,
        };
        Copy {
            number,
            rows: Rows::default(),
            store,
            old: None,
            standing,
            replay: None,
            retry_at: Duration::ZERO,
            up_to_date: false,
            dirty: false,
            keeps_inputs: false,
            // Well before it counts as aged.
            refresh_ms: spec
                .age_max_ms
                .map_or(REFRESH_MS, |max| REFRESH_MS.min(max.max(AGE_MIN_MS) / 4)),
        }
    }

    pub(super) fn number(&self) -> i32 {
        self.number
    }

    pub(super) fn snapshots(&self) -> Snapshots {
        self.store.snapshots()
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it is to be asked now where to begin.
    pub(super) fn is_to_begin(&self, now: Duration) -> bool {
        self.replay.is_none() && now >= self.retry_at
    }

    /// Nobody answered.
    pub(super) fn try_later(&mut self, now: Duration) {
        self.retry_at = now + RETRY;
    }

    /// Where to read from, given the ends of the partition. What cannot be topped up is emptied.
    pub(super) fn begin(
        &mut self,
        spec: &Spec,
        board: &Board,
        (first, end): (i64, i64),
        now: Duration,
        at_ms: i64,
    ) -> Result<i64, Error> {
        let (topic, number) = (&spec.identity.topic, self.number);
        let stands = self.store.position();
        if spec.forgets_rows && stands.table < first {
            return Err(Error::Topic(format!(
                "`{topic}` partition {number} begins at offset {first}: the embedded broker keeps 5 MB a partition, and \
                 older rows of the table are gone. Open the view before so much is written, or use a real Kafka"
            )));
        }
        if let Some(reason) = distrust(
            stands,
            self.store.reaches(),
            (first, end),
            spec.age_max_ms,
            at_ms,
        ) {
            rebuilt(topic, number, &reason);
            let identity = identity(spec, number);
            if let Some(new) = self.store.rebuild(&identity, &spec.options)? {
                self.old = Some(std::mem::replace(&mut self.store, new));
            }
        }
        let from = self.store.position().table.max(first);
        self.standing.visible = from;
        self.standing.end = end;
        board.set_standing(number, self.standing);
        let partitioner = (spec.partitioner, spec.identity.partitions);
        self.replay = Some(Replay::new(topic, number, (from, end), partitioner, now));
        Ok(from)
    }

    /// Takes a row. `Some`: so many were stored that there is progress to tell.
    pub(super) fn take(
        &mut self,
        record: &Record<'_>,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<Option<PartitionState>, Error> {
        let Some(replay) = &mut self.replay else {
            return Ok(None);
        };
        self.dirty = true;
        if !replay.take(&self.rows, record)? {
            return Ok(None);
        }
        let (rows, bytes, progress) = replay.progress();
        if !self.up_to_date {
            replay.log_progress(now);
        }
        self.store_rows(board, at_ms)?;
        let state = PartitionState::Recovering {
            rows,
            bytes,
            progress,
        };
        Ok((!self.up_to_date).then_some(state))
    }

    /// Everything before `next` was read, which is all there is. `true`: for the first time.
    pub(super) fn end(
        &mut self,
        next: i64,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<bool, Error> {
        let Some(replay) = &mut self.replay else {
            return Ok(false);
        };
        replay.next = replay.next.max(next);
        let is_first = !self.up_to_date;
        if is_first {
            replay.log_end(now);
            replay.live();
            self.up_to_date = true;
            // Also one to which nothing was added is of now.
            self.dirty |= at_ms - self.store.position().at_ms > self.refresh_ms;
        }
        self.store_rows(board, at_ms)?;
        self.keeps_inputs = false;
        self.show_rebuilt(board)?;
        // Markers of transactions are passed without a row.
        self.standing.visible = self.standing.visible.max(next);
        self.hear_of(None, board);
        Ok(is_first)
    }

    /// Readers see what was rebuilt from now on.
    fn show_rebuilt(&mut self, board: &Board) -> Result<(), Error> {
        if self.old.is_none() {
            return Ok(());
        }
        board.replaced(self.number, self.store.snapshots());
        // Behind the change, so that nobody finds neither.
        if let Some(old) = self.old.take() {
            old.expire_moments();
        }
        self.store.show();
        let mut subscribers = board.subscribers.lock();
        if subscribers.rebuilt(self.number) {
            self.store.snapshot()?.scan(&[], false, &mut |key, value| {
                subscribers.row(key, Some(value));
                true
            })?;
        }
        drop(subscribers);
        self.standing.at_ms = self.store.position().at_ms;
        Ok(())
    }

    /// More is known of the end of the partition.
    pub(super) fn hear_of(&mut self, end: Option<i64>, board: &Board) {
        let end = end.unwrap_or(self.standing.end);
        self.standing.end = end.max(self.standing.visible);
        board.set_standing(self.number, self.standing);
    }

    /// Whether it has had everything, but not proved it for so long that deletions may have been
    /// forgotten since.
    pub(super) fn is_aged(&self, spec: &Spec, at_ms: i64) -> bool {
        let age_ms = at_ms - self.store.position().at_ms;
        self.up_to_date
            && spec
                .age_max_ms
                .is_some_and(|max| age_ms > max.max(AGE_MIN_MS))
    }

    /// Whether its time is to be proved anew.
    pub(super) fn is_to_refresh(&self, now: Duration, at_ms: i64) -> bool {
        let age_ms = at_ms - self.store.position().at_ms;
        self.up_to_date && !self.dirty && age_ms > self.refresh_ms && now >= self.retry_at
    }

    /// The partition ends at `end`: if that is where the copy stands, it is of now.
    pub(super) fn refresh(&mut self, end: i64, board: &Board, at_ms: i64) -> Result<(), Error> {
        self.dirty |= end <= self.standing.visible;
        self.store_rows(board, at_ms)
    }

    /// Begins anew: what was taken and not stored is dropped.
    pub(super) fn start_over(&mut self) {
        self.rows.forget();
        (self.replay, self.up_to_date, self.dirty) = (None, false, false);
    }

    /// Begins anew later, when there may be room on the disk.
    pub(super) fn rest(&mut self, now: Duration) {
        self.start_over();
        self.retry_at = now + ROOM_RETRY;
    }

    /// Once it is up to date, what is read is stored at once; before, in large batches.
    pub(super) fn follow(&mut self, board: &Board, at_ms: i64) -> Result<(), Error> {
        if self.up_to_date {
            self.store_rows(board, at_ms)?;
        }
        Ok(())
    }

    fn store_rows(&mut self, board: &Board, at_ms: i64) -> Result<(), Error> {
        let Some(replay) = self.replay.as_ref().filter(|_| self.dirty) else {
            return Ok(());
        };
        // Rows that another owner wrote stand for positions that are not known here.
        let stands_as_before = self.keeps_inputs || self.rows.open_size() == 0;
        let inputs = match stands_as_before {
            true => self.store.position().inputs.clone(),
            false => Vec::new(),
        };
        let is_hidden = self.old.is_some();
        let as_of_ms = match self.up_to_date {
            true => at_ms,
            false => replay.at_ms(&self.store, at_ms),
        };
        // Taken after the commit, at its first row.
        let mut subscribers = None;
        replay.store_and_tell(
            &self.rows,
            &mut self.store,
            inputs,
            as_of_ms,
            |key, value| {
                if !is_hidden {
                    let subscribers = subscribers.get_or_insert_with(|| board.subscribers.lock());
                    subscribers.row(key, value);
                }
            },
        )?;
        if subscribers.take().is_some() {
            self.standing.at_ms = at_ms;
        }
        self.dirty = false;
        // Readers take snapshots of their own; one held here would keep old pages from reuse.
        self.rows.forget();
        if !is_hidden {
            self.standing.visible = self.standing.visible.max(replay.next);
        }
        self.hear_of(None, board);
        Ok(())
    }

    /// Stores what was taken, and leaves it to somebody else, open.
    pub(super) fn into_store(
        mut self,
        reader: &dyn Reader,
        board: &Board,
        at_ms: i64,
    ) -> Result<Store, Error> {
        reader.stop(self.number)?;
        self.store_last(board, at_ms)?;
        Ok(self.store)
    }

    /// Stores what was taken, and closes it cleanly.
    pub(super) fn close(
        mut self,
        reader: &dyn Reader,
        board: &Board,
        at_ms: i64,
    ) -> Result<(), Error> {
        reader.stop(self.number)?;
        self.store_last(board, at_ms)?;
        self.store.close()
    }

    /// What there is no room for is read again by whoever has it next.
    fn store_last(&mut self, board: &Board, at_ms: i64) -> Result<(), Error> {
        match self.store_rows(board, at_ms) {
            Err(Error::NoRoom { .. }) => {
                self.start_over();
                Ok(())
            }
            stored => stored,
        }
    }
}

fn identity(spec: &Spec, partition: i32) -> Identity {
    Identity {
        partition,
        ..spec.identity.clone()
    }
}

fn rebuilt(topic: &str, partition: i32, reason: &str) {
    warn!(topic, partition, reason, "the local copy is rebuilt");
}
