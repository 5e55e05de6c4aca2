//! The commit protocol for exactly-once. A Kafka transaction commits all partitions of a worker together: the effects
//! of their handlers and the positions after the handled records. A commit has these steps, in this order: the
//! transaction ends, and the interval of every partition closes, while handlers go on in the next transaction; all
//! delivery reports arrive; the positions are added to the transaction, and Kafka commits it; the rows and positions
//! of each partition are written to its local copy, immediately or together with those of later intervals. A local
//! copy is therefore never ahead of Kafka. Recovery reads from the changelog the rows that a local copy lacks.
//!
//! A failure before Kafka has committed the transaction, or an unknown outcome of the commit, voids the intervals of
//! all partitions. Each partition recovers, and the committed offsets show whether the transaction was committed. No
//! further rule is needed against a zombie (a member that was paused past its session): the group refuses the
//! positions of a zombie.

use std::time::Duration;

use tracing::warn;

use super::{offsets::positions_of, work::Work};
use crate::engine::{
    env::Env,
    halt::{Halt, Scope, Setback, Voided, Why},
    partition::{Partition, Partitions},
    port::{Position, Step, fault::Fault},
};

/// How often an idle worker commits its positions again: by default, brokers keep the offsets of topics that a group
/// does not subscribe to for a week. Beside busy partitions, a transaction commits them, see [`stale`].
const REFRESH: Duration = Duration::from_secs(3600);
/// How long a transaction may take to be committed that a partition waits for before it runs.
const ALONE_TIMEOUT: Duration = Duration::from_secs(30);

/// The state of the protocol at one worker: the stage of its transaction.
#[derive(Default)]
pub(crate) struct ExactlyOnce {
    stage: Stage,
    /// Idle partitions, which have no records in the transaction. The transaction commits their positions again.
    refreshed: Vec<i32>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// The transaction takes records.
    #[default]
    Open,
    /// The transaction takes no more records, and waits for delivery reports.
    Ended,
    /// The commit of the transaction is in flight.
    Committing,
    /// The abort of the transaction is in flight.
    Aborting,
}

impl ExactlyOnce {
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(crate) fn is_aborting(&self) -> bool {
        self.stage == Stage::Aborting
    }

    /// Whether the open interval takes one more record. `false`: the interval was full, or too many records wait for
    /// the next transaction; this call has advanced the commit.
    pub(crate) fn has_room(&mut self, work: &mut Work<'_>, number: i32) -> Result<bool, Halt> {
        if work.takes_record(number)? && (self.is_open() || !work.env.kafka.is_full()) {
            return Ok(true);
        }
        work.partitions.serve(&work.env, Duration::from_millis(1));
        self.transact(work, true)?;
        Ok(false)
    }

    /// Ends the transaction if its end is due or `now` is set, and advances its commit or abort as far as Kafka
    /// allows.
    pub(crate) fn transact(&mut self, work: &mut Work<'_>, now: bool) -> Result<(), Halt> {
        work.store_due()?;
        if self.is_open() {
            let (time, interval) = (work.env.now(), work.env.spec.settings.commit_interval);
            let is_due = |partition: &Partition| {
                let intervals = partition.intervals();
                let is_old = || time.saturating_sub(intervals.open_since()) >= interval;
                intervals.open_records() > 0 && (now || is_old())
            };
            if work.partitions.next(0, is_due).is_none() {
                return keep_idle(work);
            }
            self.end(work)?;
        }
        self.advance(work)
    }

    /// Ends the transaction: records that are handled from now on belong to the next one.
    fn end(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        let is_left = |partition: &Partition| {
            partition.is_running() && partition.intervals().open_records() > 0
        };
        let mut from = 0;
        while let Some(number) = work.partitions.next(from, is_left) {
            from = number + 1;
            work.close_interval(number)?;
        }
        work.env.kafka.end_transaction();
        self.stage = Stage::Ended;
        Ok(())
    }

    fn advance(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        match self.stage {
            Stage::Open => Ok(()),
            Stage::Ended => self.commit_if_delivered(work),
            Stage::Committing => match work.env.kafka.transaction() {
                None => Ok(()),
                Some(Ok(())) => self.committed(work),
                Some(Err(error)) => Err(aborted(None, error.to_string())),
            },
            Stage::Aborting => {
                if let Some(outcome) = work.env.kafka.transaction() {
                    self.stage = Stage::Open;
                    outcome?;
                }
                Ok(())
            }
        }
    }

    fn commit_if_delivered(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        let numbers = closing(work.partitions);
        let mut positions = Vec::new();
        for &number in &numbers {
            if !work.is_delivered(number) {
                return Ok(());
            }
            let Some(partition) = work.partitions.get(number) else {
                continue;
            };
            let intervals = partition.intervals();
            let inputs = intervals.closing_positions().unwrap_or_default();
            let rows = work.partitions.ledger();
            let rows = rows.changelog(number, intervals.closing_half());
            let changelog = rows.unwrap_or(partition.copy().changelog());
            positions.extend(positions_of(&work.env, number, inputs, (changelog, false)));
        }
        self.refreshed = stale(work);
        for &number in &self.refreshed {
            if let Some(partition) = work.partitions.get(number) {
                let inputs = partition.intervals().acknowledged();
                let changelog = partition.copy().changelog();
                positions.extend(positions_of(&work.env, number, inputs, (changelog, false)));
            }
        }
        let ledger = work.partitions.ledger_mut();
        let failures = numbers.iter();
        let failures = failures.filter_map(|&number| Some((number, ledger.failure(number)?)));
        // Prefer a final failure to failures that may pass: other records were given up because of the final failure.
        if let Some((number, failure)) = failures.min_by_key(|(_, failure)| failure.may_pass) {
            return Err(Setback::undelivered(Scope::Partition(number), failure).into());
        }
        work.env.kafka.reached(Step::Delivered)?;
        if work.env.spec.settings.fault.is(Fault::CommitBeforeAck) {
            acknowledge(work)?;
        }
        work.env.kafka.commit_transaction(&positions);
        self.stage = Stage::Committing;
        Ok(())
    }

    /// Acknowledges and stores the closing intervals, because Kafka has committed the transaction.
    fn committed(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        self.stage = Stage::Open;
        let now = work.env.kafka.now();
        work.offsets.set_committed_at(now);
        work.env.kafka.reached(Step::Committed)?;
        let refreshed = std::mem::take(&mut self.refreshed);
        for &number in &refreshed {
            if let Some(partition) = work.partitions.running_mut(number) {
                let changes = partition.intervals_mut().offered(now);
                partition.intervals_mut().taken(changes);
            }
        }
        acknowledge(work)?;
        refreshed
            .into_iter()
            .try_for_each(|number| work.refresh(number))
    }

    /// Handles the loss of partitions of this worker: returns a setback that voids the transaction, unless the
    /// transaction is empty.
    pub(crate) fn lose(&mut self, partitions: &Partitions) -> Result<(), Halt> {
        let has_records = |partition: &Partition| partition.intervals().open_records() > 0;
        if self.is_open() && partitions.next(0, has_records).is_none() {
            return Ok(());
        }
        Err(aborted(
            None,
            "the group took partitions away from this worker",
        ))
    }

    /// Aborts the transaction if it contains work of this scope. After an abort, all running partitions have to
    /// recover. Returns the partitions that have to recover.
    pub(crate) fn void(
        &mut self,
        env: &Env<'_>,
        partitions: &Partitions,
        scope: Scope,
        reason: &str,
    ) -> Voided {
        let mut numbers = match scope {
            Scope::Partition(number) if partitions.running(number).is_none() => {
                return Voided {
                    partitions: vec![number],
                    is_in_doubt: false,
                };
            }
            Scope::Partition(_) => partitions.which(Partition::is_running),
            Scope::Transaction(_) => partitions.which(Partition::is_running),
            Scope::Worker => partitions.numbers(),
        };
        if let Scope::Transaction(Some(number)) = scope
            && !numbers.contains(&number)
        {
            numbers.push(number);
        }
        warn!(group = env.group(), reason, "transaction aborted");
        let is_in_doubt = self.stage == Stage::Committing;
        if self.stage != Stage::Aborting {
            env.kafka.abort_transaction();
            self.stage = Stage::Aborting;
        }
        Voided {
            partitions: numbers,
            is_in_doubt,
        }
    }

    /// Commits the handled records of all partitions.
    pub(crate) fn commit_all(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        let numbers = work.partitions.numbers();
        let give_up = work.env.kafka.now() + ALONE_TIMEOUT;
        self.commit_now(work, &numbers, give_up)
    }

    /// Commits the handled records of these partitions, together with those of all other partitions. If the commit is
    /// not done by `give_up`, returns a setback that aborts the transaction.
    pub(crate) fn commit_now(
        &mut self,
        work: &mut Work<'_>,
        numbers: &[i32],
        give_up: Duration,
    ) -> Result<(), Halt> {
        loop {
            let mut partitions = numbers.iter().filter_map(|&n| work.partitions.get(n));
            if self.is_aborting() || !partitions.any(|p| !p.intervals().is_empty()) {
                return Ok(());
            }
            self.transact(work, true)?;
            if work.env.kafka.now() > give_up {
                return Err(aborted(
                    None,
                    "the transaction could not be committed in time",
                ));
            }
            work.partitions.serve(&work.env, Duration::from_millis(2));
        }
    }
}

/// Acknowledges the closing intervals, which Kafka has committed, and then stores their rows. All intervals are
/// acknowledged before the first interval is stored, so that a full disk sets back only one partition.
fn acknowledge(work: &mut Work<'_>) -> Result<(), Halt> {
    let now = work.env.kafka.now();
    let numbers = closing(work.partitions);
    for &number in &numbers {
        work.acknowledge(number);
        if let Some(partition) = work.partitions.get_mut(number) {
            let changes = partition.intervals_mut().offered(now);
            partition.intervals_mut().taken(changes);
        }
    }
    numbers
        .into_iter()
        .try_for_each(|number| work.store_if_due(number))
}

/// Idle partitions whose committed positions would expire if they were not committed again.
fn stale(work: &Work<'_>) -> Vec<i32> {
    let now = work.env.now();
    let is_stale = |partition: &Partition| {
        let intervals = partition.intervals();
        partition.is_running() && !intervals.is_closing() && intervals.is_stale(now)
    };
    work.partitions.which(is_stale)
}

fn closing(partitions: &Partitions) -> Vec<i32> {
    partitions.which(|partition| partition.intervals().is_closing())
}

fn aborted(with: Option<i32>, reason: impl Into<String>) -> Halt {
    let (scope, why) = (Scope::Transaction(with), Why::Dropped(reason.into()));
    Setback { scope, why }.into()
}

/// Commits rows of a partition that does not run yet, together with these positions. The rows were sent outside of all
/// intervals, and all of them must be delivered already.
pub(crate) fn commit_alone(
    work: &mut Work<'_>,
    number: i32,
    positions: &[Position],
) -> Result<(), Halt> {
    let env = work.env;
    let give_up = env.kafka.now() + ALONE_TIMEOUT;
    env.kafka.end_transaction();
    env.kafka.commit_transaction(positions);
    loop {
        match env.kafka.transaction() {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => return Err(aborted(Some(number), error.to_string())),
            None if env.kafka.now() <= give_up => {
                work.partitions.serve(&env, Duration::from_millis(2));
            }
            None => {
                return Err(aborted(
                    Some(number),
                    "the transaction could not be committed in time",
                ));
            }
        }
    }
}

/// Keeps the positions of an idle worker from expiring, and its local copies from being taken for outdated.
fn keep_idle(work: &mut Work<'_>) -> Result<(), Halt> {
    let now = work.env.now();
    if now.saturating_sub(work.offsets.committed_at()) < REFRESH {
        return Ok(());
    }
    work.offsets.set_committed_at(now);
    if work.partitions.any_running() {
        work.commit(|partition| partition.intervals().is_empty())?;
    }
    for number in work.partitions.which(Partition::is_running) {
        work.refresh(number)?;
    }
    Ok(())
}
