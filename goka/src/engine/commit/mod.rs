//! The commit protocols: commit intervals to Kafka and to disk. Nothing outside this module decides when something is
//! committed.
//!
//! The worker calls [`Commit`]. The protocols are `at_least_once.rs` and `exactly_once.rs`; both use `work.rs`
//! (intervals and local copies), `committing.rs` (offset commits), `offsets.rs` (the membership lease) and `gaps.rs`
//! (foreign rows). Must not know handlers, nor how a partition recovers.

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

/// A worker that handles slow records takes delivery reports and makes due commits at least so often. A broker answers
/// in about this time.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// If a handler keeps the thread for longer than this share of the membership lease, membership is proven again, so
/// that records that wait in the producer do not expire.
const SHARE_OF_LEASE: u32 = 4;

/// The commits of a worker.
pub(crate) struct Commit {
    protocol: Protocol,
    offsets: Offsets,
    /// When delivery reports were last taken and due commits made between records.
    served_at: Duration,
    /// Whether a visit is under way, which reads local copies.
    is_visiting: bool,
    /// Partitions whose restoring was interrupted, because the reader was used for another partition.
    interrupted: BTreeSet<i32>,
}

enum Protocol {
    AtLeastOnce(AtLeastOnce),
    ExactlyOnce(ExactlyOnce),
}

impl Commit {
    /// The protocol of a guarantee, and the rules that the guarantee sets for the other modules.
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

    /// Whether the worker's transaction takes records. Always `true` without transactions.
    pub(crate) fn is_open(&self) -> bool {
        match &self.protocol {
            Protocol::AtLeastOnce(_) => true,
            Protocol::ExactlyOnce(protocol) => protocol.is_open(),
        }
    }

    /// Whether it is undecided if a transaction of this worker is committed or aborted. The committed offsets are not
    /// known until then.
    pub(crate) fn is_undecided(&self) -> bool {
        match &self.protocol {
            Protocol::AtLeastOnce(_) => false,
            Protocol::ExactlyOnce(protocol) => protocol.is_aborting(),
        }
    }

    /// Whether an offset commit is in flight.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn is_committing(&self) -> bool {
        self.offsets.is_committing()
    }

    /// Says whether a visit is under way. Acknowledged rows are then stored immediately, because visits read local
    /// copies.
    pub(crate) fn set_visiting(&mut self, is_visiting: bool) {
        self.is_visiting = is_visiting;
    }

    /// Takes the partitions whose restoring was interrupted.
    pub(crate) fn take_interrupted(&mut self) -> BTreeSet<i32> {
        std::mem::take(&mut self.interrupted)
    }

    /// Makes sure, before a record is handled, that membership was proven within the lease. `false`: it was proven just
    /// now, and time has passed.
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

    /// Whether delivery reports have to be taken and due commits made before the next record, so that records in flight
    /// do not expire while slow handlers run, and no transaction gets too old.
    pub(crate) fn is_look_due(&self, env: &Env<'_>) -> bool {
        env.now().saturating_sub(self.served_at) >= LOOK_AFTER
    }

    /// Takes delivery reports between records.
    pub(crate) fn look(&mut self, env: &Env<'_>, partitions: &mut Partitions) -> Result<(), Halt> {
        let away = env.now().saturating_sub(self.served_at);
        let (_, mut work) = self.parts(env, partitions);
        if work.offsets.is_lease_spent(away, SHARE_OF_LEASE) {
            // If the group refuses, the lease still counts.
            work.commit(|_| true)?;
        }
        work.partitions.serve(env, Duration::ZERO);
        Ok(())
    }

    /// Delivery reports were taken and due commits made.
    pub(crate) fn looked(&mut self, env: &Env<'_>) {
        self.served_at = env.kafka.now();
    }

    /// Whether the open interval of a running partition takes one more record. `false`: it is full, and this call has
    /// advanced the commit; call again.
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

    /// Makes due commits.
    pub(crate) fn due(&mut self, env: &Env<'_>, partitions: &mut Partitions) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(protocol) => protocol.due(&mut work),
            Protocol::ExactlyOnce(protocol) => protocol.transact(&mut work, false),
        }
    }

    /// Commits the handled records of partitions that are given back. Records that cannot be committed by `give_up` run
    /// again at the next owner. After a setback of one partition, the worker calls this again for the others.
    pub(crate) fn finish(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        numbers: &[i32],
        give_up: Duration,
        is_well: bool,
    ) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(_) => at_least_once::finish(&mut work, numbers, give_up, is_well),
            Protocol::ExactlyOnce(protocol) => protocol.commit_now(&mut work, numbers, give_up),
        }
    }

    /// Partitions of this worker were lost: their uncommitted work is void.
    pub(crate) fn lose(&mut self, env: &Env<'_>, partitions: &Partitions) -> Result<(), Halt> {
        match &mut self.protocol {
            Protocol::AtLeastOnce(_) => {
                env.kafka.purge();
                Ok(())
            }
            Protocol::ExactlyOnce(protocol) => protocol.lose(partitions),
        }
    }

    /// Commits the worker's transaction, so that rows can be sent in a transaction of their own.
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

    /// Commits rows of a partition that were sent outside of all intervals. All of them are delivered.
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

    /// Commits the positions where a partition resumes, which proves that the partition is ours. The inner error: the
    /// group did not take them now.
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

    /// Writes the acknowledged rows of a partition to its local copy, with the positions after them.
    pub(crate) fn store(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let (_, mut work) = self.parts(env, partitions);
        work.store(number)
    }

    /// Treats an offset commit in flight as not made: its offsets are committed again.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        self.offsets.forget(partitions);
    }

    /// Whether a setback of this scope voids the work of a partition.
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

    /// Voids the work in this scope: aborts the transaction or purges the producer. Returns the partitions that have to
    /// recover.
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
