//! The background thread of a running app: checks topics, finds orphaned partitions, and deletes unused local copies.
//! Must not know how each of these tasks is done.

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

/// How long after a mismatch the topics are checked a second time.
const AGAIN: Duration = Duration::from_secs(5);

/// What the thread checks, until the app is dropped or a topic no longer matches.
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
        // The sender is weak, because `Running::wait` waits until all senders are dropped.
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
                    // A broker that has just restarted may not know all of its topics yet.
                    warn!(error = %failure, "a topic does not match the graph; checking once more before the app stops");
                    is_doubted = true;
                    look_at = Instant::now() + self.interval.min(AGAIN);
                    continue;
                }
                error!(error = %failure, "a topic does not match the graph; stopping the app");
                if let Some(ends) = ends.upgrade() {
                    // Sending fails only if nobody waits for the end of the app any more.
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
                // The broker does not answer. The workers themselves wait for the broker.
                Err(failure) => warn!(error = %failure, "could not check topics; trying again"),
            }
        }
        Ok(())
    }
}
