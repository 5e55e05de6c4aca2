//! What handlers deferred (`ctx.defer()`), and what stands behind it in its partition: done, but
//! without effect yet. Nothing of it is in Kafka or in the local copy, so whatever ends a worker
//! lets it run again, whole, and no later record twice.

use std::{collections::VecDeque, time::Duration};

use tracing::warn;

use crate::{
    BoxError, Error,
    engine::{
        effects::{Effects, Row},
        fault::Fault,
        partition::{Cause, Origin},
        program::Failure,
        worker::Core,
    },
    kafka::Kafka,
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
struct Held {
    cause: Cause,
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

    fn pop(&mut self) -> Option<Held> {
        let held = self.records.pop_front()?;
        self.bytes -= held.size();
        self.named_at = None;
        Some(held)
    }
}

impl Held {
    fn size(&self) -> usize {
        size_of::<Self>() + self.effects.size() + self.cause.key.as_ref().map_or(0, Vec::len)
    }

    /// What became of its guards; `None` while one is out.
    fn outcome(&self) -> Option<Result<(), String>> {
        let mut guards = self.effects.deferred().iter();
        guards.try_fold(Ok(()), |all: Result<(), String>, guard| {
            Some(all.and(guard.outcome()?))
        })
    }
}

impl Core {
    /// What a handler did takes effect, or is held back behind what waits for a guard. The buffer
    /// comes back.
    pub(crate) fn take_effect(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        key: Option<&[u8]>,
        effects: Effects,
    ) -> Result<Effects, Error> {
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
                doing: "defer its record",
                source: BoxError::from(
                    "`ctx.defer()` is for at-least-once: under exactly-once all partitions of a worker are committed \
                     together; wait in an `async fn` instead, or set the guarantee of this app to at-least-once",
                ),
            };
            return Err(self.failed(origin, key, failure));
        }
        let Some(partition) = self.partitions.get_mut(&origin.partition) else {
            return Ok(effects);
        };
        if let Some(key) = key {
            match effects.row() {
                Row::Untouched => {}
                Row::Put(range) => partition.rows.defer(key, Some(effects.bytes(range))),
                Row::Delete => partition.rows.defer(key, None),
            }
        }
        let key = key.map(<[u8]>::to_vec);
        partition.deferrals.push(Held {
            cause: Cause { origin, key },
            effects,
            since: self.now,
        });
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
            let Cause { origin, key } = &front.cause;
            match front.outcome() {
                None => {
                    let named_at = deferrals.named_at.unwrap_or(front.since);
                    if now.saturating_sub(named_at) > LONG {
                        let (origin, held_back) = (*origin, deferrals.records.len());
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
                        doing: "finish what it deferred",
                        source: BoxError::from(reason),
                    };
                    let (origin, key) = (*origin, key.clone());
                    return Err(self.failed(origin, key.as_deref(), failure));
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
                    if partition.deferrals.is_empty() {
                        partition.rows.forget_deferred();
                    }
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
            partition.deferrals.clear();
            partition.rows.forget_deferred();
        }
        released.map(|_| ())
    }
}
