//! The running app: waits for recovery, for a failure, or for the shutdown. Must not know how workers are started.

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

/// A running app, from [`App::start`](crate::App::start): statistics, visits, and shutdown.
///
/// If a `Running` is dropped without [`shutdown`](Self::shutdown), the workers stop in the background.
pub struct Running {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) ended: mpsc::UnboundedReceiver<Result>,
    pub(super) groups: Vec<Group>,
    pub(super) changes: watch::Receiver<u64>,
    /// Dropping this sender ends the thread that checks topics.
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
    /// Waits until the app is up: every worker is a member of its group, each processor has at least one partition, and
    /// all partitions that are assigned to this process have recovered and are running.
    ///
    /// # Errors
    /// [`Error::Closed`] if the app stopped; [`wait`](Self::wait) returns the reason.
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

    /// Statistics of the app: counters, and the state of each partition.
    pub fn stats(&self) -> Stats {
        Stats {
            groups: self.groups.iter().map(Group::stats).collect(),
        }
    }

    /// Handle of one processor of this app, to read its table, its state and its statistics.
    ///
    /// # Errors
    /// [`Error::Config`] if the app does not have this processor.
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

    /// Visits all rows of a processor's table in this process: for each row, calls the visitor that takes `args`.
    ///
    /// Returns the number of visited keys once all effects of the visit are committed. Processing of records continues
    /// during the visit. Each row is visited once; a row that is written during the visit may be visited or not.
    /// Dropping the future cancels the visit.
    ///
    /// Each instance visits the partitions that are assigned to it. To visit the whole table, call `visit` in every
    /// instance.
    ///
    /// # Errors
    /// [`Error::VisitCancelled`] if a partition moved to another instance before all of its rows were visited;
    /// [`Error::Closed`] if the processor stopped, for example because the visitor failed; [`Error::Config`] if the app
    /// does not have this processor.
    // Boxed, for the reason given at `ProcessorHandle::visit`.
    pub fn visit<P: Processor, A: Visits<P>>(
        &self,
        args: A,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send>> {
        let processor = self.processor::<P>();
        Box::pin(async move { processor?.visit(args).await })
    }

    /// Waits until the app stops because a processor failed. If no processor fails, `wait` waits for ever.
    ///
    /// `wait` is cancel safe: you can drop the future and call `wait` again.
    ///
    /// # Errors
    /// The first failure. The other processors were shut down cleanly.
    pub async fn wait(&mut self) -> Result {
        while let Some(ended) = self.ended.recv().await {
            if let Err(failure) = ended {
                self.stop.store(true, Ordering::Relaxed);
                self.first_error.get_or_insert(failure);
            }
        }
        self.first_error.take().map_or(Ok(()), Err)
    }

    /// Shuts the app down: stops reading, waits for handlers that block their thread, commits, leaves the groups, and
    /// waits until all workers have stopped.
    ///
    /// # Errors
    /// The first failure of a processor, before or during the shutdown.
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
