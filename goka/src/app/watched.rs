//! Topics, and local copies that are left over, while the app runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::warn;

use super::leftovers::Leftovers;
use crate::{Error, Result, kafka::Cluster, topology::Topology};

/// Topics that are looked at again and again, until the app is dropped or a topic is wrong.
pub(super) struct Watched {
    pub(super) cluster: Cluster,
    pub(super) topologies: Vec<Topology>,
    pub(super) interval: Duration,
    pub(super) leftovers: Leftovers,
    pub(super) stop: Arc<AtomicBool>,
}

impl Watched {
    pub(super) fn watch(
        mut self,
        end: std_mpsc::Receiver<()>,
        ends: mpsc::UnboundedSender<Result>,
    ) -> Result {
        // Must not keep `Running::wait` waiting.
        let ends = ends.downgrade();
        let thread = thread::Builder::new().name("goka-topics".to_owned());
        let spawned = thread.spawn(move || {
            let mut looked = Instant::now();
            let tick = self.interval.min(self.leftovers.interval());
            while end.recv_timeout(tick) == Err(std_mpsc::RecvTimeoutError::Timeout) {
                self.leftovers.look();
                if looked.elapsed() < self.interval {
                    continue;
                }
                looked = Instant::now();
                let Err(failure) = self.look() else { continue };
                if let Some(ends) = ends.upgrade() {
                    // Nobody waits any more if this fails.
                    let _ = ends.send(Err(failure));
                }
                self.stop.store(true, Ordering::Relaxed);
                return;
            }
        });
        spawned
            .map(drop)
            .map_err(|error| Error::kafka("start the thread that checks topics", error))
    }

    fn look(&self) -> Result {
        for topology in &self.topologies {
            match topology.check_again(&self.cluster) {
                Ok(()) => {}
                Err(failure @ Error::Topic(_)) => return Err(failure),
                // The broker is away: workers know how to wait for it.
                Err(failure) => warn!(error = %failure, "topics could not be checked now"),
            }
        }
        Ok(())
    }
}
