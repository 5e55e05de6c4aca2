//! The partitions of a worker that do not run yet, each with its phase of recovery. Must not know how a phase does its
//! work.

use std::{collections::BTreeMap, time::Duration};

use tracing::debug;

use super::{blocked::Blocked, copies::Copies, phase::Phase, tail::Start, undo::Undone};
use crate::engine::{
    env::Env,
    halt::{Halt, stored},
    partition::{Partition, Partitions},
    port::is_unstable,
    rules::Rules,
};

/// How long to wait before a broker is asked again.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// The partitions that do not run yet, and the local copies and loans of all partitions of the worker.
pub(crate) struct Recovery {
    pub(super) rules: Rules,
    pub(super) phases: BTreeMap<i32, Phase>,
    /// The number of the partition at which the next turn begins.
    from: i32,
    pub(super) blocked: Blocked,
    copies: Copies,
}

/// What the worker does next with a partition.
pub(crate) enum Step {
    /// Nothing for now.
    Wait,
    /// The local copy is restored: find out where the partition resumes, and claim it.
    Claim,
}

impl Recovery {
    pub(crate) fn new(rules: Rules) -> Self {
        Recovery {
            rules,
            phases: BTreeMap::new(),
            from: 0,
            blocked: Blocked::default(),
            copies: Copies::default(),
        }
    }

    /// Begins the recovery of a partition, with the first phase.
    pub(crate) fn begin(&mut self, env: &Env<'_>, number: i32) {
        self.phases.insert(number, Phase::Draining);
        env.spec.status.recovering(number, 0, 0, 0.0);
    }

    /// Forgets a partition that the worker does not have any more.
    pub(crate) fn forget(&mut self, number: i32) {
        self.phases.remove(&number);
        self.blocked.forget(number);
    }

    /// The numbers of the partitions that do not run yet. After a turn that was cut short, the list begins with the
    /// partition at which that turn ended.
    pub(crate) fn pending(&mut self) -> Vec<i32> {
        let from = std::mem::take(&mut self.from);
        self.phases
            .range(from..)
            .map(|(number, _)| *number)
            .collect()
    }

    /// Lets the next turn begin at this partition.
    pub(crate) fn resume_at(&mut self, from: i32) {
        self.from = from;
    }

    /// Advances a partition to its next phase, if it can.
    pub(crate) fn step(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Step, Halt> {
        let now = env.now();
        match self.phases.get(&number) {
            Some(Phase::Draining) => {
                let is_resting = |p: &Partition| p.copy().is_resting(now);
                if partitions.ledger().pending(number) > 0
                    || partitions.get(number).is_none_or(is_resting)
                {
                    return Ok(Step::Wait);
                }
                partitions.ledger_mut().reset(number);
                self.copies.want_tables(env, number);
                let opened = self.copies.open(env, partitions, number);
                let is_open = opened.as_ref().is_ok_and(|is_open| *is_open);
                stored(number, opened.map(drop))?;
                if !is_open {
                    return Ok(Step::Wait);
                }
                self.set(number, Phase::FetchingOffsets { at: now });
                self.step(env, partitions, number)
            }
            Some(Phase::FetchingOffsets { at }) if now >= *at => {
                self.fetch_offsets(env, partitions, number)?;
                Ok(Step::Wait)
            }
            Some(Phase::Claiming { at, undo, .. }) if now >= *at => {
                if undo.is_none() || self.rules.claims_with_rows {
                    return Ok(Step::Claim);
                }
                match self.undo(env, partitions, number)? {
                    Undone::Done => Ok(Step::Claim),
                    Undone::Waiting | Undone::Again => Ok(Step::Wait),
                }
            }
            _ => Ok(Step::Wait),
        }
    }

    /// Fetches the committed offsets of a partition, and begins to restore it.
    fn fetch_offsets(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let asked = env.kafka.now();
        match env.kafka.committed(number) {
            Ok(offsets) => {
                if self.rules.fences {
                    self.blocked.committed(env, number, &offsets);
                }
                self.begin_restore(env, partitions, number, offsets, Start::default())
            }
            Err(error) => {
                debug!(partition = number, %error, "committed offsets not available; asking again");
                self.ask_again(env, number, asked, is_unstable(&error));
                Ok(())
            }
        }
    }

    /// Goes back to fetching the committed offsets, after a delay. `asked` is when the brokers were asked. `is_open`
    /// is whether they answered that a transaction is open; if it is `false`, they did not answer.
    pub(super) fn ask_again(&mut self, env: &Env<'_>, number: i32, asked: Duration, is_open: bool) {
        let at = env.kafka.now() + RETRY;
        self.set(number, Phase::FetchingOffsets { at });
        if is_open {
            self.blocked.log(env, number);
        }
        if self.rules.fences {
            self.blocked.fence(env, number, asked, is_open);
        }
    }

    pub(super) fn set(&mut self, number: i32, phase: Phase) {
        if let Some(entry) = self.phases.get_mut(&number) {
            *entry = phase;
        }
    }

    /// Closes the local copy of a partition that leaves this worker, or gives the copy back to the standby.
    pub(crate) fn leave(&mut self, env: &Env<'_>, number: i32, partition: Partition) {
        self.copies.leave(env, number, partition);
    }

    /// For a worker that ends: if a partition leaves from now on, its local copy is kept open until
    /// [`close_left`](Self::close_left) is called.
    pub(crate) fn keep_left(&mut self) {
        self.copies.keep_left();
    }

    /// Closes the local copies of partitions that left, after the worker has left the group.
    pub(crate) fn close_left(&mut self) {
        self.copies.close_left();
    }
}
