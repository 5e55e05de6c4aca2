//! Recoveries that wait for an open transaction: said in the log, and under exactly-once ended if a previous owner
//! left it open. Must not know what is recovered.

use std::{collections::BTreeMap, time::Duration};

use tracing::warn;

use crate::engine::{env::Env, port::fault::Fault};

/// How long somebody else's transaction may hold up a recovery before it is fenced.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long to wait before it is fenced again.
const FENCE_AGAIN: Duration = Duration::from_secs(5);
/// When the log says that a recovery waits, at first and then.
const SAY: Duration = Duration::from_secs(5);
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// The partitions whose recovery waits.
#[derive(Default)]
pub(super) struct Blocked {
    /// When to fence the previous owner.
    fence_at: BTreeMap<i32, Duration>,
    /// Since when it waits, and when the log says so.
    open: BTreeMap<i32, (Duration, Duration)>,
}

impl Blocked {
    /// Nothing holds the partition up any more.
    pub(super) fn cleared(&mut self, number: i32) {
        self.fence_at.remove(&number);
        self.open.remove(&number);
    }

    /// The recovery of a partition waits for a transaction: if that lasts, the log says so.
    pub(super) fn say(&mut self, env: &Env<'_>, number: i32) {
        let now = env.kafka.now();
        let (since, at) = self.open.entry(number).or_insert((now, now + SAY));
        if now < *at {
            return;
        }
        *at = now + SAY_AGAIN;
        warn!(
            group = env.group(),
            topic = env.changelog(),
            partition = number,
            seconds = now.saturating_sub(*since).as_secs(),
            "recovery waits for a transaction that is open in the changelog or holds offsets of the group; brokers abort \
             it after its `transaction.timeout.ms`, or abort it with kafka-transactions.sh"
        );
    }

    /// The recovery of a partition waits: if that lasts, a transaction of a previous owner is in its way, and is
    /// fenced. Brokers that have not `told` so may be slow, and the owner may live: then a second question decides.
    pub(super) fn fence(&mut self, env: &Env<'_>, number: i32, asked: Duration, told: bool) {
        let now = env.kafka.now();
        let first = if told { asked } else { now } + PATIENCE;
        let at = self.fence_at.entry(number).or_insert(first);
        if now >= *at {
            *at = now + FENCE_AGAIN;
            if !env.spec.settings.fault.is(Fault::NoFence) {
                env.kafka.fence(number);
            }
        }
    }
}
