//! Table topic → local copy: the one mechanism behind recovery and views.
//!
//! Rows are gathered into large sorted batches, each committed together with the position behind
//! it, so that a replay can be cut off at any record and goes on where it was.

use std::time::Duration;

use tracing::{debug, info};

use crate::{
    base::{error::Error, partitioner::Partitioner, record::Record},
    engine::table::rows::Rows,
    store::{Position, Store},
};

/// A batch is committed when it takes this much memory. A large one is written in parts.
const BATCH_BYTES: usize = 8 << 20;
/// The same where readers expect every batch at once: at most a thousand rows, which are written in one part.
const LIVE_BATCH_BYTES: usize = 64 << 10;
/// Keys that are held against the partitioner: the first ones, then one of so many.
const SAMPLED_FIRST: u64 = 64;
const SAMPLED_ONE_OF: u64 = 256;
/// So many keys tell which partitioner a table was written with.
const SAMPLES_MIN: u64 = 8;

/// How often it is told how far a replay has come.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// A replay of one partition.
pub(crate) struct Replay {
    topic: String,
    partition: i32,
    /// Next offset to read.
    pub(crate) next: i64,
    /// End of the partition when the replay began.
    pub(crate) end: i64,
    began: Duration,
    /// When it was told last how far it has come.
    told: Duration,
    from: i64,
    rows: u64,
    bytes: u64,
    sample: Sample,
    batch_bytes: usize,
}

/// Keys held against the partitioners.
struct Sample {
    declared: Partitioner,
    partitions: i32,
    taken: u64,
    /// How many each of [`Partitioner::ALL`] would have put here.
    fits: [u64; Partitioner::ALL.len()],
}

impl Replay {
    /// `end`: of the partition, now. `partitioner`: what the table's type declares.
    pub(crate) fn new(
        topic: &str,
        partition: i32,
        (from, end): (i64, i64),
        (declared, partitions): (Partitioner, i32),
        now: Duration,
    ) -> Self {
        info!(
            topic,
            partition, from, end, "recovering a partition of the table"
        );
        let sample = Sample {
            declared,
            partitions,
            taken: 0,
            fits: [0; Partitioner::ALL.len()],
        };
        let (next, began) = (from, now);
        Replay {
            topic: topic.to_owned(),
            partition,
            next,
            end,
            began,
            told: now,
            from,
            rows: 0,
            bytes: 0,
            sample,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// Takes a record. `Ok(true)`: the batch is large enough to be stored.
    pub(crate) fn take(&mut self, rows: &Rows, record: &Record<'_>) -> Result<bool, Error> {
        self.next = record.offset + 1;
        let Some(key) = record.key else {
            // A compacted topic refuses them; one that was made compacted later may hold some.
            debug!(
                topic = self.topic,
                offset = record.offset,
                "skipped a row without a key"
            );
            return Ok(false);
        };
        if self.rows < SAMPLED_FIRST || self.rows.is_multiple_of(SAMPLED_ONE_OF) {
            self.sample.take(key, self.partition);
            self.sample.check(&self.topic)?;
        }
        self.rows += 1;
        self.bytes += (key.len() + record.value.map_or(0, <[u8]>::len)) as u64;
        rows.write(key, record.value);
        Ok(rows.open_size() >= self.batch_bytes)
    }

    /// From now on what is read is what changes: who reads the copy sees a batch whole or not at all.
    pub(crate) fn live(&mut self) {
        self.batch_bytes = LIVE_BATCH_BYTES;
    }

    /// The time of a batch before the end, milliseconds since 1970: the copy is as old as it was. Deletions behind it
    /// may be forgotten before it is topped up.
    pub(crate) fn at_ms(&self, store: &Store, now_ms: i64) -> i64 {
        match store.position() {
            Position { table: 0, .. } => now_ms,
            Position { at_ms, .. } => *at_ms,
        }
    }

    /// Commits what was gathered. The positions in the inputs stay as they are, but not where the group has
    /// `no_offsets`: rows that came since may be those of later owners, who were further.
    pub(crate) fn store(
        &self,
        rows: &Rows,
        store: &mut Store,
        no_offsets: bool,
        at_ms: i64,
    ) -> Result<(), Error> {
        let inputs = match no_offsets && self.rows > 0 {
            true => Vec::new(),
            false => store.position().inputs.clone(),
        };
        self.store_and_tell(rows, store, inputs, at_ms, |_, _| {})
    }

    /// The same with these positions in the inputs, and then tells every row that was stored.
    pub(crate) fn store_and_tell(
        &self,
        rows: &Rows,
        store: &mut Store,
        inputs: Vec<(String, i64)>,
        at_ms: i64,
        tell: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), Error> {
        let position = Position {
            table: self.next,
            inputs,
            at_ms,
        };
        rows.close_interval();
        rows.store_and_tell(store, position, tell)
    }

    /// Rows read, bytes read, and how much of the way is behind, between 0 and 1.
    pub(crate) fn progress(&self) -> (u64, u64, f64) {
        let whole = (self.end - self.from).max(1) as f64;
        let done = ((self.next - self.from) as f64 / whole).clamp(0.0, 1.0);
        (self.rows, self.bytes, done)
    }

    /// Tells how far it has come, unless that was told just now.
    pub(crate) fn log_progress(&mut self, now: Duration) {
        if now.saturating_sub(self.told) < TELL_INTERVAL {
            return;
        }
        self.told = now;
        let millis = (now.saturating_sub(self.began)).as_millis() as u64;
        let (rows, bytes, done) = self.progress();
        let percent = (done * 100.0) as u64;
        info!(
            topic = self.topic,
            partition = self.partition,
            rows,
            bytes,
            percent,
            left = (self.end - self.next).max(0),
            millis,
            "recovering a partition of the table"
        );
    }

    pub(crate) fn log_end(&self, now: Duration) {
        let millis = (now.saturating_sub(self.began)).as_millis() as u64;
        let (topic, partition, rows, bytes) = (&self.topic, self.partition, self.rows, self.bytes);
        info!(
            topic,
            partition, rows, bytes, millis, "recovered a partition of the table"
        );
    }
}

impl Sample {
    fn take(&mut self, key: &[u8], here: i32) {
        self.taken += 1;
        for (fits, partitioner) in self.fits.iter_mut().zip(Partitioner::ALL) {
            *fits += u64::from(partitioner.partition(key, self.partitions) == here);
        }
    }

    /// Rows that only another partitioner can have put here mean that the type declares a wrong one.
    fn check(&self, topic: &str) -> Result<(), Error> {
        if self.taken < SAMPLES_MIN {
            return Ok(());
        }
        let all = || self.fits.iter().zip(Partitioner::ALL);
        let declared = all()
            .find(|(_, p)| *p == self.declared)
            .map_or(0, |(fits, _)| *fits);
        let better = all().find(|(fits, _)| **fits == self.taken);
        match better {
            Some((_, fitting)) if declared * 2 < self.taken => Err(Error::Topic(format!(
                "the rows of `{topic}` are in partitions that `{fitting}` chose, but its type declares `{}`: \
                 write `partitioner = {fitting}` on the table and on the streams of its group",
                self.declared
            ))),
            _ => Ok(()),
        }
    }
}
