//! Positions to the group, at-least-once, and the lease that a commit of them proves: whoever the group
//! takes a commit from was its member when the commit was sent.
//!
//! Those of every interval are not waited for. During a rebalance the coordinator answers when the last
//! member has joined, and no partition that stays should stop for that. Only where membership has to be
//! proven before anything goes on is a commit waited for.

use std::time::Duration;

use tracing::{debug, warn};

use crate::{
    base::error::Error,
    engine::{
        partition::Partition,
        port::{CommitError, Kafka, Position, Step},
        worker::Core,
    },
};

/// How long membership may take to be proven when the lease is over.
const RENEW_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before it is asked for again.
const RENEW_AGAIN: Duration = Duration::from_millis(20);

/// Positions on their way to the group.
pub(crate) struct Committing {
    /// When they were sent.
    began: Duration,
    partitions: Vec<i32>,
}

impl Core {
    /// Begins to commit positions of the running partitions that `which` picks, unless some are on
    /// their way.
    pub(crate) fn begin_commit(&mut self, kafka: &dyn Kafka, which: impl Fn(&Partition) -> bool) {
        if self.committing.is_some() {
            return;
        }
        let began = kafka.now();
        let (positions, partitions) = self.offered(which);
        kafka.begin_commit(&positions, &self.spec.settings.instance);
        self.committing = Some(Committing { began, partitions });
    }

    /// Takes the group's answer to what is on its way.
    pub(crate) fn take_commit(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        if self.committing.is_none() {
            return Ok(());
        }
        // It stays on its way until there is an answer.
        let Some(outcome) = kafka.commit_outcome() else {
            return Ok(());
        };
        let Some(committing) = self.committing.take() else {
            return Ok(());
        };
        let taken = self.answered(kafka, committing.began, outcome)?;
        if !taken {
            self.mark_uncommitted(&committing.partitions);
        }
        Ok(())
    }

    /// Commits positions of the running partitions that `which` picks, and waits for the group's
    /// answer. `false`: it did not take them; they are tried again at every interval.
    pub(crate) fn commit_offsets(
        &mut self,
        kafka: &dyn Kafka,
        which: impl Fn(&Partition) -> bool,
    ) -> Result<bool, Error> {
        self.forget_commit();
        let (positions, partitions) = self.offered(which);
        let began = kafka.now();
        let outcome = kafka.commit(&positions, &self.spec.settings.instance);
        let taken = self.answered(kafka, began, outcome)?;
        if !taken {
            self.mark_uncommitted(&partitions);
        }
        Ok(taken)
    }

    /// What is on its way counts as not committed from here on.
    pub(crate) fn forget_commit(&mut self) {
        if let Some(committing) = self.committing.take() {
            self.mark_uncommitted(&committing.partitions);
        }
    }

    /// Proves membership, or drops everything that is not committed.
    pub(crate) fn renew(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        let give_up = kafka.now() + RENEW_TIMEOUT;
        loop {
            if self.commit_offsets(kafka, |_| true)? {
                return Ok(true);
            }
            if !self.partitions.values().any(Partition::is_running) {
                return Ok(false);
            }
            // A commit that waited for a rebalance is refused when that is over; the next is not.
            if kafka.now() >= give_up {
                self.drop_all(kafka, "the group did not confirm this member in time")?;
                return Ok(false);
            }
            self.serve(kafka, RENEW_AGAIN);
        }
    }

    fn offered(&mut self, which: impl Fn(&Partition) -> bool) -> (Vec<Position>, Vec<i32>) {
        let chosen = |p: &&mut Partition| p.is_running() && which(p);
        let (mut positions, mut numbers) = (Vec::new(), Vec::new());
        for partition in self.partitions.values_mut().filter(chosen) {
            positions.extend(positions_of(partition.number, &partition.settled));
            numbers.push(partition.number);
            partition.uncommitted = false;
        }
        (positions, numbers)
    }

    fn answered(
        &mut self,
        kafka: &dyn Kafka,
        began: Duration,
        outcome: Result<(), CommitError>,
    ) -> Result<bool, Error> {
        match outcome {
            Ok(()) => {
                self.lease_at = self.lease_at.max(began);
                self.refusals = 0;
                kafka.reached(Step::Committed)?;
                Ok(true)
            }
            Err(CommitError::Again(error)) => {
                // One is as it should be while the group rebalances.
                self.refusals += 1;
                let (group, refusals) = (self.spec.program.group(), self.refusals);
                match refusals >= 2 && refusals.is_power_of_two() {
                    true => {
                        warn!(group, refusals, %error, "offsets are refused again; they will be committed again")
                    }
                    false => debug!(group, refusals, %error, "offsets will be committed again"),
                }
                Ok(false)
            }
            Err(CommitError::Denied(error)) => Err(error),
            Err(CommitError::NotMember(error)) => {
                self.drop_all(kafka, &error.to_string())?;
                Ok(false)
            }
        }
    }

    fn mark_uncommitted(&mut self, numbers: &[i32]) {
        for number in numbers {
            if let Some(partition) = self.partitions.get_mut(number).filter(|p| p.is_running()) {
                partition.uncommitted = true;
            }
        }
    }
}

/// Positions as the group takes them, one per source.
pub(crate) fn positions_of(partition: i32, offsets: &[i64]) -> impl Iterator<Item = Position> {
    let offsets = offsets.iter().enumerate();
    offsets.map(move |(source, &offset)| Position {
        source,
        partition,
        offset,
    })
}
