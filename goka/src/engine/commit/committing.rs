//! Offset commits to the group.
//!
//! The worker does not wait for the commit of an interval: during a rebalance the coordinator answers only when the
//! last member has joined, and partitions that stay at this worker should go on meanwhile. The worker waits for the
//! answer to a commit only where it has to prove membership before it goes on. Must not know when offsets are due.

use std::time::Duration;

use tracing::{debug, warn};

use super::{
    offsets::{Answer, Sent, positions_of},
    work::Work,
};
use crate::{
    base::error::Error,
    engine::{
        halt::{Halt, Scope, Setback, Why},
        partition::Partition,
        port::{CommitError, Step},
    },
};

/// How long a worker tries to prove membership when the membership lease is over.
const RENEW_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a worker waits between two attempts to prove membership.
const RENEW_AGAIN: Duration = Duration::from_millis(20);

impl Work<'_> {
    /// Sends the offsets of the running partitions that `which` picks, and does not wait for the group's answer. Does
    /// nothing while another commit is in flight.
    pub(crate) fn begin_commit(&mut self, which: impl Fn(&Partition) -> bool) {
        if self.offsets.is_committing() {
            return;
        }
        let now = self.env.kafka.now();
        let instance = &self.env.spec.settings.instance;
        let (positions, sent) = Sent::collect(self.partitions, now, instance, |_, p| which(p));
        self.env.kafka.begin_commit(&positions);
        self.offsets.begin(sent);
    }

    /// Handles the group's answer to the commit in flight, if it has arrived.
    pub(crate) fn take_commit(&mut self) -> Result<(), Halt> {
        if !self.offsets.is_committing() {
            return Ok(());
        }
        let Some(outcome) = self.env.kafka.commit_outcome() else {
            return Ok(());
        };
        let Some(sent) = self.offsets.end() else {
            return Ok(());
        };
        self.answered(&sent, outcome)?;
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

    /// Commits the offsets of the running partitions that `which` picks, and waits for the group's answer.
    pub(crate) fn commit_of(
        &mut self,
        which: impl Fn(i32, &Partition) -> bool,
    ) -> Result<Answer, Halt> {
        self.offsets.forget(self.partitions);
        let now = self.env.kafka.now();
        let instance = &self.env.spec.settings.instance;
        let (positions, sent) = Sent::collect(self.partitions, now, instance, which);
        let outcome = self.env.kafka.commit(&positions);
        self.answered(&sent, outcome)
    }

    /// Proves membership by a commit, and tries again while the group refuses the commit.
    pub(crate) fn renew(&mut self) -> Result<(), Halt> {
        let give_up = self.env.kafka.now() + RENEW_TIMEOUT;
        loop {
            if self.commit(|_| true)? == Answer::Taken {
                return Ok(());
            }
            // When a rebalance ends, the group refuses the commit that waited for the rebalance, and takes the next
            // commit.
            if self.env.kafka.now() >= give_up {
                return Err(not_a_member(
                    "the group did not confirm this member in time",
                ));
            }
            self.partitions.serve(&self.env, RENEW_AGAIN);
        }
    }

    /// Commits the positions at which a partition that does not run yet resumes. The inner error: the group did not
    /// take the positions now.
    pub(crate) fn claim(
        &mut self,
        number: i32,
        positions: &[i64],
    ) -> Result<Result<(), Error>, Halt> {
        // The connection has at most one commit in flight, so that this commit replaces an earlier one.
        self.offsets.forget(self.partitions);
        let began = self.env.kafka.now();
        let instance = &self.env.spec.settings.instance;
        let offered: Vec<_> = positions_of(number, positions, instance).collect();
        match self.env.kafka.commit(&offered) {
            Ok(()) => {
                self.offsets.proven(began);
                Ok(Ok(()))
            }
            Err(CommitError::Denied(error)) => Err(error.into()),
            Err(CommitError::Again(error) | CommitError::NotMember(error)) => Ok(Err(error)),
        }
    }

    /// Handles the group's answer to a commit.
    fn answered(&mut self, sent: &Sent, outcome: Result<(), CommitError>) -> Result<Answer, Halt> {
        let error = match outcome {
            Ok(()) => {
                self.offsets.taken(sent.began());
                self.env.kafka.reached(Step::Committed)?;
                return Ok(Answer::Taken);
            }
            Err(CommitError::Denied(error)) => return Err(error.into()),
            Err(CommitError::NotMember(error)) => return Err(not_a_member(error.to_string())),
            Err(CommitError::Again(error)) => error,
        };
        sent.mark_uncommitted(self.partitions);
        // One refusal is normal while the group rebalances.
        let (group, refusals) = (self.env.group(), self.offsets.refused());
        match refusals >= 2 && refusals.is_power_of_two() {
            true => warn!(group, refusals, %error, "offset commits refused repeatedly; retrying"),
            false => debug!(group, refusals, %error, "offset commit refused; retrying"),
        }
        Ok(Answer::Refused)
    }
}

/// The setback of a worker that may no longer be a member of the group.
fn not_a_member(reason: impl Into<String>) -> Halt {
    let (scope, why) = (Scope::Worker, Why::Dropped(reason.into()));
    Setback { scope, why }.into()
}
