//! One processor of a running app, seen from outside its workers: states, counters, visits. Must not know how workers
//! are started.

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
    /// Gone with the last worker.
    pub(super) standby: Weak<Standby>,
}

/// A worker, from other threads.
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

/// Counters of a running app.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// One entry per processor, in the order in which they were added.
    pub groups: Vec<GroupStats>,
}

/// Counters of one processor in this process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupStats {
    /// The group's logical name.
    pub group: &'static str,
    /// Records that are done with, since the start: handlers returned `Ok` for them, or a
    /// [`Policy`](crate::Policy) passed them over. After a failure a record may count twice.
    pub handled: u64,
    /// Those of them that were skipped.
    pub skipped: u64,
    /// Those of them that became dead letters.
    pub dead_letters: u64,
    /// How often a record was to be handled again.
    pub retries: u64,
    /// How many partitions the group has in all processes together.
    pub partitions_total: i32,
    /// The partitions that are here, and what they do.
    pub partitions: BTreeMap<i32, PartitionState>,
    /// The partitions that run at other instances, or nowhere yet, and are kept up to date here as well
    /// ([`Config::standby`](crate::Config::standby)); [`PartitionState::Running`] are those that
    /// have been at the end of their partition.
    pub standby: BTreeMap<i32, PartitionState>,
    /// Which of them each worker has.
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
