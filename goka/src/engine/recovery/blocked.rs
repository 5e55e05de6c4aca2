//! Recoveries that wait for an open transaction. They are logged. Under exactly-once, a transaction that the previous
//! owner of a partition left open is also aborted, by fencing that owner. Must not know what is recovered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tracing::warn;

use crate::engine::{
    env::Env,
    port::{Committed, GroupOffsets, OURS, fault::Fault},
};

/// How long a recovery waits before the previous owner of the partition is fenced, because an open transaction of that
/// owner may be the cause.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long to wait before the previous owner is fenced again.
const FENCE_AGAIN: Duration = Duration::from_secs(5);
/// How long a recovery waits before the wait is logged.
const LOG: Duration = Duration::from_secs(5);
/// How long until the wait is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(30);

/// The partitions whose recovery an open transaction may block.
#[derive(Default)]
pub(super) struct Blocked {
    /// By partition: when to fence the previous owner next.
    fence_at: BTreeMap<i32, Duration>,
    /// By partition: since when the recovery has waited, and when to log the wait next.
    waits: BTreeMap<i32, (Duration, Duration)>,
    /// By partition: the transactional ids of its previous owners, as the group's offsets have named them. Records of a
    /// previous owner may arrive after this worker has claimed the partition.
    owners: BTreeMap<i32, BTreeSet<String>>,
}

impl Blocked {
    /// Notes who has committed these offsets of a partition, if it was not this worker alone.
    pub(super) fn committed(&mut self, env: &Env<'_>, number: i32, offsets: &GroupOffsets) {
        let committed = offsets.sources.iter().flatten();
        let ids = committed.flat_map(|committed| Committed::committers(&committed.metadata));
        let own = env.spec.settings.instance.strip_prefix(OURS);
        let others = ids.filter(|id| Some(*id) != own);
        let ids: BTreeSet<String> = others.map(str::to_owned).collect();
        if !ids.is_empty() {
            self.owners.insert(number, ids);
        }
    }

    /// The previous owners of a partition.
    pub(super) fn owners(&self, number: i32) -> Vec<String> {
        let owners = self.owners.get(&number);
        owners.into_iter().flatten().cloned().collect()
    }

    /// Forgets a partition that the worker does not have any more.
    pub(super) fn forget(&mut self, number: i32) {
        self.cleared(number);
        self.owners.remove(&number);
    }

    /// Notes that nothing blocks the recovery of a partition any more.
    pub(super) fn cleared(&mut self, number: i32) {
        self.fence_at.remove(&number);
        self.waits.remove(&number);
    }

    /// Notes that the recovery of a partition waits for an open transaction, and logs the wait if it lasts.
    pub(super) fn log(&mut self, env: &Env<'_>, number: i32) {
        let now = env.kafka.now();
        let (since, at) = self.waits.entry(number).or_insert((now, now + LOG));
        if now < *at {
            return;
        }
        *at = now + LOG_AGAIN;
        warn!(
            group = env.group(),
            topic = env.changelog(),
            partition = number,
            seconds = now.saturating_sub(*since).as_secs(),
            "recovery waits for a transaction that is open in the changelog or holds offsets of the group; brokers abort \
             it after its `transaction.timeout.ms`, or abort it with kafka-transactions.sh"
        );
    }

    /// Fences the previous owner of a partition, whose open transaction blocks the recovery, if the recovery has
    /// waited for long. `asked` is when brokers were asked, and `is_open` is whether they answered that a transaction
    /// is open. If so, the wait counts from `asked`. If not, the brokers may only be slow, and the previous owner may
    /// be alive: the wait then counts from now, so that the owner is fenced only if a later try fails too.
    pub(super) fn fence(&mut self, env: &Env<'_>, number: i32, asked: Duration, is_open: bool) {
        let now = env.kafka.now();
        let first = if is_open { asked } else { now } + PATIENCE;
        let at = self.fence_at.entry(number).or_insert(first);
        if now >= *at {
            *at = now + FENCE_AGAIN;
            if !env.spec.settings.fault.is(Fault::NoFence) {
                env.kafka
                    .fence(number, self.owners.entry(number).or_default());
            }
        }
    }
}
