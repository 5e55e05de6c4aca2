//! Deferred records (`ctx.defer()`): holds the effects of a record back until the guards of the record are done, and
//! then releases these effects. Must not know who finishes a guard.

use tracing::warn;

use super::{conclude::topic_of, state::Handling};
use crate::{
    base::{
        error::BoxError,
        policy::Last,
        policy::Verdict,
        record::{OwnedRecord, Record},
    },
    engine::{
        effects::Effects,
        env::Env,
        halt::Halt,
        partition::{
            Partition, Partitions,
            deferrals::{Front, Held},
            origin::{By, Cause, Origin},
        },
        port::fault::Fault,
        program::{Failure, Stage},
    },
};

/// The state of the oldest deferred record of a partition.
pub(crate) enum Oldest {
    /// No record is deferred.
    None,
    /// At least one guard of the record is not done.
    Waits,
    /// The guards of the record are done, or one of them failed: the record can be released.
    Ready,
}

impl Handling {
    /// Applies effects, or holds them back if the handler deferred the record or an earlier record of the partition is
    /// held back. Returns a buffer for the next effects.
    pub(super) fn take_effect(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        (origin, record): (Origin, &Record<'_>),
        effects: Effects,
    ) -> Result<Effects, Halt> {
        let key = record.key;
        let Some(partition) = partitions.get_mut(origin.partition) else {
            return Ok(effects);
        };
        if partition.deferrals().is_empty() && effects.deferred().is_empty() {
            self.apply(env, partitions, origin, key, &effects)?;
            if env.spec.settings.fault.is(Fault::DoubleApply) {
                self.apply(env, partitions, origin, key, &effects)?;
            }
            return Ok(effects);
        }
        if !self.rules.may_defer {
            let failure = Failure {
                stage: Stage::Broken,
                doing: "defer the record",
                source: BoxError::from(
                    "`ctx.defer()` works only with at-least-once, because exactly-once commits all partitions of a \
                     worker together: wait in an `async fn` instead, or set the guarantee of this app to at-least-once",
                ),
            };
            return Err(self.failed(env, origin, key, failure).into());
        }
        let is_deferred = !effects.deferred().is_empty();
        let is_kept = is_deferred && self.may_need_record(env, origin);
        let held = Held {
            cause: Cause {
                origin,
                key: key.map(<[u8]>::to_vec),
            },
            record: is_kept.then(|| OwnedRecord::of(record)),
            effects,
            since: env.now(),
        };
        partition.defer(held);
        Ok(Effects::default())
    }

    /// Whether the error policy may need the record if a guard fails after the handler has returned.
    fn may_need_record(&self, env: &Env<'_>, origin: Origin) -> bool {
        let policy = self.policy(env, origin, Stage::Handler);
        matches!(origin.by, By::Source(_))
            && policy.verdict(origin.attempts) != Verdict::Last(Last::Fail)
    }

    /// Returns the state of the oldest deferred record of a partition. Logs a warning if this record has been deferred
    /// for long.
    pub(crate) fn oldest(&self, env: &Env<'_>, number: i32, partition: &mut Partition) -> Oldest {
        let (origin, since) = match partition.deferrals().front() {
            Front::None => return Oldest::None,
            Front::Done | Front::Failed(_) => return Oldest::Ready,
            Front::Waits(held) => (held.cause.origin, held.since),
        };
        let deferrals = partition.queue_mut().deferrals_mut();
        if deferrals.is_long_due(env.now()) {
            warn!(
                group = env.group(),
                topic = topic_of(env, origin),
                partition = number,
                offset = origin.offset,
                seconds = env.now().saturating_sub(since).as_secs(),
                held_back = deferrals.len(),
                "deferred record is not finished and holds back its partition: call `done` on the guard of the record, or drop the guard"
            );
        }
        Oldest::Waits
    }

    /// Releases the oldest deferred record: applies its effects or, if a guard failed, does what the error policy says.
    pub(crate) fn release(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        match partition.deferrals().front() {
            Front::None | Front::Waits(_) => Ok(()),
            Front::Done => {
                let Some(Held { cause, effects, .. }) = partition.take_deferred() else {
                    return Ok(());
                };
                self.apply(
                    env,
                    partitions,
                    cause.origin,
                    cause.key.as_deref(),
                    &effects,
                )
            }
            Front::Failed(reason) => {
                let failure = Failure {
                    stage: Stage::Handler,
                    doing: "finish the deferred record",
                    source: BoxError::from(reason),
                };
                self.deferred_failed(env, partitions, number, failure)
            }
        }
    }

    /// Handles the failure of a guard of the oldest deferred record. Later records may have read the row that this
    /// record wrote. The effects of the later records are held back as well: the worker drops the later records and
    /// fetches them again.
    fn deferred_failed(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        failure: Failure,
    ) -> Result<(), Halt> {
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        let Some(Held { cause, record, .. }) = partition.take_deferred() else {
            return Ok(());
        };
        let (origin, key) = (cause.origin, cause.key.as_deref());
        let (Some(record), By::Source(source)) = (record, origin.by) else {
            return Err(self.failed(env, origin, key, failure).into());
        };
        partition.go_back(source, origin.offset);
        env.kafka.unassign(number)?;
        env.kafka.assign(number, partition.feed().fetched())?;
        let effects = std::mem::take(&mut self.effects);
        let record = record.as_record();
        self.effects = self.judge(env, partitions, (origin, &record), effects, failure)?;
        Ok(())
    }
}
