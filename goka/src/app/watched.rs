//! Topics, who holds their partitions, and local copies that are left over, while the app runs.

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
use tracing::{error, warn};

use crate::{
    app::{leftovers::Leftovers, orphans::Orphans, topology::Topology},
    base::error::{Error, Result},
    kafka::Cluster,
};

/// How soon it is asked again whether a topic is really wrong, if not earlier.
const AGAIN: Duration = Duration::from_secs(5);

/// Topics that are looked at again and again, until the app is dropped or a topic is wrong.
pub(super) struct Watched {
    pub(super) cluster: Cluster,
    pub(super) topologies: Vec<Topology>,
    pub(super) orphans: Orphans,
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
            let mut look_at = Instant::now() + self.interval;
            let mut is_doubted = false;
            loop {
                let mut next = look_at.min(Instant::now() + self.leftovers.interval());
                next = self
                    .orphans
                    .next()
                    .map_or(next, |orphans| orphans.min(next));
                let wait = next.saturating_duration_since(Instant::now());
                if end.recv_timeout(wait) != Err(std_mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
                self.leftovers.look();
                let due = |next: Instant| next <= Instant::now();
                if self.orphans.next().is_some_and(due) {
                    self.orphans.look(&self.cluster);
                }
                if !due(look_at) {
                    continue;
                }
                look_at = Instant::now() + self.interval;
                let Err(failure) = self.look() else {
                    is_doubted = false;
                    continue;
                };
                if !is_doubted {
                    // A broker that has just come back may not know all of its topics yet.
                    warn!(error = %failure, "a topic is wrong; asking once more before the app ends");
                    is_doubted = true;
                    look_at = Instant::now() + self.interval.min(AGAIN);
                    continue;
                }
                error!(error = %failure, "a topic is wrong; stopping");
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
            .map_err(|error| Error::system("start the thread that checks topics", error))
    }

    fn look(&self) -> Result {
        for topology in &self.topologies {
            match topology.mismatch(&self.cluster) {
                Ok(None) => {}
                Ok(Some(mismatch)) => return Err(mismatch),
                // The broker is away: workers know how to wait for it.
                Err(failure) => warn!(error = %failure, "topics could not be checked now"),
            }
        }
        Ok(())
    }
}
