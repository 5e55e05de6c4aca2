//! One record: its handler is called, and what the handler did takes effect, is held back, or is replaced by what a policy
//! says. Must not know when anything is committed, nor how a partition recovers.

mod apply;
mod call;
mod conclude;
mod deferred;
mod describe;
mod visiting;
mod waiting;

use std::sync::Arc;

use crate::engine::{effects::Effects, env::Env, rules::Rules};
pub(crate) use call::Call;
pub(crate) use waiting::Next;

pub(crate) use deferred::Oldest;
use visiting::Visiting;
use waiting::Woken;

/// How a worker handles records.
pub(crate) struct Handling {
    rules: Rules,
    /// The largest record that the producer takes, bytes.
    record_max: usize,
    /// A buffer for what a handler does.
    effects: Effects,
    /// Set when a handler that waits can go on.
    woken: Arc<Woken>,
    /// For records without a key: round robin.
    spread: i32,
    /// The visit that is under way.
    visiting: Option<Visiting>,
    visits_begun: u64,
}

impl Handling {
    pub(crate) fn new(rules: Rules, record_max: usize) -> Self {
        Handling {
            rules,
            record_max,
            effects: Effects::default(),
            woken: Arc::default(),
            spread: 0,
            visiting: None,
            visits_begun: 0,
        }
    }

    /// Whether a handler that waits can go on.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.is_set()
    }

    /// Whether a visit is under way.
    pub(crate) fn is_visiting(&self) -> bool {
        self.visiting.is_some()
    }

    fn partition_of(&mut self, env: &Env<'_>, edge: usize, key: Option<&[u8]>) -> i32 {
        let count = env.kafka.partitions(edge).max(1);
        match key {
            Some(key) => env.edges.get(edge).partitioner.partition(key, count),
            None => {
                self.spread = (self.spread + 1) % count;
                self.spread
            }
        }
    }
}
