//! Offset commits to the group.
//!
//! The worker does not wait for the commit of an interval: during a rebalance the coordinator answers only when the
//! last member has joined, and partitions that stay at this worker should go on meanwhile. The worker waits for the
//! answer to a commit only where it has to prove membership before it goes on, and where it commits again: offsets of a
//! partition are not sent while an earlier commit of them is unanswered. Must not know when offsets are due.

use std::time::Duration;

use tracing::{debug, warn};

use super::{
    offsets::{Answer, Claim, Sent},
    work::Work,
};
use crate::{
    base::error::Error,
    engine::{
        halt::{Halt, Scope, Setback, Why},
        partition::Partition,
        port::{CommitError, Step, fault::Fault},
    },
};

/// How long a worker tries to prove membership when the membership lease is over.
const RENEW_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a worker waits between two attempts to prove membership.
const RENEW_AGAIN: Duration = Duration::from_millis(20);
/// How long after a commit was sent its answer is waited for. The connection gives up a commit after about this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a worker waits before it looks for the answer again.
const ANSWER_AGAIN: Duration = Duration::from_millis(2);

impl Work<'_> {
    /// Sends the offsets of the running partitions that `which` picks, and does not wait for the group's answer. Does
    /// nothing while another commit is in flight.
    pub(crate) fn begin_commit(&mut self, which: impl Fn(&Partition) -> bool) {
        if self.offsets.is_committing() {
            return;
        }
        let (positions, sent) = Sent::collect(&self.env, self.partitions, false, |_, p| which(p));
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

    /// Waits for the answer to the commit in flight, because no offsets of a partition may be sent while an earlier
    /// commit of them is unanswered. Forgets a commit that is not answered in time.
    pub(crate) fn wait_for_commit(&mut self) -> Result<(), Halt> {
        while let Some(began) = self.offsets.in_flight_since() {
            self.take_commit()?;
            if self.env.kafka.now() >= began + ANSWER_TIMEOUT {
                self.offsets.forget(self.partitions);
            } else if self.offsets.is_committing() {
                self.partitions.serve(&self.env, ANSWER_AGAIN);
            }
        }
        Ok(())
    }

    /// Commits the offsets of the running partitions that `which` picks, and waits for the group's answer.
    pub(crate) fn commit(&mut self, which: impl Fn(&Partition) -> bool) -> Result<Answer, Halt> {
        self.commit_of(false, |_, partition| which(partition))
    }

    /// Commits the offsets of one running partition, and waits for the group's answer.
    pub(crate) fn commit_one(&mut self, number: i32) -> Result<Answer, Halt> {
        self.commit_of(false, |of, _| of == number)
    }

    /// Commits the offsets of the running partitions that `which` picks, and waits for the group's answer. `is_last`:
    /// the partitions are given back after the commit.
    pub(crate) fn commit_of(
        &mut self,
        is_last: bool,
        which: impl Fn(i32, &Partition) -> bool,
    ) -> Result<Answer, Halt> {
        self.wait_for_commit()?;
        let (positions, sent) = Sent::collect(&self.env, self.partitions, is_last, which);
        let outcome = self.env.kafka.commit(&positions);
        self.answered(&sent, outcome)
    }

    /// Proves membership by a commit, and tries again while the group refuses the commit.
    pub(crate) fn renew(&mut self) -> Result<(), Halt> {
        let give_up = self.env.kafka.now() + RENEW_TIMEOUT;
        loop {
            self.wait_for_commit()?;
            if self.offsets.is_proven(self.env.kafka.now())
                || self.commit(|_| true)? == Answer::Taken
            {
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
    pub(crate) fn claim(&mut self, claim: &Claim<'_>) -> Result<Result<(), Error>, Halt> {
        self.wait_for_commit()?;
        let began = self.env.kafka.now();
        match self.env.kafka.commit(&claim.positions(&self.env)) {
            Ok(()) => {
                self.offsets.proven(began);
                Ok(Ok(()))
            }
            Err(CommitError::Denied(error)) => Err(error.into()),
            Err(CommitError::Again(error) | CommitError::NotMember(error)) => Ok(Err(error)),
        }
    }

    /// Handles the group's answer to a commit. If the group has the offsets, stores the rows that are due.
    fn answered(&mut self, sent: &Sent, outcome: Result<(), CommitError>) -> Result<Answer, Halt> {
        let fault = self.env.spec.settings.fault;
        let error = match outcome {
            Ok(()) => {
                self.offsets.taken(sent.began());
                sent.taken(self.partitions);
                self.env.kafka.reached(Step::Committed)?;
                sent.numbers()
                    .try_for_each(|number| self.store_if_due(number))?;
                return Ok(Answer::Taken);
            }
            Err(CommitError::Denied(error)) => return Err(error.into()),
            Err(CommitError::NotMember(error)) => return Err(not_a_member(error.to_string())),
            Err(CommitError::Again(error)) => error,
        };
        if fault.is(Fault::StoreUnknown) {
            sent.taken(self.partitions);
        }
        sent.not_taken(self.partitions);
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
