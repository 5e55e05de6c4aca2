//! The local copy of one partition of a replica, as the keeper writes it. Must not know its readers.

use std::time::Duration;

use tracing::warn;

use crate::{
    base::{error::Error, record::Record, state::PartitionState},
    engine::{
        cut::Found,
        port::Reader,
        replica::{
            board::{Board, Progress},
            held::Held,
            spec::Spec,
        },
        table::{replay::Replay, rows::Rows, trust::distrust},
    },
    store::{Identity, Snapshots, Store},
};

/// Retry interval for querying the end offsets of a partition.
const RETRY: Duration = Duration::from_millis(500);
/// Retry interval after the disk was full.
const ROOM_RETRY: Duration = Duration::from_secs(2);
/// How old the stored time of an up-to-date local copy may get, in milliseconds, before it is refreshed.
const REFRESH_MS: i64 = 3_600_000;
/// Lower limit for the maximum age of a local copy, in milliseconds. A lower maximum is pointless, because the broker
/// looks for tombstones to delete only every 15 s.
const AGE_MIN_MS: i64 = 10_000;

/// The local copy of a partition.
pub(super) struct Copy {
    number: i32,
    rows: Rows,
    store: Store,
    /// The local copy that readers still see while `store` is rebuilt.
    old: Option<Store>,
    /// `None` until the end offsets are known.
    replay: Option<Replay>,
    /// Rows that the group has not committed yet. `None`: rows are stored as they are read.
    held: Option<Held>,
    retry_at: Duration,
    up_to_date: bool,
    /// Whether rows were taken and not stored yet.
    dirty: bool,
    /// Whether the next rows may belong to the input positions that are stored. `true` for a local copy that was
    /// opened here, until the copy is read to its end: later rows come from another owner of the partition. `false`
    /// for a copy that a borrower has given back.
    keeps_inputs: bool,
    /// How old the stored time may get before it is refreshed, in milliseconds.
    refresh_ms: i64,
    progress: Progress,
}

impl Copy {
    /// Opens the local copy of a partition. `holds_back`: rows are stored only when the group has committed them.
    pub(super) fn open(spec: &Spec, number: i32, holds_back: bool) -> Result<Self, Error> {
        let identity = identity(spec, number);
        let path = spec.dir.join(number.to_string());
        let (store, discarded) = Store::open(&path, &identity, &spec.options)?;
        if let Some(reason) = discarded {
            let topic = &identity.topic;
            warn!(
                topic,
                partition = number,
                reason,
                "local copy discarded; rebuilding"
            );
        }
        Ok(Copy {
            keeps_inputs: true,
            ..Self::given(spec, number, store, holds_back)
        })
    }

    /// Continues with a local copy that a borrower has written.
    pub(super) fn given(spec: &Spec, number: i32, store: Store, holds_back: bool) -> Self {
        let progress = Progress {
            visible: store.position().changelog,
            end: store.position().changelog,
            at_ms: store.position().at_ms,
        };
        Copy {
            number,
            rows: Rows::default(),
            store,
            old: None,
            progress,
            replay: None,
            held: holds_back.then(Held::default),
            retry_at: Duration::ZERO,
            up_to_date: false,
            dirty: false,
            keeps_inputs: false,
            // The refresh comes well before the local copy counts as too old.
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

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether it is time to query the end offsets and start to read.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.replay.is_none() && now >= self.retry_at
    }

    /// Sets the time of the next query.
    pub(super) fn retry_later(&mut self, now: Duration) {
        self.retry_at = now + RETRY;
    }

    /// Starts to read, given the first and the end offset of the partition. Returns the offset from which to read. A
    /// local copy that cannot be continued is rebuilt.
    pub(super) fn begin(
        &mut self,
        spec: &Spec,
        board: &Board,
        (first, end): (i64, i64),
        now: Duration,
        at_ms: i64,
    ) -> Result<i64, Error> {
        let (topic, number) = (&spec.identity.topic, self.number);
        let position = self.store.position();
        if spec.forgets_rows && position.changelog < first {
            return Err(Error::Topic(format!(
                "topic `{topic}`, partition {number} begins at offset {first}, because the embedded broker keeps only 5 MB \
                 per partition and has deleted older rows of the table. Open the view before 5 MB are written, or use \
                 a real Kafka"
            )));
        }
        if let Some(reason) = distrust(
            position,
            self.store.reaches(),
            (first, end),
            spec.age_max_ms,
            at_ms,
        ) {
            warn!(
                topic,
                partition = number,
                reason,
                "local copy not trusted; rebuilding"
            );
            let identity = identity(spec, number);
            if let Some(new) = self.store.rebuild(&identity, &spec.options)? {
                self.old = Some(std::mem::replace(&mut self.store, new));
            }
        }
        let from = self.store.position().changelog.max(first);
        self.progress.visible = from;
        self.progress.end = end;
        board.set_progress(number, self.progress);
        let partitioner = (spec.partitioner, spec.identity.partitions);
        self.replay = Some(Replay::new(topic, number, (from, end), partitioner, now));
        if let Some(held) = &mut self.held {
            held.begin(from);
        }
        Ok(from)
    }

    /// Takes a row. `Some`: a batch was stored before the copy was up to date, and this is the new state of the
    /// partition.
    pub(super) fn take(
        &mut self,
        record: &Record<'_>,
        reader: &dyn Reader,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<Option<PartitionState>, Error> {
        let is_read = self.replay.is_some();
        let is_held = self.held.as_mut().filter(|_| is_read);
        if is_held.is_some_and(|held| held.take(record, at_ms)) {
            return Ok(None);
        }
        self.add(record, reader, board, now, at_ms)
    }

    /// Adds a row that may be stored to the next batch.
    fn add(
        &mut self,
        record: &Record<'_>,
        reader: &dyn Reader,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<Option<PartitionState>, Error> {
        let Some(replay) = &mut self.replay else {
            return Ok(None);
        };
        self.dirty = true;
        let log_end = || Some(reader.progress(self.number)?.1);
        if !replay.take(&self.rows, record, log_end)? {
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

    /// Notes that the partition was read to its end, which is at `next`. Returns whether this is the first time.
    pub(super) fn end(
        &mut self,
        next: i64,
        reader: &dyn Reader,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<bool, Error> {
        if self.replay.is_none() {
            return Ok(false);
        }
        match &mut self.held {
            None => self.reached(next, reader, board, now, at_ms),
            Some(held) => {
                held.end(next);
                self.release(reader, board, now, at_ms)
            }
        }
    }

    /// Notes that the group is asked for its cuts. `end` is the last known end offset of the partition.
    pub(super) fn asked(&mut self, end: Option<i64>) {
        let end = end.unwrap_or(0).max(self.progress.end);
        if let Some(held) = self.held.as_mut().filter(|_| self.replay.is_some()) {
            held.asked(end);
        }
    }

    /// Notes what the group has committed, and stores the rows that were held back until then. Returns whether the
    /// copy is up to date for the first time.
    pub(super) fn answered(
        &mut self,
        found: Found,
        reader: &dyn Reader,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<bool, Error> {
        let held = self.held.as_mut();
        match held.is_some_and(|held| held.answered(found)) {
            true => self.release(reader, board, now, at_ms),
            false => Ok(false),
        }
    }

    /// Whether the replica is to stop reading the partition now, because too many rows are held back.
    pub(super) fn pause(&mut self) -> bool {
        self.held.as_mut().is_some_and(Held::pause)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.held.as_ref().is_some_and(Held::is_paused)
    }

    /// The offset from which the replica is to read on now, after it had stopped.
    pub(super) fn resume(&mut self) -> Option<i64> {
        self.held.as_mut().and_then(Held::resume)
    }

    /// Stores the held rows that the group has committed. Returns whether the copy is up to date for the first time.
    fn release(
        &mut self,
        reader: &dyn Reader,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<bool, Error> {
        while let Some(row) = self.held.as_mut().and_then(Held::release) {
            self.add(&row.as_record(), reader, board, now, at_ms)?;
        }
        let complete = self.held.as_ref().filter(|held| held.is_complete());
        match complete.map(Held::released_to) {
            Some(next) => self.reached(next, reader, board, now, at_ms),
            None => Ok(false),
        }
    }

    /// Notes that the copy has everything before `next` that it may have. Returns whether this is the first time.
    fn reached(
        &mut self,
        next: i64,
        reader: &dyn Reader,
        board: &Board,
        now: Duration,
        at_ms: i64,
    ) -> Result<bool, Error> {
        let Some(replay) = &mut self.replay else {
            return Ok(false);
        };
        replay.note_hole(next, || Some(reader.progress(self.number)?.1));
        replay.pass(next);
        let is_first = !self.up_to_date;
        if is_first {
            replay.log_restored(now);
            replay.live();
            self.up_to_date = true;
            // Even without new rows, the local copy is up to date as of now: the new time is stored if the stored one
            // is too old.
            self.dirty |= at_ms - self.store.position().at_ms > self.refresh_ms;
        }
        self.store_rows(board, at_ms)?;
        self.keeps_inputs = false;
        self.show_rebuilt(board)?;
        // Transaction markers have an offset but no row.
        self.progress.visible = self.progress.visible.max(next);
        self.set_end(None, board);
        Ok(is_first)
    }

    /// Lets readers see the local copy that was rebuilt, if there is one, and notifies subscribers.
    fn show_rebuilt(&mut self, board: &Board) -> Result<(), Error> {
        if self.old.is_none() {
            return Ok(());
        }
        board.replaced(self.number, self.store.snapshots());
        // Only after the replacement, so that readers always find either the old or the new copy.
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
        self.progress.at_ms = self.store.position().at_ms;
        Ok(())
    }

    /// Updates the end offset if a newer one is known (`Some`), and passes the progress on to readers.
    pub(super) fn set_end(&mut self, end: Option<i64>, board: &Board) {
        let end = end.unwrap_or(self.progress.end);
        self.progress.end = end.max(self.progress.visible);
        board.set_progress(self.number, self.progress);
    }

    /// Whether the copy was up to date, but has not been refreshed for so long that the broker may have deleted
    /// tombstones in the meantime.
    pub(super) fn is_aged(&self, spec: &Spec, at_ms: i64) -> bool {
        let age_ms = at_ms - self.store.position().at_ms;
        self.up_to_date
            && spec
                .age_max_ms
                .is_some_and(|max| age_ms > max.max(AGE_MIN_MS))
    }

    /// Whether it is time to refresh the stored time.
    pub(super) fn is_to_refresh(&self, now: Duration, at_ms: i64) -> bool {
        let age_ms = at_ms - self.store.position().at_ms;
        self.up_to_date && !self.dirty && age_ms > self.refresh_ms && now >= self.retry_at
    }

    /// Refreshes the stored time, if the local copy has everything up to the end offset.
    pub(super) fn refresh(&mut self, end: i64, board: &Board, at_ms: i64) -> Result<(), Error> {
        self.dirty |= end <= self.progress.visible;
        self.store_rows(board, at_ms)
    }

    /// Starts over: drops the rows that were taken and not stored.
    pub(super) fn start_over(&mut self) {
        self.rows.forget();
        if let Some(held) = &mut self.held {
            *held = Held::default();
        }
        (self.replay, self.up_to_date, self.dirty) = (None, false, false);
    }

    /// Starts over later, when there may be space on the disk.
    pub(super) fn wait_for_room(&mut self, now: Duration) {
        self.start_over();
        self.retry_at = now + ROOM_RETRY;
    }

    /// Stores the rows that were taken, if the local copy is up to date. A copy that is not up to date yet stores its
    /// rows in large batches instead.
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
        // The input positions of rows that another owner wrote are not known here.
        let keeps_inputs = self.keeps_inputs || self.rows.open_size() == 0;
        let inputs = match keeps_inputs {
            true => self.store.position().inputs.clone(),
            false => Vec::new(),
        };
        let is_hidden = self.old.is_some();
        // The rows that are held back are older than now, and the copy does not have them.
        let since_ms = self.held.as_ref().and_then(Held::since_ms);
        let as_of_ms = match self.up_to_date {
            true => since_ms.unwrap_or(at_ms),
            false => replay.at_ms(&self.store, at_ms),
        };
        // The lock is taken after the commit, when the first row of the batch is passed on.
        let mut subscribers = None;
        replay.store_and_notify(
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
            self.progress.at_ms = at_ms;
        }
        self.dirty = false;
        // Readers take their own snapshots. A snapshot that is held here would keep LMDB from reusing pages.
        self.rows.forget();
        if !is_hidden {
            self.progress.visible = self.progress.visible.max(replay.next());
        }
        self.set_end(None, board);
        Ok(())
    }

    /// Stores the rows that were taken, and returns the local copy, still open, for a borrower.
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

    /// Stores the rows that were taken, and closes the local copy cleanly.
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

    /// Stores the rows that were taken. If the disk is full, drops these rows: the next owner reads them again.
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
