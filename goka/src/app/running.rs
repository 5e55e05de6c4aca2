//! Processors that run: what they do, how they end.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
};

use tokio::sync::{mpsc, watch};
use tracing::error;

use crate::{Error, PartitionState, Result, engine::status::Status};

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
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) partitions: i32,
    pub(super) workers: Vec<Arc<Status>>,
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
    /// Records that handlers returned `Ok` for, since the start. After a failure a record may count
    /// twice.
    pub handled: u64,
    /// How many partitions the group has in all processes together.
    pub partitions_total: i32,
    /// The partitions that are here, and what they do.
    pub partitions: BTreeMap<i32, PartitionState>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Waits until every partition that was given to this process runs, at least one per
    /// processor.
    ///
    /// # Errors
    /// [`Error::Closed`] if the processors ended; [`wait`](Self::wait) tells why.
    pub async fn recovered(&self) -> Result {
        let mut changes = self.changes.clone();
        loop {
            changes.borrow_and_update();
            let up = |group: &Group| {
                let mut here = group
                    .workers
                    .iter()
                    .flat_map(|worker| worker.partitions())
                    .peekable();
                here.peek().is_some() && here.all(|(_, state)| state == PartitionState::Running)
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
        let groups = self.groups.iter().map(|group| GroupStats {
            group: group.name,
            handled: group
                .workers
                .iter()
                .map(|worker| worker.handled_so_far())
                .sum(),
            partitions_total: group.partitions,
            partitions: group
                .workers
                .iter()
                .flat_map(|worker| worker.partitions())
                .collect(),
        });
        Stats {
            groups: groups.collect(),
        }
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
                error!(error = %failure, "a processor failed; stopping");
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
