//! One processor of a running app, as threads other than its workers see it: states, counters, visits. Must not know
//! how workers are started.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use crate::{
    base::{
        error::{Error, Result},
        state::PartitionState,
    },
    engine::{program::Visit, replica::standby::Standby, status::Status, visits},
};

/// One processor of a running app.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) partitions: i32,
    pub(super) processor: Arc<dyn Any + Send + Sync>,
    pub(super) workers: Vec<Remote>,
    /// The standby of the group, which is dropped with the last worker.
    pub(super) standby: Weak<Standby>,
}

/// A worker, seen from other threads.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) status: Arc<Status>,
    pub(super) visits: Arc<visits::Visits>,
}

impl Group {
    pub(super) fn partitions(&self) -> BTreeMap<i32, PartitionState> {
        let workers = self.workers.iter();
        workers
            .flat_map(|worker| worker.status.partitions())
            .collect()
    }

    pub(super) fn stats(&self) -> GroupStats {
        let handled = self
            .workers
            .iter()
            .map(|worker| worker.status.handled_so_far());
        let failed = self
            .workers
            .iter()
            .map(|worker| worker.status.failed_so_far());
        let [skipped, dead_letters, retries] = failed.fold([0; 3], |all, these| {
            std::array::from_fn(|i| all[i] + these[i])
        });
        GroupStats {
            group: self.name,
            handled: handled.sum(),
            skipped,
            dead_letters,
            retries,
            partitions_total: self.partitions,
            partitions: self.partitions(),
            standby: self
                .standby
                .upgrade()
                .map_or_else(BTreeMap::new, |standby| standby.partitions()),
            workers: self
                .workers
                .iter()
                .map(|worker| worker.status.partitions().into_keys().collect())
                .collect(),
        }
    }
}

/// Statistics of a running app, from [`Running::stats`](crate::Running::stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// One entry per processor, in the order in which the processors were added.
    pub groups: Vec<GroupStats>,
}

/// Statistics of one processor in this process.
///
/// Counters start at 0 when the app starts, and count the workers of this process only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupStats {
    /// The logical name of the group.
    pub group: &'static str,
    /// Number of records that were processed: their handlers returned `Ok`, or a [`Policy`](crate::Policy) skipped or
    /// dead-lettered the records. A record that is processed again after a failure counts again.
    pub handled: u64,
    /// Number of records in `handled` that were skipped.
    pub skipped: u64,
    /// Number of records in `handled` that were written to a dead-letter topic.
    pub dead_letters: u64,
    /// Number of retries.
    pub retries: u64,
    /// Number of partitions of the group, in all processes together.
    pub partitions_total: i32,
    /// The partitions that are assigned to this process, and their states.
    pub partitions: BTreeMap<i32, PartitionState>,
    /// The partitions that this process keeps up to date as a standby ([`Config::standby`](crate::Config::standby)),
    /// and their states. Here [`PartitionState::Running`] means that the local copy has caught up with the changelog.
    pub standby: BTreeMap<i32, PartitionState>,
    /// The partitions that are assigned to each worker.
    pub workers: Vec<Vec<i32>>,
}

impl Group {
    pub(super) async fn visit(self, visit: Arc<dyn Visit>) -> Result<u64> {
        let workers = self.workers.iter();
        let answers: Vec<_> = workers
            .map(|worker| worker.visits.ask(visit.clone()))
            .collect();
        let (mut keys, mut cancelled) = (0, None);
        for answer in answers {
            match answer.await {
                Ok(Ok(visited)) => keys += visited,
                Ok(Err(early)) => {
                    keys += early.keys;
                    cancelled.get_or_insert(early.partition);
                }
                Err(_) => return Err(Error::Closed("the processor")),
            }
        }
        match cancelled {
            None => Ok(keys),
            Some(partition) => Err(Error::VisitCancelled {
                group: self.name,
                partition,
                keys,
            }),
        }
    }
}
