//! What handlers deferred (`ctx.defer()`), and what stands behind it in its partition: done, but
//! without effect yet. Nothing of it is in Kafka or in the local copy, so whatever ends a worker
//! lets it run again, whole, and no later record twice.

use std::{collections::VecDeque, time::Duration};

use tracing::warn;

use crate::{
    base::{
        error::{BoxError, Error},
        record::Record,
    },
    engine::{
        effects::{Effects, Row},
        partition::{Cause, Origin, Partition, rows::Rows},
        port::{Kafka, fault::Fault},
        program::{Failure, OwnedRecord, Stage},
        worker::Core,
    },
};

/// So many records of a partition are held back at most, before its inputs wait.
const RECORDS_MAX: usize = 4096;
/// The same in bytes.
const BYTES_MAX: usize = 8 << 20;
/// A guard that is not done for so long is named in the log, and again after each such time.
const LONG: Duration = Duration::from_secs(30);

/// Records that wait for a guard, in order.
#[derive(Default)]
pub(crate) struct Deferrals {
    records: VecDeque<Held>,
    bytes: usize,
    named_at: Option<Duration>,
}

/// A handled record whose effects are held back.
pub(crate) struct Held {
    pub(crate) cause: Cause,
    /// The record itself, if it may be needed again.
    pub(crate) record: Option<OwnedRecord>,
    effects: Effects,
    since: Duration,
}

impl Deferrals {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn push(&mut self, held: Held) {
        self.bytes += held.size();
        self.records.push_back(held);
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<Held> {
        let held = self.records.pop_front()?;
        self.bytes -= held.size();
        self.named_at = None;
        Some(held)
    }
}

impl Held {
    fn size(&self) -> usize {
        let record = self.record.as_ref().map_or(0, OwnedRecord::size);
        let key = self.cause.key.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.effects.size() + key + record
    }

    /// Handlers see what it did to its row.
    fn defer_row(&self, rows: &Rows) {
        let Some(key) = &self.cause.key else { return };
        match self.effects.row() {
            Row::Untouched => {}
            Row::Put(range) => rows.defer(key, Some(self.effects.bytes(range))),
            Row::Delete => rows.defer(key, None),
        }
    }

    /// What became of its guards; `None` while one is out.
    fn outcome(&self) -> Option<Result<(), String>> {
        let mut guards = self.effects.deferred().iter();
        guards.try_fold(Ok(()), |all: Result<(), String>, guard| {
            Some(all.and(guard.outcome()?))
        })
    }
}

impl Partition {
    /// Rows of what is deferred no more are forgotten when nothing is deferred, and at the latest when they take
    /// more memory than what may be.
    fn forget_released(&mut self) {
        let is_empty = self.deferrals.is_empty();
        if !is_empty && self.rows.deferred_size() < 2 * BYTES_MAX {
            return;
        }
        self.rows.forget_deferred();
        for held in &self.deferrals.records {
            held.defer_row(&self.rows);
        }
    }
}

impl Core {
    /// What a handler did takes effect, or is held back behind what waits for a guard. The buffer
    /// comes back.
    pub(crate) fn take_effect(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        record: &Record<'_>,
        effects: Effects,
    ) -> Result<Effects, Error> {
        let key = record.key;
        let Some(partition) = self.partitions.get_mut(&origin.partition) else {
            return Ok(effects);
        };
        if partition.deferrals.is_empty() && effects.deferred().is_empty() {
            self.apply(kafka, origin, key, &effects)?;
            if self.spec.settings.fault.is(Fault::DoubleApply) {
                self.apply(kafka, origin, key, &effects)?;
            }
            return Ok(effects);
        }
        if self.is_exactly_once() {
            let failure = Failure {
                stage: Stage::Broken,
                doing: "defer its record",
                source: BoxError::from(
                    "`ctx.defer()` is for at-least-once: under exactly-once all partitions of a worker are committed \
                     together; wait in an `async fn` instead, or set the guarantee of this app to at-least-once",
                ),
            };
            return Err(self.failed(origin, key, failure));
        }
        let is_deferred = !effects.deferred().is_empty();
        let kept = (is_deferred && self.keeps_deferred(origin)).then(|| OwnedRecord::of(record));
        let Some(partition) = self.partitions.get_mut(&origin.partition) else {
            return Ok(effects);
        };
        let key = key.map(<[u8]>::to_vec);
        let held = Held {
            cause: Cause { origin, key },
            record: kept,
            effects,
            since: self.now,
        };
        held.defer_row(&partition.rows);
        partition.deferrals.push(held);
        Ok(Effects::default())
    }

    /// Lets take effect what no guard holds back any more; whether some of it is left.
    pub(crate) fn release_deferred(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
    ) -> Result<bool, Error> {
        loop {
            let now = self.now;
            let Some(partition) = self.partitions.get_mut(&number) else {
                return Ok(false);
            };
            let deferrals = &mut partition.deferrals;
            let Some(front) = deferrals.records.front() else {
                return Ok(false);
            };
            let origin = front.cause.origin;
            match front.outcome() {
                None => {
                    let named_at = deferrals.named_at.unwrap_or(front.since);
                    if now.saturating_sub(named_at) > LONG {
                        let held_back = deferrals.records.len();
                        let seconds = now.saturating_sub(front.since).as_secs();
                        deferrals.named_at = Some(now);
                        let (topic, offset) = (self.topic_of(origin), origin.offset);
                        warn!(
                            group = self.spec.program.group(),
                            topic,
                            partition = number,
                            offset,
                            seconds,
                            held_back,
                            "a deferred record is not done, and holds back its partition: call `done` on its guard, or \
                             drop it"
                        );
                    }
                    return Ok(true);
                }
                Some(Err(reason)) => {
                    let failure = Failure {
                        stage: Stage::Handler,
                        doing: "finish what it deferred",
                        source: BoxError::from(reason),
                    };
                    self.deferred_failed(kafka, number, failure)?;
                }
                Some(Ok(())) => {
                    // It may have waited for longer than the partition is surely ours.
                    if !self.make_room(kafka, number)? {
                        return Ok(false);
                    }
                    let Some(partition) = self.partitions.get_mut(&number) else {
                        return Ok(false);
                    };
                    let Some(held) = partition.deferrals.pop() else {
                        return Ok(false);
                    };
                    partition.forget_released();
                    let Held { cause, effects, .. } = held;
                    self.apply(kafka, cause.origin, cause.key.as_deref(), &effects)?;
                }
            }
        }
    }

    /// Before a partition is given back: what is done takes effect; the rest, and handlers that
    /// wait, are dropped, and run again at the next owner.
    pub(crate) fn end_waiting(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let released = self.release_deferred(kafka, number);
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.waiting = None;
            partition.trouble = None;
            partition.deferrals.clear();
            partition.rows.forget_deferred();
        }
        released.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::partition::By;

    /// One guard is always out, so that there is never a moment at which nothing is deferred.
    #[test]
    fn rows_of_what_is_deferred_no_more_are_forgotten() {
        const VALUE: &[u8] = &[7; 64 << 10];
        let mut partition = Partition::new(0);
        for offset in 0..2000_i64 {
            let mut effects = Effects::default();
            let value = effects.encode(|out| {
                out.extend_from_slice(VALUE);
                Ok::<(), Error>(())
            });
            effects.set_row(Row::Put(value.unwrap()));
            let key = offset.to_be_bytes().to_vec();
            let origin = Origin {
                partition: 0,
                by: By::Source(0),
                offset,
                timestamp: 0,
                attempts: 0,
            };
            let held = Held {
                cause: Cause {
                    origin,
                    key: Some(key),
                },
                record: None,
                effects,
                since: Duration::ZERO,
            };
            held.defer_row(&partition.rows);
            partition.deferrals.push(held);
            if offset > 0 {
                partition.deferrals.pop();
                partition.forget_released();
            }
            assert!(partition.rows.deferred_size() < 2 * BYTES_MAX + 2 * VALUE.len());
        }
        let last = 1999_i64.to_be_bytes();
        let is_there = |key: &[u8]| partition.rows.read(key, |row| row == Some(VALUE)).unwrap();
        assert!(is_there(&last), "what is deferred is still read");
        assert!(!is_there(&0_i64.to_be_bytes()));
    }
}
