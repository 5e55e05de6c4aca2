//! One worker: the loop of its thread over its connection and its partitions. This file is the only place that applies
//! a setback (an event that voids uncommitted work and sends partitions back to recovery).
//!
//! Workers share nothing, so that adding workers to a process scales as adding processes does. Must not know how the
//! modules of the engine do their work.

use std::time::Duration;

use tracing::{debug, warn};

use crate::{
    base::{error::Error, index::SourceIx},
    engine::{
        commit::Claim,
        core::Core,
        halt::{Halt, Setback, Why},
        port::{Event, Kafka, Reader, Step, fault::Fault},
        recovery::{self, Recovery, Resume, Undone},
        spec::Spec,
    },
};

/// The greatest number of events that one turn takes. The limit keeps events from starving recovery and waiting work.
const EVENTS_MAX: usize = 4096;
/// Within a turn, the worker takes delivery reports and makes due commits each time after this many events.
const EVENTS_PER_LOOK: usize = 64;
/// How long recovery may wait for answers of brokers in one turn. When this time is over, the remaining partitions are
/// left to the next turn.
const QUESTIONS_MAX: Duration = Duration::from_secs(1);
/// How long one turn reads changelogs while some partition runs.
const RESTORE_BESIDE_RUNNING: Duration = Duration::from_millis(5);
/// How long one turn reads changelogs while no partition runs.
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

    /// Performs one bounded step: recovers partitions, polls async handlers, visits rows, takes events, commits. If
    /// there is nothing to do, waits at most `idle`.
    ///
    /// # Errors
    /// The worker has to end: [`close`](Self::close) it.
    pub(crate) fn turn(&mut self, idle: Duration) -> Result<(), Error> {
        let (core, kafka) = (&mut self.core, &*self.kafka);
        core.surroundings.env(kafka).tick();
        let recovering = core.recover(kafka)?;
        let waits = core.advance_waiting(kafka);
        let waits = core.unless_set_back(kafka, waits)?.unwrap_or(false);
        let visits = core.visit(kafka);
        let visits = core.unless_set_back(kafka, visits)?.unwrap_or(false);
        let mut wait = match (recovering || visits, waits || !core.commit.is_open()) {
            (true, _) => Duration::ZERO,
            (false, true) if core.handling.is_woken() => Duration::ZERO,
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
        &self.core.partitions
    }

    /// Whether an offset commit is in flight.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn is_committing(&self) -> bool {
        self.core.commit.is_committing()
    }

    /// The status of this worker.
    #[cfg(test)]
    pub(crate) fn status(&self) -> &crate::engine::status::Status {
        &self.core.surroundings.spec().status
    }

    /// Ends the worker without committing and without leaving the group: another member has taken this worker's place.
    pub(crate) fn abandon(mut self) -> Result<(), Error> {
        let (core, kafka) = (&mut self.core, &*self.kafka);
        let numbers = core.partitions.numbers();
        let result = core.give_back(kafka, &numbers, true);
        kafka.close();
        result
    }

    /// Ends the worker: waits for the records in flight, commits the handled records, and leaves the group.
    pub(crate) fn close(self) -> Result<(), Error> {
        let Worker { mut core, kafka } = self;
        let numbers = core.partitions.numbers();
        core.recovery.keep_left();
        let result = core.give_back(&*kafka, &numbers, false);
        match kafka.in_flight() {
            0 => {}
            // These records belong to partitions that were lost or failed. The records of other partitions are
            // delivered.
            in_flight => debug!(
                group = core.surroundings.spec().program.group(),
                in_flight, "leaving the group with records in flight"
            ),
        }
        kafka.close();
        // Dropping the connection leaves the group.
        drop(kafka);
        core.recovery.close_left();
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
            Event::OutOfRange { source, partition } => self.out_of_range(source, partition),
            Event::Failed(error) => Err(error.into()),
        }
    }

    /// Returns a setback of a partition, because the next offset of a source is out of range. Recovery then asks for
    /// the ends of the log again, chooses where to resume, and commits this position to the group before the partition
    /// handles a record.
    fn out_of_range(&mut self, source: SourceIx, number: i32) -> Result<(), Halt> {
        let Some(partition) = self.partitions.running_mut(number) else {
            return Ok(());
        };
        if partition.feed().is_held() {
            return Ok(());
        }
        partition.feed_mut().set_out_of_range(source);
        Err(Setback::dropped(number, "the next offset of an input is out of range").into())
    }

    /// Takes delivery reports, and makes due commits.
    fn serve_and_commit(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let env = self.surroundings.env(kafka);
        env.tick();
        self.partitions.serve(&env, Duration::ZERO);
        let committed = self.commit_due(kafka, None);
        self.unless_set_back(kafka, committed).map(|_| ())
    }

    /// Advances the recovery of every partition that does not run yet. Returns whether some partition is being
    /// restored.
    fn recover(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        let env = self.surroundings.env(kafka);
        let table = env.spec.table.as_ref();
        if let Some(standby) = table.and_then(|table| table.standby.as_ref()) {
            standby.check()?;
        }
        for number in self.commit.take_interrupted() {
            self.recovery.interrupted(number);
        }
        if self.commit.is_undecided() && !env.spec.settings.fault.is(Fault::NoGate) {
            return Ok(false);
        }
        let began = kafka.now();
        for number in self.recovery.pending() {
            let moved = self.move_on(kafka, number);
            self.unless_set_back(kafka, moved)?;
            if kafka.now().saturating_sub(began) > QUESTIONS_MAX {
                // A request to an unreachable broker lasts until its timeout, and running partitions wait meanwhile.
                self.recovery.resume_at(number + 1);
                break;
            }
        }
        if !self.recovery.is_restoring() {
            return Ok(false);
        }
        if let Some(reader) = kafka.table() {
            self.recovery.start_reading(reader)?;
            self.read_changelog(kafka, reader)?;
        }
        Ok(true)
    }

    fn read_changelog(&mut self, kafka: &dyn Kafka, reader: &dyn Reader) -> Result<(), Error> {
        let budget = match self.partitions.any_running() {
            true => RESTORE_BESIDE_RUNNING,
            false => RESTORE_ALONE,
        };
        let until = kafka.now() + budget;
        let mut wait = Duration::from_millis(2);
        for taken in 1.. {
            let env = self.surroundings.env(kafka);
            let mut result = Ok(None);
            let some = reader.poll(wait, &mut |event| {
                result = self
                    .recovery
                    .on_changelog(&env, &mut self.partitions, event);
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

    /// Advances the recovery of a partition.
    fn move_on(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let env = self.surroundings.env(kafka);
        match self.recovery.step(&env, &mut self.partitions, number)? {
            recovery::Step::Wait => Ok(()),
            recovery::Step::Claim => self.claim(kafka, number),
        }
    }

    /// Claims a partition: commits the positions at which the partition resumes. The commit proves that the partition
    /// is ours, and the partition then runs.
    fn claim(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let env = self.surroundings.env(kafka);
        if !self.recovery.has_tables(&env, number)? {
            return Ok(());
        }
        let positions = match self.recovery.resume(&env, &self.partitions, number)? {
            Resume::At(positions) => positions,
            Resume::Unknown => return Ok(()),
            // Rows that are sent while a transaction is being aborted wait for the next transaction: claim again after
            // the abort.
            Resume::Reset if self.commit.is_undecided() => return Ok(()),
            Resume::Reset => {
                self.reset(kafka, number)?;
                return self.claim(kafka, number);
            }
        };
        let has_rows = self.recovery.must_undo(number);
        if has_rows && !self.undo(kafka, number)? {
            return Ok(());
        }
        let env = self.surroundings.env(kafka);
        let began = kafka.now();
        let changelog = self
            .recovery
            .claimed_changelog(&env, &self.partitions, number);
        let claim = Claim {
            partition: number,
            inputs: &positions,
            changelog,
            previous: self.recovery.previous_owners(number),
        };
        let claimed = self
            .commit
            .claim(&env, &mut self.partitions, claim, has_rows)?;
        match claimed {
            Ok(()) => self
                .recovery
                .run(&env, &mut self.partitions, number, positions),
            Err(error) => {
                self.recovery.not_claimed(&env, number, began, &error);
                Ok(())
            }
        }
    }

    /// Undoes the tail of a partition in a transaction of its own, which the claim will commit. `false`: not now, or
    /// the tail has to be read again.
    fn undo(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Halt> {
        if self.commit.is_undecided() {
            return Ok(false);
        }
        let env = self.surroundings.env(kafka);
        self.commit.clear_transaction(&env, &mut self.partitions)?;
        loop {
            match self.recovery.undo(&env, &mut self.partitions, number)? {
                Undone::Done => return Ok(true),
                Undone::Again => return Ok(false),
                Undone::Waiting => self.partitions.serve(&env, Duration::from_millis(2)),
            }
        }
    }

    /// Deletes every row of a partition, in the changelog and in the local copy (`start = reset`).
    fn reset(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let env = self.surroundings.env(kafka);
        Recovery::log_reset(&env, number);
        self.commit.clear_transaction(&env, &mut self.partitions)?;
        while let Some(deleted) = self
            .recovery
            .delete_rows(&env, &mut self.partitions, number)?
        {
            self.commit
                .commit_alone(&env, &mut self.partitions, number)?;
            self.recovery
                .deleted(&mut self.partitions, number, deleted)?;
        }
        Ok(())
    }

    /// Returns the value of `result`. If `result` is a setback, applies the setback and returns `None`.
    ///
    /// # Errors
    /// The worker has to end: `result` is a fatal error, or applying the setback returned an error.
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

    /// Applies a setback: voids uncommitted work, and sends the partitions of this work back to recovery.
    ///
    /// # Errors
    /// The worker has to end: the cause of the setback is fatal, there were too many setbacks in a row, or the
    /// connection is unusable.
    pub(super) fn set_back(&mut self, kafka: &dyn Kafka, setback: Setback) -> Result<(), Error> {
        let Setback { scope, why } = setback;
        let reason = why.to_string();
        let env = self.surroundings.env(kafka);
        let voided = self.commit.void(&env, &mut self.partitions, scope, &reason);
        if voided.is_in_doubt {
            self.handling.doubt_visit(&self.partitions);
        }
        let mut stopped = Ok(());
        for &number in &voided.partitions {
            let Some(partition) = self.partitions.get_mut(number) else {
                continue;
            };
            warn!(
                group = env.group(),
                partition = number,
                reason,
                "uncommitted work dropped; recovering"
            );
            partition.drop_uncommitted();
            self.recovery.begin(&env, number);
            // These calls fail if the connection is unusable. The remaining partitions are set back all the same.
            let stop = || {
                kafka.unassign(number)?;
                kafka.table().map_or(Ok(()), |reader| reader.stop(number))
            };
            stopped = stopped.and(stop());
        }
        let of = scope.partition();
        let partition = of.and_then(|number| self.partitions.get_mut(number));
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

/// Returns the error that ends a worker if `counted` says that a partition had too many setbacks in a row.
fn too_many(group: &str, of: Option<i32>, counted: Option<(u32, String)>) -> Result<(), Error> {
    let Some((recoveries, reason)) = counted else {
        return Ok(());
    };
    let partition = of.unwrap_or_default();
    Err(Error::kafka(
        format!(
            "deliver the records of group `{group}`, partition {partition}, even after {recoveries} recoveries"
        ),
        reason,
    ))
}
