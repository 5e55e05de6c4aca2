//! What a worker keeps to handle records. Must not know how it is used.

use std::sync::Arc;

use super::{visit::Visiting, woken::Woken};
use crate::engine::{effects::Effects, env::Env, rules::Rules};

/// How a worker handles records.
pub(crate) struct Handling {
    pub(super) rules: Rules,
    /// The largest record that the producer takes, bytes.
    pub(super) record_max: usize,
    /// A buffer for what a handler does.
    pub(super) effects: Effects,
    /// Set when a handler that waits can go on.
    pub(super) woken: Arc<Woken>,
    /// For records without a key: round robin.
    pub(super) spread: i32,
    /// The visit that is under way.
    pub(super) visiting: Option<Visiting>,
    pub(super) visits_begun: u64,
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

    pub(super) fn partition_of(&mut self, env: &Env<'_>, edge: usize, key: Option<&[u8]>) -> i32 {
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
