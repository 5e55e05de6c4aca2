//! Recoveries that wait for an open transaction. Logs them and, under exactly-once, aborts a transaction that a
//! previous owner left open, by fencing the owner. Must not know what is recovered.

use std::{collections::BTreeMap, time::Duration};

use tracing::warn;

use crate::engine::{env::Env, port::fault::Fault};

/// If brokers do not answer for this long, a transaction of the previous owner may be the cause, and the owner is
/// fenced.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long to wait before the owner is fenced again.
const FENCE_AGAIN: Duration = Duration::from_secs(5);
/// After how long a waiting recovery is logged.
const LOG: Duration = Duration::from_secs(5);
/// After how long it is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(30);

/// The partitions whose recovery an open transaction may block.
#[derive(Default)]
pub(super) struct Blocked {
    /// When to fence the owner of the transaction next.
    fence_at: BTreeMap<i32, Duration>,
    /// Since when each recovery waits, and when it is logged next.
    waits: BTreeMap<i32, (Duration, Duration)>,
}

impl Blocked {
    /// Nothing blocks the recovery of a partition any more.
    pub(super) fn cleared(&mut self, number: i32) {
        self.fence_at.remove(&number);
        self.waits.remove(&number);
    }

    /// The recovery of a partition waits for an open transaction: logs that if it lasts.
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

    /// Fences the previous owner of a partition, whose transaction blocks the recovery, if the recovery has waited for
    /// long. Brokers were asked at `asked`. Unless brokers answered that a transaction `is_open`, they may only be
    /// slow and the owner alive: then the previous owner is fenced only if the next try fails too.
    pub(super) fn fence(&mut self, env: &Env<'_>, number: i32, asked: Duration, is_open: bool) {
        let now = env.kafka.now();
        let first = if is_open { asked } else { now } + PATIENCE;
        let at = self.fence_at.entry(number).or_insert(first);
        if now >= *at {
            *at = now + FENCE_AGAIN;
            if !env.spec.settings.fault.is(Fault::NoFence) {
                env.kafka.fence(number);
            }
        }
    }
}
