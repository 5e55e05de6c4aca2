//! One worker: the loop of a thread over its connection and its partitions, and the only place that applies a setback.
//!
//! Workers share nothing, so that more workers in a process scale as more processes do. Must not know how the rooms do
//! their work.

use std::time::Duration;

use tracing::{debug, warn};

use crate::{
    base::{error::Error, index::SourceIx},
    engine::{
        core::{Core, Rooms},
        halt::{Halt, Setback, Why},
        port::{Event, Kafka, Reader, Step, fault::Fault},
        recovery::{self, Recovery, Resume},
        spec::Spec,
    },
};

/// Most events taken in one turn, so that recovery and waiting work are not starved.
const EVENTS_MAX: usize = 4096;
/// A turn takes delivery reports and makes due commits after so many events.
const EVENTS_PER_LOOK: usize = 64;
/// How long one turn may wait for brokers' answers in recovery before it leaves the remaining partitions to the next
/// turn.
const QUESTIONS_MAX: Duration = Duration::from_secs(1);
/// How long one turn reads changelogs: while other partitions run, and while none runs.
const RESTORE_BESIDE_RUNNING: Duration = Duration::from_millis(5);
const RESTORE_ALONE: Duration = Duration::from_millis(50);

/// A worker. Call [`turn`](Worker::turn) in a loop, then [`close`](Worker::close). Dropping a worker without closing it
/// acts like a crash.
pub(crate) struct Worker {
    core: Core,
    kafka: Box<dyn Kafka>,
}

impl Worker {
    pub(crate) fn new(spec: Spec, kafka: Box<dyn Kafka>) -> Self {
        let core = Core::new(spec, &*kafka);
        Worker { core, kafka }
    }

    /// One bounded step: recovers partitions, polls async handlers, takes events, commits. Waits at most `idle` if
    /// there is nothing to do.
    ///
    /// # Errors
    /// The worker has to end: [`close`](Self::close) it.
    pub(crate) fn turn(&mut self, idle: Duration) -> Result<(), Error> {
        let (core, kafka) = (&mut self.core, &*self.kafka);
        core.rooms(kafka).env.tick();
        let recovering = core.recover(kafka)?;
        let waits = core.advance_waiting(kafka);
        let waits = core.unless_set_back(kafka, waits)?.unwrap_or(false);
        let visits = core.visit(kafka);
        let visits = core.unless_set_back(kafka, visits)?.unwrap_or(false);
        let Rooms {
            handling, commit, ..
        } = core.rooms(kafka);
        let mut wait = match (recovering || visits, waits || !commit.is_open()) {
            (true, _) => Duration::ZERO,
            (false, true) if handling.is_woken() => Duration::ZERO,
            (false, true) => idle.min(Duration::from_millis(1)),
            (false, false) => idle,
        };
        for taken in 1..=EVENTS_MAX {
            let mut result = Ok(());
            kafka.ahead(&mut |number, keys| core.look_ahead(number, keys));
            if !kafka.poll(wait, &mut |event| result = core.on(kafka, event)) {
                break;
            }
            core.unless_set_back(kafka, result)?;
            wait = Duration::ZERO;
            if taken % EVENTS_PER_LOOK == 0 {
                core.serve_and_commit(kafka)?;
            }
        }
        core.serve_and_commit(kafka)
    }

    /// The partitions that this worker has.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn partitions(&self) -> &crate::engine::partition::Partitions {
        self.core.partitions()
    }

    /// Whether an offset commit is in flight.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn is_committing(&self) -> bool {
        self.core.is_committing()
    }

    /// The status of this worker.
    #[cfg(test)]
    pub(crate) fn status(&self) -> &crate::engine::status::Status {
        &self.core.spec.status
    }

    /// Ends without committing or leaving the group: another member has taken this worker's place.
    pub(crate) fn abandon(mut self) -> Result<(), Error> {
        let (core, kafka) = (&mut self.core, &*self.kafka);
        let numbers = core.partitions().numbers();
        let result = core.give_back(kafka, &numbers, true);
        kafka.close();
        result
    }

    /// Finishes and commits the records that were handled, and leaves the group.
    pub(crate) fn close(self) -> Result<(), Error> {
        let Worker { mut core, kafka } = self;
        let numbers = core.partitions().numbers();
        core.rooms(&*kafka).recovery.keep_left();
        let result = core.give_back(&*kafka, &numbers, false);
        match kafka.in_flight() {
            0 => {}
            // Records of partitions that were lost or failed. Those of other partitions are delivered.
            in_flight => debug!(
                group = core.spec.program.group(),
                in_flight, "leaving the group with records in flight"
            ),
        }
        kafka.close();
        // Dropping the connection leaves the group.
        drop(kafka);
        core.close_left();
        result
    }
}

impl Core {
    fn on(&mut self, kafka: &dyn Kafka, event: Event<'_>) -> Result<(), Halt> {
        match event {
            Event::Record { source, record } => self.take(kafka, source, &record),
            Event::Assigned(numbers) => {
                self.assigned(kafka, &numbers);
                Ok(())
            }
            Event::Revoked { partitions, lost } => {
                self.give_back(kafka, &partitions, lost)?;
                kafka.reached(Step::Revoking)?;
                kafka.released(&partitions)?;
                Ok(kafka.reached(Step::Released)?)
            }
            Event::OutOfRange { source, partition } => self.out_of_range(kafka, source, partition),
            Event::Failed(error) => Err(error.into()),
        }
    }

    /// The next offset of a source is out of range. The partition recovers: recovery looks at the log again, chooses
    /// where to resume, and tells the group before the partition handles a record.
    fn out_of_range(
        &mut self,
        kafka: &dyn Kafka,
        source: SourceIx,
        number: i32,
    ) -> Result<(), Halt> {
        let Rooms { partitions, .. } = self.rooms(kafka);
        let Some(partition) = partitions.running_mut(number) else {
            return Ok(());
        };
        if partition.feed().is_held() {
            return Ok(());
        }
        partition.feed_mut().set_out_of_range(source);
        Err(Setback::dropped(number, "offset of an input out of range").into())
    }

    /// Takes delivery reports, and makes due commits.
    fn serve_and_commit(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let Rooms {
            env, partitions, ..
        } = self.rooms(kafka);
        env.tick();
        partitions.serve(&env, Duration::ZERO);
        match self.commit_due(kafka, None) {
            Err(Halt::Setback(setback)) => self.set_back(kafka, *setback),
            Err(Halt::Fatal(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    /// Moves every partition on that does not run yet. Returns whether some partition is being restored.
    fn recover(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        let Rooms {
            env,
            commit,
            recovery,
            ..
        } = self.rooms(kafka);
        let table = env.spec.table.as_ref();
        if let Some(standby) = table.and_then(|table| table.standby.as_ref()) {
            standby.check()?;
        }
        for number in commit.take_interrupted() {
            recovery.interrupted(number);
        }
        if commit.is_undecided() && !env.spec.settings.fault.is(Fault::NoGate) {
            return Ok(false);
        }
        let began = kafka.now();
        for number in recovery.pending() {
            let moved = self.move_on(kafka, number);
            self.unless_set_back(kafka, moved)?;
            if kafka.now().saturating_sub(began) > QUESTIONS_MAX {
                // Each request to a broker that is away takes until its timeout, and running partitions wait meanwhile.
                self.rooms(kafka).recovery.resume_at(number + 1);
                break;
            }
        }
        let Rooms { recovery, .. } = self.rooms(kafka);
        if !recovery.is_restoring() {
            return Ok(false);
        }
        if let Some(reader) = kafka.table() {
            recovery.start_reading(reader)?;
            self.read_changelog(kafka, reader)?;
        }
        Ok(true)
    }

    fn read_changelog(&mut self, kafka: &dyn Kafka, reader: &dyn Reader) -> Result<(), Error> {
        let budget = match self.partitions().any_running() {
            true => RESTORE_BESIDE_RUNNING,
            false => RESTORE_ALONE,
        };
        let until = kafka.now() + budget;
        let mut wait = Duration::from_millis(2);
        for taken in 1.. {
            let Rooms {
                env,
                partitions,
                recovery,
                ..
            } = self.rooms(kafka);
            let mut result = Ok(None);
            let some = reader.poll(wait, &mut |event| {
                result = recovery.on_changelog(&env, partitions, event);
            });
            if let Some(Some(restored)) = self.unless_set_back(kafka, result)? {
                let moved = self.move_on(kafka, restored);
                self.unless_set_back(kafka, moved)?;
            }
            if !some || taken % 64 == 0 && kafka.now() >= until {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Moves a partition on in its recovery.
    fn move_on(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let Rooms {
            env,
            partitions,
            recovery,
            ..
        } = self.rooms(kafka);
        match recovery.step(&env, partitions, number)? {
            recovery::Step::Wait => Ok(()),
            recovery::Step::Claim => self.claim(kafka, number),
        }
    }

    /// Claims a partition: commits the positions where it resumes, which proves that the partition is ours. Then runs
    /// it.
    fn claim(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let Rooms {
            env,
            partitions,
            commit,
            recovery,
            ..
        } = self.rooms(kafka);
        if !recovery.has_tables(&env, number)? {
            return Ok(());
        }
        let positions = match recovery.resume(&env, partitions, number)? {
            Resume::At(positions) => positions,
            Resume::Unknown => return Ok(()),
            // What is sent while a transaction is aborted waits for its end.
            Resume::Reset if commit.is_undecided() => return Ok(()),
            Resume::Reset => {
                self.reset(kafka, number)?;
                return self.claim(kafka, number);
            }
        };
        recovery.lower_copy(&env, partitions, number, &positions)?;
        let began = kafka.now();
        match commit.claim(&env, partitions, number, &positions)? {
            Ok(()) => Ok(recovery.run(&env, partitions, number, positions)?),
            Err(error) => {
                recovery.not_claimed(&env, number, began, &error);
                Ok(())
            }
        }
    }

    /// Deletes every row of a partition, in the changelog and in the local copy (`start = reset`).
    fn reset(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let Rooms {
            env,
            partitions,
            commit,
            recovery,
            ..
        } = self.rooms(kafka);
        Recovery::log_reset(&env, number);
        commit.clear_transaction(&env, partitions)?;
        while let Some(deleted) = recovery.delete_rows(&env, partitions, number)? {
            commit.commit_alone(&env, partitions, number)?;
            recovery.deleted(partitions, number, deleted)?;
        }
        Ok(())
    }

    /// Closes the local copies of partitions that left, after the worker has left the group.
    fn close_left(&mut self) {
        self.recovery_mut().close_left();
    }

    /// Applies a setback, if the result is one, and returns `None` then.
    ///
    /// # Errors
    /// The worker ends.
    pub(super) fn unless_set_back<T>(
        &mut self,
        kafka: &dyn Kafka,
        result: Result<T, Halt>,
    ) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Halt::Setback(setback)) => self.set_back(kafka, *setback).map(|()| None),
            Err(Halt::Fatal(error)) => Err(error),
        }
    }

    /// Applies a setback: voids uncommitted work, and sends its partitions back to recovery.
    ///
    /// # Errors
    /// The worker ends, because of the cause of the setback or because of too many setbacks in a row.
    pub(super) fn set_back(&mut self, kafka: &dyn Kafka, setback: Setback) -> Result<(), Error> {
        let Setback { scope, why } = setback;
        let reason = why.to_string();
        let Rooms {
            env,
            partitions,
            handling,
            commit,
            recovery,
        } = self.rooms(kafka);
        let voided = commit.void(&env, partitions, scope, &reason);
        if voided.is_in_doubt {
            handling.doubt_visit(partitions);
        }
        let mut stopped = Ok(());
        for &number in &voided.partitions {
            let Some(partition) = partitions.get_mut(number) else {
                continue;
            };
            warn!(
                group = env.group(),
                partition = number,
                reason,
                "uncommitted work dropped; recovering"
            );
            partition.drop_uncommitted();
            recovery.begin(&env, number);
            // An unusable connection fails here. The remaining partitions are still set back.
            let stop = || {
                kafka.unassign(number)?;
                kafka.table().map_or(Ok(()), |reader| reader.stop(number))
            };
            stopped = stopped.and(stop());
        }
        let of = scope.partition();
        let partition = of.and_then(|number| partitions.get_mut(number));
        match (why, partition) {
            (Why::Fatal(error), _) => return Err(error),
            (Why::NoRoom(_), Some(partition)) => {
                partition.copy_mut().rest(kafka.now());
                env.spec.status.no_room(of.unwrap_or_default());
            }
            (Why::Undelivered(failure), Some(partition)) if !failure.may_pass => {
                let counted = partition.failures_mut().count(&failure.reason);
                stopped = stopped.and(too_many(env.group(), of, counted));
            }
            (Why::Slow(reason), Some(partition)) => {
                let counted = partition.failures_mut().count(&reason);
                stopped = stopped.and(too_many(env.group(), of, counted));
            }
            _ => {}
        }
        stopped
    }
}

/// The error that ends a worker after too many failed deliveries in a row.
fn too_many(group: &str, of: Option<i32>, counted: Option<(u32, String)>) -> Result<(), Error> {
    let Some((recoveries, reason)) = counted else {
        return Ok(());
    };
    let partition = of.unwrap_or_default();
    Err(Error::kafka(
        format!(
            "deliver what group `{group}` writes for partition {partition}, after {recoveries} recoveries"
        ),
        reason,
    ))
}
