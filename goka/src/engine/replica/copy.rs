//! One partition of a replica, on the thread that writes it. Must not know who reads it.

use std::time::Duration;

use tracing::warn;

use super::Spec;
use crate::{
    Error,
    engine::{replay::Replay, rows::Rows, trust::distrust},
    kafka::Reader,
    record::Record,
    store::{Identity, Position, Snapshots, Store},
};

/// When the ends of a partition are asked for again.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Copy {
    number: i32,
    rows: Rows,
    store: Store,
    /// `None`: it has to be asked where to begin.
    replay: Option<Replay>,
    retry_at: Duration,
    up_to_date: bool,
    /// Rows were taken and not stored yet.
    dirty: bool,
}

impl Copy {
    pub(super) fn open(spec: &Spec, number: i32) -> Result<Self, Error> {
        let identity = Identity {
            partition: number,
            ..spec.identity.clone()
        };
        let path = spec.dir.join(number.to_string());
        let (store, discarded) = Store::open(&path, &identity, &spec.options)?;
        if let Some(reason) = discarded {
            rebuilt(&identity.topic, number, &reason);
        }
        Ok(Copy {
            number,
            rows: Rows::default(),
            store,
            replay: None,
            retry_at: Duration::ZERO,
            up_to_date: false,
            dirty: false,
        })
    }

    pub(super) fn snapshots(&self) -> Snapshots {
        self.store.snapshots()
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
        if let Some(reason) = distrust(stands, (first, end), spec.age_max_ms, at_ms) {
            rebuilt(topic, number, &reason);
            let mut batch = self.store.batch()?;
            batch.clear()?;
            batch.commit(Position::default())?;
        }
        let from = self.store.position().table.max(first);
        let partitioner = (spec.partitioner, spec.identity.partitions);
        self.replay = Some(Replay::new(topic, number, (from, end), partitioner, now));
        Ok(from)
    }

    /// Takes a row. `Some`: so many were stored that there is progress to tell.
    pub(super) fn take(
        &mut self,
        record: &Record<'_>,
        at_ms: i64,
    ) -> Result<Option<(u64, u64, f64)>, Error> {
        let Some(replay) = &mut self.replay else {
            return Ok(None);
        };
        self.dirty = true;
        if !replay.take(&self.rows, record)? {
            return Ok(None);
        }
        let progress = replay.progress();
        self.store_rows(at_ms)?;
        Ok((!self.up_to_date).then_some(progress))
    }

    /// Everything that is there was read. `true`: for the first time.
    pub(super) fn end(&mut self, now: Duration, at_ms: i64) -> Result<bool, Error> {
        let Some(replay) = self.replay.as_ref().filter(|_| !self.up_to_date) else {
            return Ok(false);
        };
        replay.log_end(now);
        self.up_to_date = true;
        self.store_rows(at_ms)?;
        Ok(true)
    }

    /// Begins anew: what was taken and not stored is dropped.
    pub(super) fn start_over(&mut self) {
        self.rows.forget();
        (self.replay, self.up_to_date, self.dirty) = (None, false, false);
    }

    /// Once it is up to date, what is read is stored at once; before, in large batches.
    pub(super) fn follow(&mut self, at_ms: i64) -> Result<(), Error> {
        if self.up_to_date {
            self.store_rows(at_ms)?;
        }
        Ok(())
    }

    fn store_rows(&mut self, at_ms: i64) -> Result<(), Error> {
        if let Some(replay) = self.replay.as_ref().filter(|_| self.dirty) {
            replay.store(&self.rows, &mut self.store, at_ms)?;
            self.dirty = false;
            // Readers take snapshots of their own; one held here would keep old pages from reuse.
            self.rows.forget();
        }
        Ok(())
    }

    /// Stores what was taken, and closes it cleanly.
    pub(super) fn close(mut self, reader: &dyn Reader, at_ms: i64) -> Result<(), Error> {
        reader.stop(self.number)?;
        self.store_rows(at_ms)?;
        self.store.close()
    }
}

fn rebuilt(topic: &str, partition: i32, reason: &str) {
    warn!(topic, partition, reason, "the local copy is rebuilt");
}
