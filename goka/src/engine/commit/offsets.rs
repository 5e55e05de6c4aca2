//! Offsets to the group, and the membership lease that a commit of them proves: whoever the group takes a commit from was
//! its member when the commit was sent.
//!
//! The offsets of every interval are sent without waiting. During a rebalance the coordinator answers when the last member
//! has joined, and no partition that stays should stop for that. A commit is waited for only where membership has to be
//! proven before anything goes on. Must not know what is committed.

use std::time::Duration;

use tracing::{debug, warn};

use super::work::Work;
use crate::{
    base::error::Error,
    engine::{
        halt::{Halt, Scope, Setback, Why},
        partition::{Partition, Partitions},
        port::{CommitError, Position, Step},
    },
};

/// How long membership may take to be proven when the lease is over.
const RENEW_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before asking again.
const RENEW_AGAIN: Duration = Duration::from_millis(20);

/// The offsets that a worker commits.
pub(crate) struct Offsets {
    /// For how long a proof of membership counts. `None`: Kafka asks for the proof itself, with each transaction.
    lease: Option<Duration>,
    /// When membership was last proven, by a commit that the group took.
    proven_at: Duration,
    /// When offsets were last sent.
    committed_at: Duration,
    /// What the group was sent and has not answered.
    committing: Option<Committing>,
    /// How often it refused since it took some.
    refusals: u32,
}

struct Committing {
    began: Duration,
    partitions: Vec<i32>,
}

/// The group's answer to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    /// Not now, for example because the group rebalances. The offsets are sent again with the next interval.
    Refused,
}

impl Offsets {
    pub(crate) fn new(lease: Option<Duration>, now: Duration) -> Self {
        Offsets {
            lease,
            proven_at: now,
            committed_at: now,
            committing: None,
            refusals: 0,
        }
    }

    /// Whether membership was proven within the lease: a worker that was stopped for longer may not own its partitions any
    /// more.
    pub(crate) fn is_proven(&self, now: Duration) -> bool {
        self.lease
            .is_none_or(|lease| now.saturating_sub(self.proven_at) <= lease)
    }

    /// Whether `away` is more than this share of the lease.
    pub(crate) fn is_lease_spent(&self, away: Duration, share: u32) -> bool {
        self.lease.is_some_and(|lease| away > lease / share)
    }

    /// When offsets were last sent.
    pub(crate) fn committed_at(&self) -> Duration {
        self.committed_at
    }

    pub(crate) fn set_committed_at(&mut self, now: Duration) {
        self.committed_at = now;
    }

    /// Since when the group heard nothing of this worker.
    pub(crate) fn silent_since(&self) -> Duration {
        self.proven_at.max(self.committed_at)
    }

    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// What is under way counts as not committed from here on.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        if let Some(committing) = self.committing.take() {
            mark_uncommitted(partitions, &committing.partitions);
        }
    }
}

impl Work<'_> {
    /// Begins to commit the offsets of the running partitions that `which` picks, unless a commit is under way.
    pub(crate) fn begin_commit(&mut self, which: impl Fn(&Partition) -> bool) {
        if self.offsets.committing.is_some() {
            return;
        }
        let began = self.env.kafka.now();
        let (positions, partitions) = self.offer(|_, partition| which(partition));
        self.env
            .kafka
            .begin_commit(&positions, &self.env.spec.settings.instance);
        self.offsets.committing = Some(Committing { began, partitions });
    }

    /// Takes the group's answer to the commit that is under way.
    pub(crate) fn take_commit(&mut self) -> Result<(), Halt> {
        if self.offsets.committing.is_none() {
            return Ok(());
        }
        // It stays under way until there is an answer.
        let Some(outcome) = self.env.kafka.commit_outcome() else {
            return Ok(());
        };
        let Some(committing) = self.offsets.committing.take() else {
            return Ok(());
        };
        self.answered(committing.began, &committing.partitions, outcome)?;
        Ok(())
    }

    /// Commits the offsets of the running partitions that `which` picks, and waits for the group's answer.
    pub(crate) fn commit(&mut self, which: impl Fn(&Partition) -> bool) -> Result<Answer, Halt> {
        self.commit_of(|_, partition| which(partition))
    }

    /// Commits the offsets of one running partition, and waits for the group's answer.
    pub(crate) fn commit_one(&mut self, number: i32) -> Result<Answer, Halt> {
        self.commit_of(|of, _| of == number)
    }

    pub(crate) fn commit_of(
        &mut self,
        which: impl Fn(i32, &Partition) -> bool,
    ) -> Result<Answer, Halt> {
        self.offsets.forget(self.partitions);
        let (positions, partitions) = self.offer(which);
        let began = self.env.kafka.now();
        let instance = &self.env.spec.settings.instance;
        let outcome = self.env.kafka.commit(&positions, instance);
        self.answered(began, &partitions, outcome)
    }

    /// Proves membership, whatever the lease says.
    pub(crate) fn renew(&mut self) -> Result<(), Halt> {
        let give_up = self.env.kafka.now() + RENEW_TIMEOUT;
        loop {
            if self.commit(|_| true)? == Answer::Taken {
                return Ok(());
            }
            // A commit that waited for a rebalance is refused when that is over; the next one is not.
            if self.env.kafka.now() >= give_up {
                return Err(not_a_member(
                    "the group did not confirm this member in time",
                ));
            }
            self.partitions.serve(&self.env, RENEW_AGAIN);
        }
    }

    /// Tells the group where a partition that does not run yet goes on. The inner error: the group did not take it now.
    pub(crate) fn claim(
        &mut self,
        number: i32,
        positions: &[i64],
    ) -> Result<Result<(), Error>, Halt> {
        // The connection has one commit under way at most.
        self.offsets.forget(self.partitions);
        let began = self.env.kafka.now();
        let offered: Vec<_> = positions_of(number, positions).collect();
        let instance = &self.env.spec.settings.instance;
        match self.env.kafka.commit(&offered, instance) {
            Ok(()) => {
                self.offsets.proven_at = self.offsets.proven_at.max(began);
                Ok(Ok(()))
            }
            Err(CommitError::Denied(error)) => Err(error.into()),
            Err(CommitError::Again(error) | CommitError::NotMember(error)) => Ok(Err(error)),
        }
    }

    fn offer(&mut self, which: impl Fn(i32, &Partition) -> bool) -> (Vec<Position>, Vec<i32>) {
        let (mut positions, mut numbers) = (Vec::new(), Vec::new());
        for (number, partition) in self.partitions.iter_mut() {
            if partition.is_running() && which(number, partition) {
                let intervals = partition.intervals_mut();
                positions.extend(positions_of(number, intervals.acknowledged()));
                intervals.set_uncommitted(false);
                numbers.push(number);
            }
        }
        (positions, numbers)
    }

    fn answered(
        &mut self,
        began: Duration,
        numbers: &[i32],
        outcome: Result<(), CommitError>,
    ) -> Result<Answer, Halt> {
        let error = match outcome {
            Ok(()) => {
                let offsets = &mut *self.offsets;
                offsets.proven_at = offsets.proven_at.max(began);
                offsets.refusals = 0;
                self.env.kafka.reached(Step::Committed)?;
                return Ok(Answer::Taken);
            }
            Err(CommitError::Denied(error)) => return Err(error.into()),
            Err(CommitError::NotMember(error)) => return Err(not_a_member(error.to_string())),
            Err(CommitError::Again(error)) => error,
        };
        mark_uncommitted(self.partitions, numbers);
        // One refusal is as it should be while the group rebalances.
        self.offsets.refusals += 1;
        let (group, refusals) = (self.env.group(), self.offsets.refusals);
        match refusals >= 2 && refusals.is_power_of_two() {
            true => warn!(group, refusals, %error, "offset commits refused repeatedly; retrying"),
            false => debug!(group, refusals, %error, "offset commit refused; retrying"),
        }
        Ok(Answer::Refused)
    }
}

/// Nothing that this worker holds may be committed: it may not be a member any more.
fn not_a_member(reason: impl Into<String>) -> Halt {
    let (scope, why) = (Scope::Worker, Why::Dropped(reason.into()));
    Setback { scope, why }.into()
}

fn mark_uncommitted(partitions: &mut Partitions, numbers: &[i32]) {
    for &number in numbers {
        if let Some(partition) = partitions.running_mut(number) {
            partition.intervals_mut().set_uncommitted(true);
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
