//! Processors that run: what they do, how they end.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
};

use tokio::sync::{mpsc, watch};

use super::handle::ProcessorHandle;
use crate::{
    base::{
        error::{Error, Result},
        state::PartitionState,
    },
    engine::{handling::visiting, replica::standby::Standby, status::Status},
    typed::{edge::Visits, processor::Processor},
};

/// Started processors. Dropped without [`shutdown`](Self::shutdown), they are told to stop and end
/// on their own.
pub struct Running {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) ended: mpsc::UnboundedReceiver<Result>,
    pub(super) groups: Vec<Group>,
    pub(super) changes: watch::Receiver<u64>,
    /// Dropped to end the monitor.
    pub(super) _monitor: std_mpsc::Sender<()>,
    pub(super) first_error: Option<Error>,
}

/// One processor of it.
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
    pub(super) visits: Arc<visiting::Visits>,
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

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Waits until every worker is a member of its group, and every partition that was given to
    /// this process runs, at least one per processor.
    ///
    /// # Errors
    /// [`Error::Closed`] if the processors ended; [`wait`](Self::wait) tells why.
    pub async fn recovered(&self) -> Result {
        let mut changes = self.changes.clone();
        loop {
            changes.borrow_and_update();
            let up = |group: &Group| {
                let here = group.partitions();
                let mut states = here.values();
                let mut workers = group.workers.iter();
                workers.all(|worker| worker.status.is_member())
                    && !here.is_empty()
                    && states.all(|state| *state == PartitionState::Running)
            };
            if self.groups.iter().all(up) {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) || changes.changed().await.is_err() {
                return Err(Error::Closed("the app"));
            }
        }
    }

    /// Counters and the state of each partition.
    pub fn stats(&self) -> Stats {
        Stats {
            groups: self.groups.iter().map(Group::stats).collect(),
        }
    }

    /// A handle of one processor of this app: what it keeps and does here.
    ///
    /// # Errors
    /// If the app has no such processor.
    pub fn processor<P: Processor>(&self) -> Result<ProcessorHandle<P>> {
        let mut groups = self.groups.iter();
        let found = groups.find_map(|group| {
            let processor = group.processor.clone().downcast::<P>().ok()?;
            Some(ProcessorHandle::new(processor, group.clone()))
        });
        found.ok_or_else(|| {
            Error::Config(format!(
                "the app does not run the processor of group `{}`: add it with `App::processor`",
                P::GROUP
            ))
        })
    }

    /// Calls the visitor that takes `args` for every row of the processor's table whose partition
    /// is here, and gives how many keys it was called for, once all that it did is committed. Records
    /// are handled meanwhile; a row is visited once, rows that are written during the visit may be
    /// visited or not. Dropping the future gives the visit up.
    ///
    /// Every instance visits its own partitions: ask each of them.
    ///
    /// # Errors
    /// [`Error::VisitCancelled`] if a partition went to another instance before its rows were
    /// visited; [`Error::Closed`] if the processor ended, for example because the visitor failed.
    // Boxed, as that of the handle.
    pub fn visit<P: Processor, A: Visits<P>>(
        &self,
        args: A,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send>> {
        let processor = self.processor::<P>();
        Box::pin(async move { processor?.visit(args).await })
    }

    /// Waits until all processors have ended: by a failure, for otherwise they run on. May be
    /// cancelled and called again.
    ///
    /// # Errors
    /// The first failure. The other processors were shut down in good order.
    pub async fn wait(&mut self) -> Result {
        while let Some(ended) = self.ended.recv().await {
            if let Err(failure) = ended {
                self.stop.store(true, Ordering::Relaxed);
                self.first_error.get_or_insert(failure);
            }
        }
        self.first_error.take().map_or(Ok(()), Err)
    }

    /// Handles what was begun, commits, leaves the groups, and waits until all of it is done.
    ///
    /// # Errors
    /// If a processor failed before or on the way.
    pub async fn shutdown(mut self) -> Result {
        self.stop.store(true, Ordering::Relaxed);
        self.wait().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
