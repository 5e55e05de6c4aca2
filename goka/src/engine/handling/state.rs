//! The state that a worker keeps for handling records. Must not know when records come.

use std::sync::Arc;

use super::{visit::Visiting, woken::Woken};
use crate::{
    base::index::EdgeIx,
    engine::{effects::Effects, env::Env, rules::Rules},
};

/// The state that a worker keeps for handling records.
pub(crate) struct Handling {
    pub(super) rules: Rules,
    /// The largest record that the producer takes, bytes.
    pub(super) record_max: usize,
    /// A buffer for the effects of a handler.
    pub(super) effects: Effects,
    /// The waker of the async handlers. It is set when an async handler can go on.
    pub(super) woken: Arc<Woken>,
    /// The partition of the last output record without a key. Such records go to the partitions of a topic in turn.
    pub(super) spread: i32,
    /// The visit that is under way. `None`: no visit is under way.
    pub(super) visiting: Option<Visiting>,
    /// The number of the last visit that was begun.
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

    /// Whether an async handler can go on.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.is_set()
    }

    /// Whether a visit is under way.
    pub(crate) fn is_visiting(&self) -> bool {
        self.visiting.is_some()
    }

    /// The partition of an edge's topic to which an output record goes if the handler names no partition.
    pub(super) fn partition_of(&mut self, env: &Env<'_>, edge: EdgeIx, key: Option<&[u8]>) -> i32 {
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
