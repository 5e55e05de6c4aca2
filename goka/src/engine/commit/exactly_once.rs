//! The commit protocol, exactly-once. The one place that decides what is committed when; for
//! at-least-once that is `commit.rs`.
//!
//! All partitions of a worker are committed together, in a transaction of Kafka: what their handlers
//! wrote, and the positions behind what they handled. In this order: the transaction ends, and with
//! it the interval of every partition, while handlers go on into the next one; every delivery report
//! is in; the positions are added, and Kafka commits; each partition's rows and positions go to its
//! local copy, now or with those of later ones. So a local copy is never ahead of Kafka, and what Kafka
//! has and the copy has not is read again from the table's topic.
//!
//! Whatever fails before Kafka has committed, and whatever is not known, drops the intervals of all
//! partitions, and each recovers: what the group has committed then says what happened. A member
//! that was paused past its session needs no rule of its own, for the group refuses its positions.

use std::{collections::BTreeMap, time::Duration};

use tracing::warn;

use crate::{
    base::{config::Guarantee, error::Error},
    engine::{
        commit::offsets::positions_of,
        partition::Partition,
        port::{Kafka, Step, fault::Fault},
        worker::Core,
    },
};

/// How long somebody else's transaction may stand in the way before it is ended.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long to wait before that is tried again.
const FENCE_AGAIN: Duration = Duration::from_secs(5);
/// When it is said that one stands in the way, at first and then.
const SAY: Duration = Duration::from_secs(5);
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// How often an idle group commits its positions again: Kafka forgets those of topics that nobody
/// subscribes to after a week.
const REFRESH: Duration = Duration::from_secs(3600);
/// How long rows of a reset may take to be committed.
const ALONE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the transaction of a worker is doing.
#[derive(Default)]
pub(crate) struct Transaction {
    stage: Stage,
    /// Partitions whose recovery somebody else's transaction holds up, and when to end it.
    blocked: BTreeMap<i32, Duration>,
    /// The same in both guarantees: since when, and when that is said.
    open: BTreeMap<i32, (Duration, Duration)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// It takes records.
    #[default]
    Open,
    /// It has ended, and waits for delivery reports.
    Ended,
    /// Kafka was asked to commit it.
    Committing,
    /// Kafka was asked to give it up.
    Aborting,
}

impl Transaction {
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(crate) fn is_aborting(&self) -> bool {
        self.stage == Stage::Aborting
    }

    /// Nothing holds a partition up (any more).
    pub(crate) fn unblocked(&mut self, number: i32) {
        self.blocked.remove(&number);
        self.open.remove(&number);
    }
}

impl Core {
    pub(crate) fn is_exactly_once(&self) -> bool {
        self.spec.settings.guarantee == Guarantee::ExactlyOnce
    }

    /// Ends the transaction if that is due, or `now`, and moves it on as far as Kafka allows.
    pub(crate) fn transact(&mut self, kafka: &dyn Kafka, now: bool) -> Result<(), Error> {
        self.store_due(kafka)?;
        if self.transaction.stage == Stage::Open {
            let interval = self.spec.settings.commit_interval;
            let is_due = |p: &Partition| now || self.now.saturating_sub(p.open.began) >= interval;
            let mut began = self.partitions.values().filter(|p| p.open.records > 0);
            if !began.any(is_due) {
                return self.keep_idle_positions(kafka);
            }
            self.end_transaction(kafka)?;
        }
        self.advance_transaction(kafka)
    }

    /// What is handled from now on belongs to the next transaction.
    fn end_transaction(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let mut next = 0;
        let is_left = |p: &Partition| p.is_running() && p.open.records > 0;
        while let Some(number) = self
            .partitions
            .range(next..)
            .find(|(_, p)| is_left(p))
            .map(|(number, _)| *number)
        {
            next = number + 1;
            self.close_interval(kafka, number)?;
        }
        kafka.end_transaction();
        self.transaction.stage = Stage::Ended;
        Ok(())
    }

    fn advance_transaction(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        match self.transaction.stage {
            Stage::Open => Ok(()),
            Stage::Ended => self.commit_if_delivered(kafka),
            Stage::Committing => match kafka.transaction() {
                None => Ok(()),
                Some(Ok(())) => self.committed(kafka),
                Some(Err(error)) => self.abort(kafka, &error.to_string()),
            },
            Stage::Aborting => {
                if let Some(outcome) = kafka.transaction() {
                    self.transaction.stage = Stage::Open;
                    return outcome;
                }
                Ok(())
            }
        }
    }

    fn closing(&self) -> Vec<i32> {
        let closing = self.partitions.values().filter(|p| p.closing.is_some());
        closing.map(|p| p.number).collect()
    }

    fn commit_if_delivered(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let numbers = self.closing();
        let mut positions = Vec::new();
        for &number in &numbers {
            let Some(partition) = self.partitions.get(&number) else {
                continue;
            };
            if !self.ledger.is_complete(number, partition.parity ^ 1) {
                return Ok(());
            }
            let closing = partition.closing.iter();
            positions.extend(closing.flat_map(|closing| positions_of(number, &closing.positions)));
        }
        let failures = numbers.iter();
        let failures = failures.filter_map(|&n| Some((n, self.ledger.failure(n)?)));
        // One that will not pass is the reason for those that were given up with it.
        if let Some((number, failure)) = failures.min_by_key(|(_, failure)| failure.may_pass) {
            self.abort(kafka, &failure.reason)?;
            return self.undelivered(number, &failure);
        }
        kafka.reached(Step::Delivered)?;
        if self.spec.settings.fault.is(Fault::CommitBeforeAck) {
            self.store_closing(kafka)?;
        }
        kafka.commit_transaction(&positions, &self.spec.settings.instance);
        self.transaction.stage = Stage::Committing;
        Ok(())
    }

    /// Kafka has it all: the local copies follow.
    fn committed(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        self.transaction.stage = Stage::Open;
        self.committed_at = kafka.now();
        kafka.reached(Step::Committed)?;
        self.store_closing(kafka)
    }

    fn store_closing(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        for number in self.closing() {
            self.settle_interval(kafka, number)?;
            if let Some(partition) = self.partitions.get_mut(&number) {
                // The group has them already.
                partition.uncommitted = false;
            }
        }
        Ok(())
    }

    /// Gives up what is not committed of all partitions; those that ran recover.
    pub(crate) fn abort(&mut self, kafka: &dyn Kafka, reason: &str) -> Result<(), Error> {
        let group = self.spec.program.group();
        warn!(group, reason, "the transaction is aborted");
        if self.transaction.stage == Stage::Committing {
            self.doubt_visit();
        }
        if self.transaction.stage != Stage::Aborting {
            kafka.abort_transaction();
            self.transaction.stage = Stage::Aborting;
        }
        let running = self.partitions.values().filter(|p| p.is_running());
        let running: Vec<i32> = running.map(|p| p.number).collect();
        running
            .into_iter()
            .try_for_each(|number| self.abandon(kafka, number, reason))
    }

    /// The same, if there is anything to give up.
    pub(crate) fn drop_transaction(
        &mut self,
        kafka: &dyn Kafka,
        reason: &str,
    ) -> Result<(), Error> {
        let is_empty = self.partitions.values().all(|p| p.open.records == 0);
        if self.transaction.stage == Stage::Open && is_empty {
            return Ok(());
        }
        self.abort(kafka, reason)
    }

    /// Commits what these partitions have handled, before they are given back. What cannot be
    /// committed in time is given up: its records run again at the next owner.
    pub(crate) fn finish_transaction(
        &mut self,
        kafka: &dyn Kafka,
        numbers: &[i32],
        timeout: Duration,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        for &number in numbers {
            result = result.and(self.end_waiting(kafka, number));
        }
        let committed = self.commit_now(kafka, numbers, timeout);
        result.and(committed.map(|_| ()))
    }

    /// Commits what all partitions have handled. `false`: it was given up.
    pub(crate) fn commit_all(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        self.commit_now(kafka, &numbers, ALONE_TIMEOUT)
    }

    /// Commits what these partitions have handled, with what the others have. `false`: it was given
    /// up.
    fn commit_now(
        &mut self,
        kafka: &dyn Kafka,
        numbers: &[i32],
        timeout: Duration,
    ) -> Result<bool, Error> {
        let give_up = kafka.now() + timeout;
        loop {
            let is_left = |p: &Partition| p.open.records > 0 || p.closing.is_some();
            let mut partitions = numbers.iter().filter_map(|n| self.partitions.get(n));
            if self.transaction.stage == Stage::Aborting || !partitions.any(is_left) {
                return Ok(self.transaction.stage != Stage::Aborting);
            }
            self.transact(kafka, true)?;
            if kafka.now() > give_up {
                self.abort(kafka, "it could not be committed in time")?;
                return Ok(false);
            }
            self.serve(kafka, Duration::from_millis(2));
        }
    }

    /// Commits what was sent beside all intervals, all of which is reported. `false`: it was given
    /// up.
    pub(crate) fn commit_alone(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        let give_up = kafka.now() + ALONE_TIMEOUT;
        kafka.end_transaction();
        kafka.commit_transaction(&[], &self.spec.settings.instance);
        loop {
            match kafka.transaction() {
                Some(Ok(())) => return Ok(true),
                None if kafka.now() <= give_up => self.serve(kafka, Duration::from_millis(2)),
                None => break,
                Some(Err(error)) => {
                    self.abort(kafka, &error.to_string())?;
                    return Ok(false);
                }
            }
        }
        self.abort(kafka, "it could not be committed in time")?;
        Ok(false)
    }

    /// The recovery of a partition cannot go on before a transaction is decided: if that lasts, it is said.
    pub(crate) fn say_open(&mut self, kafka: &dyn Kafka, number: i32) {
        let now = kafka.now();
        let open = &mut self.transaction.open;
        let (since, at) = open.entry(number).or_insert((now, now + SAY));
        if now < *at {
            return;
        }
        *at = now + SAY_AGAIN;
        let topic = self.table_edge.map_or("", |edge| &self.spec.topics[edge]);
        warn!(
            group = self.spec.program.group(),
            topic,
            partition = number,
            seconds = now.saturating_sub(*since).as_secs(),
            "the partition waits: somebody has a transaction open in the table's topic, or with offsets of the group; \
             brokers end it after its `transaction.timeout.ms`, or end it with kafka-transactions.sh"
        );
    }

    /// The recovery of a partition cannot go on: if that lasts, a transaction of a former owner is
    /// in its way, and is ended. Brokers that have not `told` so may be slow, and the owner may live:
    /// then a second question decides.
    pub(crate) fn blocked(&mut self, kafka: &dyn Kafka, number: i32, asked: Duration, told: bool) {
        let now = kafka.now();
        let first = if told { asked } else { now } + PATIENCE;
        let blocked = &mut self.transaction.blocked;
        let at = blocked.entry(number).or_insert(first);
        if now >= *at {
            *at = now + FENCE_AGAIN;
            if !self.spec.settings.fault.is(Fault::NoFence) {
                kafka.fence(number);
            }
        }
    }

    /// An idle group does not lose its positions, nor its local copies their age.
    fn keep_idle_positions(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        if self.now.saturating_sub(self.committed_at) < REFRESH {
            return Ok(());
        }
        self.committed_at = self.now;
        let idle = |p: &Partition| p.open.records == 0 && p.closing.is_none();
        if self.partitions.values().any(Partition::is_running) {
            self.commit_offsets(kafka, idle)?;
        }
        let running = self.partitions.values().filter(|p| p.is_running());
        let numbers: Vec<i32> = running.map(|p| p.number).collect();
        numbers
            .into_iter()
            .try_for_each(|number| self.refresh(kafka, number))
    }
}
