//! Intervals to Kafka and to disk. The one place that decides what is committed when.
//!
//! [`Commit`] is what the worker calls. Behind it are the two protocols, `at_least_once.rs` and `exactly_once.rs`, and
//! what both work with: intervals and local copies (`work.rs`), offsets and the membership lease (`offsets.rs`,
//! `committing.rs`), foreign rows (`gaps.rs`). Must not know handlers, nor how a partition recovers.

mod at_least_once;
mod committing;
mod exactly_once;
mod gaps;
mod offsets;
mod work;

use std::{collections::BTreeSet, time::Duration};

use crate::{
    base::{config::Guarantee, error::Error},
    engine::{
        env::Env,
        halt::{Halt, Scope, Voided},
        partition::Partitions,
        rules::Rules,
        spec::Settings,
    },
};
use at_least_once::AtLeastOnce;
use exactly_once::ExactlyOnce;
use offsets::Offsets;
use work::Work;

/// After so long without a look at reports and commits, a record waits for one: in that time a broker answers.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// The share of the lease for which a handler may keep the thread before membership is proven again, so that what
/// waits in the producer does not expire.
const SHARE_OF_LEASE: u32 = 4;

/// The commits of a worker.
pub(crate) struct Commit {
    protocol: Protocol,
    offsets: Offsets,
    /// When a record last found that reports were taken and due commits made.
    served_at: Duration,
    /// A visit is under way, which reads local copies.
    is_visiting: bool,
    /// Partitions whose restoring was interrupted, because the changelog was read for another one.
    interrupted: BTreeSet<i32>,
}

enum Protocol {
    AtLeastOnce(AtLeastOnce),
    ExactlyOnce(ExactlyOnce),
}

impl Commit {
    /// Begins the protocol of a guarantee. The rules are what it means for the other rooms.
    pub(crate) fn new(settings: &Settings, now: Duration) -> (Self, Rules) {
        let (protocol, lease, rules) = match settings.guarantee {
            Guarantee::AtLeastOnce => (
                Protocol::AtLeastOnce(AtLeastOnce::new(now)),
                Some(settings.lease),
                Rules::AT_LEAST_ONCE,
            ),
            Guarantee::ExactlyOnce => (
                Protocol::ExactlyOnce(ExactlyOnce::default()),
                None,
                Rules::exactly_once(settings.handler_max),
            ),
        };
        let commit = Commit {
            protocol,
            offsets: Offsets::new(lease, now),
            served_at: now,
            is_visiting: false,
            interrupted: BTreeSet::new(),
        };
        (commit, rules)
    }

    fn parts<'a>(
        &'a mut self,
        env: &'a Env<'a>,
        partitions: &'a mut Partitions,
    ) -> (&'a mut Protocol, Work<'a>) {
        let work = Work {
            env: *env,
            partitions,
            offsets: &mut self.offsets,
            interrupted: &mut self.interrupted,
            is_visiting: self.is_visiting,
        };
        (&mut self.protocol, work)
    }

    /// Whether the transaction of the worker takes records. At-least-once has none, and always does.
    pub(crate) fn is_open(&self) -> bool {
        match &self.protocol {
            Protocol::AtLeastOnce(_) => true,
            Protocol::ExactlyOnce(protocol) => protocol.is_open(),
        }
    }

    /// Whether a transaction of this worker may still be committed or aborted: committed offsets are not known before.
    pub(crate) fn is_undecided(&self) -> bool {
        match &self.protocol {
            Protocol::AtLeastOnce(_) => false,
            Protocol::ExactlyOnce(protocol) => protocol.is_aborting(),
        }
    }

    /// Whether the group was sent offsets and has not answered.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn is_committing(&self) -> bool {
        self.offsets.is_committing()
    }

    /// Whether a visit reads local copies: what is acknowledged is then stored at once.
    pub(crate) fn set_visiting(&mut self, is_visiting: bool) {
        self.is_visiting = is_visiting;
    }

    /// Partitions whose restoring was interrupted since this was asked last.
    pub(crate) fn take_interrupted(&mut self) -> BTreeSet<i32> {
        std::mem::take(&mut self.interrupted)
    }

    /// Makes sure that membership was proven within the lease, before a record is handled. `false`: it had to be
    /// proven, which took a while.
    pub(crate) fn prove(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
    ) -> Result<bool, Halt> {
        if self.offsets.is_proven(env.now()) {
            return Ok(true);
        }
        let (_, mut work) = self.parts(env, partitions);
        work.renew()?;
        Ok(false)
    }

    /// Whether reports and due commits have to be looked at before the next record: often enough that records behind a
    /// slow handler do not expire, and no transaction gets too old.
    pub(crate) fn is_look_due(&self, env: &Env<'_>) -> bool {
        env.now().saturating_sub(self.served_at) >= LOOK_AFTER
    }

    /// Takes delivery reports, before due commits are made.
    pub(crate) fn look(&mut self, env: &Env<'_>, partitions: &mut Partitions) -> Result<(), Halt> {
        let away = env.now().saturating_sub(self.served_at);
        let (_, mut work) = self.parts(env, partitions);
        if work.offsets.is_lease_spent(away, SHARE_OF_LEASE) {
            // A refusal decides nothing yet: the lease does.
            work.commit(|_| true)?;
        }
        work.partitions.serve(env, Duration::ZERO);
        Ok(())
    }

    /// Reports were taken and due commits made.
    pub(crate) fn looked(&mut self, env: &Env<'_>) {
        self.served_at = env.kafka.now();
    }

    /// Whether the open interval of a running partition takes one more record. `false`: it did not, and was moved on;
    /// ask again.
    pub(crate) fn has_room(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<bool, Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(protocol) => protocol.has_room(&mut work, number),
            Protocol::ExactlyOnce(protocol) => protocol.has_room(&mut work, number),
        }
    }

    /// Commits what is due.
    pub(crate) fn due(&mut self, env: &Env<'_>, partitions: &mut Partitions) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(protocol) => protocol.due(&mut work),
            Protocol::ExactlyOnce(protocol) => protocol.transact(&mut work, false),
        }
    }

    /// Commits what these partitions have handled, before they are given back. What cannot be committed by `give_up` is
    /// left to the next owner. After a setback of one partition, called again for the rest.
    pub(crate) fn finish(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        numbers: &[i32],
        give_up: Duration,
    ) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(_) => at_least_once::finish(&mut work, numbers, give_up),
            Protocol::ExactlyOnce(protocol) => protocol.commit_now(&mut work, numbers, give_up),
        }
    }

    /// The group took partitions of this worker away: what is not committed of them is void.
    pub(crate) fn lose(&mut self, env: &Env<'_>, partitions: &Partitions) -> Result<(), Halt> {
        match &mut self.protocol {
            Protocol::AtLeastOnce(_) => {
                env.kafka.purge();
                Ok(())
            }
            Protocol::ExactlyOnce(protocol) => protocol.lose(partitions),
        }
    }

    /// Before rows are sent beside all intervals: commits what the worker's transaction holds.
    pub(crate) fn clear_transaction(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
    ) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(_) => Ok(()),
            Protocol::ExactlyOnce(protocol) => protocol.commit_all(&mut work),
        }
    }

    /// Commits rows of a partition that were sent beside all intervals, all of which are reported.
    pub(crate) fn commit_alone(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(_) => Ok(()),
            Protocol::ExactlyOnce(_) => exactly_once::commit_alone(&mut work, number),
        }
    }

    /// Tells the group where a partition goes on, which proves that the partition is ours. The inner error: the group
    /// did not take it now.
    pub(crate) fn claim(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        positions: &[i64],
    ) -> Result<Result<(), Error>, Halt> {
        let (_, mut work) = self.parts(env, partitions);
        work.claim(number, positions)
    }

    /// Writes the acknowledged rows of a partition to its local copy, with the positions behind them.
    pub(crate) fn store(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let (_, mut work) = self.parts(env, partitions);
        work.store(number)
    }

    /// Offsets that the group was sent and has not answered count as not committed from here on.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        self.offsets.forget(partitions);
    }

    /// Whether a setback of this scope takes the work of a partition with it.
    pub(crate) fn reaches(&self, partitions: &Partitions, scope: Scope, number: i32) -> bool {
        match (&self.protocol, scope) {
            (_, Scope::Worker) => true,
            (_, Scope::Partition(of)) if of == number => true,
            (Protocol::AtLeastOnce(_), Scope::Partition(_)) => false,
            (Protocol::AtLeastOnce(_), Scope::Transaction(of)) => of == Some(number),
            (Protocol::ExactlyOnce(_), Scope::Partition(of)) => partitions.running(of).is_some(),
            (Protocol::ExactlyOnce(_), Scope::Transaction(_)) => true,
        }
    }

    /// Gives up what Kafka holds of the work in this scope, and says which partitions have to recover.
    pub(crate) fn void(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        scope: Scope,
        reason: &str,
    ) -> Voided {
        if scope == Scope::Worker {
            self.offsets.forget(partitions);
        }
        match &mut self.protocol {
            Protocol::AtLeastOnce(_) => at_least_once::void(env, partitions, scope),
            Protocol::ExactlyOnce(protocol) => protocol.void(env, partitions, scope, reason),
        }
    }
}
