//! Changelog → local copy: the code that restores partitions, views and standbys.
//!
//! A replay gathers rows into large sorted batches and commits each batch together with the changelog offset after it.
//! A replay can therefore be interrupted at any record, and later continues after the last committed batch. Must not
//! know who reads the changelog.

use std::time::Duration;

use tracing::{debug, info};

use crate::{
    base::{error::Error, partitioner::Partitioner, record::Record},
    engine::table::rows::Rows,
    store::{Position, Store},
};

/// A batch is committed once it takes this much memory, in bytes. The store writes a batch of this size in several
/// parts.
const BATCH_BYTES: usize = 8 << 20;
/// The limit for the memory of a batch, in bytes, once readers follow the copy. Such a batch has at most a thousand
/// rows, which are stored in one part.
const LIVE_BATCH_BYTES: usize = 64 << 10;
/// The number of keys at the beginning of a replay that are all checked against the partitioner. Of the later keys,
/// one in `SAMPLED_ONE_OF` is checked.
const SAMPLED_FIRST: u64 = 64;
const SAMPLED_ONE_OF: u64 = 256;
/// The number of checked keys that is enough to show which partitioner chose the partitions of the table's rows.
const SAMPLES_MIN: u64 = 8;
/// How often progress is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The restoring of one partition from its changelog.
pub(crate) struct Replay {
    topic: String,
    partition: i32,
    /// Offset at which the replay began.
    from: i64,
    /// Next offset to read.
    next: i64,
    /// End offset of the partition when the replay began.
    end: i64,
    began: Duration,
    /// When progress was logged last.
    logged_at: Duration,
    rows: u64,
    bytes: u64,
    sample: Sample,
    batch_bytes: usize,
    /// The changelog offset from which on the copy is whole, as far as this replay has seen: see
    /// [`Position::whole_from`].
    whole_from: i64,
}

/// Counts of the keys that were checked against the partitioners.
struct Sample {
    declared: Partitioner,
    partitions: i32,
    taken: u64,
    /// For each partitioner of [`Partitioner::ALL`]: how many of the checked keys it assigns to this partition.
    fits: [u64; Partitioner::ALL.len()],
}

impl Replay {
    /// Begins a replay from offset `from`. `end` is the current end offset of the partition; `declared` is the
    /// partitioner that the table's type declares.
    pub(crate) fn new(
        topic: &str,
        partition: i32,
        (from, end): (i64, i64),
        (declared, partitions): (Partitioner, i32),
        now: Duration,
    ) -> Self {
        info!(
            topic,
            partition, from, end, "restoring local copy from changelog"
        );
        let sample = Sample {
            declared,
            partitions,
            taken: 0,
            fits: [0; Partitioner::ALL.len()],
        };
        Replay {
            topic: topic.to_owned(),
            partition,
            from,
            next: from,
            end,
            began: now,
            logged_at: now,
            rows: 0,
            bytes: 0,
            sample,
            batch_bytes: BATCH_BYTES,
            whole_from: 0,
        }
    }

    /// Next offset to read.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Advances to offset `next`: every offset before it was read, or has no row (for example a transaction marker).
    pub(crate) fn pass(&mut self, next: i64) {
        self.next = self.next.max(next);
    }

    /// Notes that offsets without a row follow, if the next row is at `next`: rows may have been compacted away,
    /// because of later rows before `log_end`, the end of the changelog as of the broker's last response.
    pub(crate) fn note_hole(&mut self, next: i64, log_end: impl FnOnce() -> Option<i64>) {
        if next > self.next {
            let end = log_end().unwrap_or(next).max(self.end).max(next);
            self.whole_from = self.whole_from.max(end);
        }
    }

    /// The changelog offset from which on the copy is whole.
    pub(crate) fn whole_from(&self, store: &Store) -> i64 {
        self.whole_from.max(store.position().whole_from)
    }

    /// Adds a row to the batch. `log_end`: see [`note_hole`](Self::note_hole). `Ok(true)`: the batch is large enough
    /// to be stored.
    pub(crate) fn take(
        &mut self,
        rows: &Rows,
        record: &Record<'_>,
        log_end: impl FnOnce() -> Option<i64>,
    ) -> Result<bool, Error> {
        self.note_hole(record.offset, log_end);
        self.next = record.offset + 1;
        let Some(key) = record.key else {
            // Brokers refuse records without a key in a compacted topic. A topic that was made compacted later may
            // have such records.
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

    /// Makes the batches small from now on, because the copy is up to date and readers follow it. Readers see each
    /// batch whole or not at all.
    pub(crate) fn live(&mut self) {
        self.batch_bytes = LIVE_BATCH_BYTES;
    }

    /// The time to store with a batch that ends before the end of the changelog, in milliseconds since 1970: the time
    /// of the copy's last position, or `now_ms` for an empty copy. Such a batch does not make the copy any younger,
    /// because the changelog may drop tombstones before the copy has read them.
    pub(crate) fn at_ms(&self, store: &Store, now_ms: i64) -> i64 {
        match store.position() {
            Position { changelog: 0, .. } => now_ms,
            Position { at_ms, .. } => *at_ms,
        }
    }

    /// Commits the batch to the local copy. The copy's positions in the inputs stay as they are, unless the group has
    /// no committed offsets (`no_offsets`) and rows were read. In that case the positions are dropped: the new rows
    /// may be those of a later owner, which was further in the inputs.
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
        self.store_and_notify(rows, store, inputs, at_ms, |_, _| {})
    }

    /// Commits the batch to the local copy, with these positions in the inputs, and then passes every stored row to
    /// `notify`.
    pub(crate) fn store_and_notify(
        &self,
        rows: &Rows,
        store: &mut Store,
        inputs: Vec<(String, i64)>,
        at_ms: i64,
        notify: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), Error> {
        let position = Position {
            changelog: self.next,
            inputs,
            at_ms,
            whole_from: self.whole_from(store),
        };
        rows.close_interval();
        rows.store_and_notify(store, position, notify)
    }

    /// The number of rows read, the number of bytes read, and the fraction of the offsets that was read, from 0 to 1.
    pub(crate) fn progress(&self) -> (u64, u64, f64) {
        let whole = (self.end - self.from).max(1) as f64;
        let done = ((self.next - self.from) as f64 / whole).clamp(0.0, 1.0);
        (self.rows, self.bytes, done)
    }

    /// Logs progress, at most once per [`LOG_INTERVAL`].
    pub(crate) fn log_progress(&mut self, now: Duration) {
        if now.saturating_sub(self.logged_at) < LOG_INTERVAL {
            return;
        }
        self.logged_at = now;
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
            "restoring local copy from changelog"
        );
    }

    /// Logs that the copy is up to date.
    pub(crate) fn log_restored(&self, now: Duration) {
        let millis = (now.saturating_sub(self.began)).as_millis() as u64;
        let (topic, partition, rows, bytes) = (&self.topic, self.partition, self.rows, self.bytes);
        info!(
            topic,
            partition, rows, bytes, millis, "local copy restored from changelog"
        );
    }
}

impl Sample {
    fn take(&mut self, key: &[u8], here: i32) {
        // An empty key shows nothing, because librdkafka places it at random.
        if key.is_empty() {
            return;
        }
        self.taken += 1;
        for (fits, partitioner) in self.fits.iter_mut().zip(Partitioner::ALL) {
            *fits += u64::from(partitioner.partition(key, self.partitions) == here);
        }
    }

    /// Checks whether the table's type declares the wrong partitioner. This is so if another partitioner assigns all
    /// checked keys to this partition, and the declared partitioner assigns fewer than half of them to it.
    ///
    /// # Errors
    /// The declared partitioner is wrong.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Distributes 100 keys over 8 partitions with `place`, and returns the verdict of the check in each partition.
    fn verdicts(declared: Partitioner, place: impl Fn(&[u8]) -> i32) -> Vec<Result<(), String>> {
        let sampled = |here| {
            let mut sample = Sample {
                declared,
                partitions: 8,
                taken: 0,
                fits: [0; Partitioner::ALL.len()],
            };
            let keys = (0..100).map(|n| format!("user-{n}").into_bytes());
            for key in keys.filter(|key| place(key) == here) {
                sample.take(b"", here);
                sample.take(&key, here);
                let checked = sample.check("clicks-state");
                checked.map_err(|error| error.to_string())?;
            }
            assert!(sample.taken >= SAMPLES_MIN, "{}", sample.taken);
            Ok(())
        };
        (0..8).map(sampled).collect()
    }

    #[test]
    fn the_partitioner_that_fits_is_named() {
        for declared in Partitioner::ALL {
            for real in Partitioner::ALL {
                for verdict in verdicts(declared, |key| real.partition(key, 8)) {
                    match verdict {
                        Ok(()) => assert_eq!(declared, real),
                        Err(said) => assert!(
                            declared != real
                                && said.contains(&format!("write `partitioner = {real}`")),
                            "{said}"
                        ),
                    }
                }
            }
        }
    }
}
