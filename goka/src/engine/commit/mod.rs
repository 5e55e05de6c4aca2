//! The commit protocols, which commit intervals (the records of a partition from one commit to the next) to Kafka and
//! to disk. Only this module decides when something is committed.
//!
//! The worker calls [`Commit`]. The protocols are `at_least_once.rs` and `exactly_once.rs`; both use `work.rs`
//! (intervals and local copies), `committing.rs` (offset commits), `offsets.rs` (the membership lease) and `gaps.rs`
//! (foreign rows, which a zombie wrote). Must not know handlers, nor how a partition recovers.

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
pub(crate) use offsets::Claim;
use offsets::Offsets;
use work::Work;

/// A worker takes delivery reports and makes due commits before the next record if this much time has passed since it
/// last did both. A broker answers in about this time.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// Divides the membership lease: if a handler keeps the thread for longer than the quotient, membership is proven
/// again, so that records that wait in the producer do not expire.
const SHARE_OF_LEASE: u32 = 4;

/// The commits of a worker.
pub(crate) struct Commit {
    protocol: Protocol,
    offsets: Offsets,
    /// When the worker last took delivery reports and made due commits between records.
    served_at: Duration,
    /// Whether a visit is under way. Visits read local copies.
    is_visiting: bool,
    /// Partitions whose restoring was interrupted, because the reader of the changelog was needed for another
    /// partition.
    interrupted: BTreeSet<i32>,
}

enum Protocol {
    AtLeastOnce(AtLeastOnce),
    ExactlyOnce(ExactlyOnce),
}

impl Commit {
    /// Creates the commit protocol of the guarantee in `settings`, and the rules that the guarantee sets for the other
    /// modules.
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

    /// Whether the worker's transaction takes records. Always `true` under at-least-once, which has no transactions.
    pub(crate) fn is_open(&self) -> bool {
        match &self.protocol {
            Protocol::AtLeastOnce(_) => true,
            Protocol::ExactlyOnce(protocol) => protocol.is_open(),
        }
    }

    /// Whether it is still undecided if a transaction of this worker is committed or aborted. Until the decision, the
    /// committed offsets are not known.
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

    /// Sets whether a visit is under way. During a visit, acknowledged rows are stored immediately, because visits
    /// read local copies.
    pub(crate) fn set_visiting(&mut self, is_visiting: bool) {
        self.is_visiting = is_visiting;
    }

    /// Removes and returns the partitions whose restoring was interrupted.
    pub(crate) fn take_interrupted(&mut self) -> BTreeSet<i32> {
        std::mem::take(&mut self.interrupted)
    }

    /// Makes sure, before a record is handled, that membership was proven within the membership lease. `false`: this
    /// call has proven membership, which took time, so that the caller has to read the clock again.
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

    /// Whether the worker has to take delivery reports and make due commits before the next record. Otherwise, records
    /// in flight could expire while slow handlers run, and a transaction could get too old.
    pub(crate) fn is_look_due(&self, env: &Env<'_>) -> bool {
        env.now().saturating_sub(self.served_at) >= LOOK_AFTER
    }

    /// Takes delivery reports between records. If much of the membership lease has passed since the worker last did
    /// this, proves membership first.
    pub(crate) fn look(&mut self, env: &Env<'_>, partitions: &mut Partitions) -> Result<(), Halt> {
        let away = env.now().saturating_sub(self.served_at);
        let (_, mut work) = self.parts(env, partitions);
        if work.offsets.is_lease_spent(away, SHARE_OF_LEASE) {
            // If the group refuses the commit, the current lease still counts.
            work.commit(|_| true)?;
        }
        work.partitions.serve(env, Duration::ZERO);
        Ok(())
    }

    /// Notes that the worker has now taken delivery reports and made due commits.
    pub(crate) fn looked(&mut self, env: &Env<'_>) {
        self.served_at = env.kafka.now();
    }

    /// Whether the open interval of a running partition takes one more record. `false`: the interval was full, and
    /// this call has advanced its commit; call again.
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

    /// Commits the handled records of partitions that are given back. Records that cannot be committed by `give_up`
    /// run again at the next owner. After a setback of one partition, the worker calls this method again for the other
    /// partitions. `is_well`: no error has occurred before.
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

    /// Voids the uncommitted work of partitions that this worker has lost: purges the producer or, under exactly-once,
    /// returns the setback that aborts the transaction.
    pub(crate) fn lose(&mut self, env: &Env<'_>, partitions: &Partitions) -> Result<(), Halt> {
        match &mut self.protocol {
            Protocol::AtLeastOnce(_) => {
                env.kafka.purge();
                Ok(())
            }
            Protocol::ExactlyOnce(protocol) => protocol.lose(partitions),
        }
    }

    /// Commits the worker's transaction, so that the rows that are sent next are alone in their transaction.
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

    /// Commits rows of a partition that were sent outside of all intervals. All of these rows must be delivered
    /// already.
    pub(crate) fn commit_alone(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::AtLeastOnce(_) => Ok(()),
            Protocol::ExactlyOnce(_) => exactly_once::commit_alone(&mut work, number, &[]),
        }
    }

    /// Commits the positions at which a partition resumes, and the changelog offset behind the rows that belong to
    /// them. The commit proves that the partition is ours. `with_rows`: rows were sent and delivered that must be
    /// committed together with the positions. The inner error: the group did not take the positions now.
    pub(crate) fn claim(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        claim: Claim<'_>,
        with_rows: bool,
    ) -> Result<Result<(), Error>, Halt> {
        let (protocol, mut work) = self.parts(env, partitions);
        match protocol {
            Protocol::ExactlyOnce(_) if with_rows => {
                let (number, positions) = (claim.partition, claim.positions(env));
                exactly_once::commit_alone(&mut work, number, &positions).map(Ok)
            }
            _ => work.claim(&claim),
        }
    }

    /// Writes the acknowledged rows of a partition to its local copy, together with the positions after these rows.
    pub(crate) fn store(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let (_, mut work) = self.parts(env, partitions);
        work.store(number)
    }

    /// Treats the offset commit in flight, if there is one, as not made, because this worker is not a member any more.
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

    /// Voids the work in this scope: aborts the transaction or, if the worker may have lost its membership, purges the
    /// producer. Returns the partitions that have to recover.
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
