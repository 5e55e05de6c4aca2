//! Processors that run: what they do, how they end.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
};

use tokio::sync::{mpsc, watch};

use crate::{
    app::{
        group::{Group, Stats},
        handle::ProcessorHandle,
    },
    base::{
        error::{Error, Result},
        state::PartitionState,
    },
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
