//! Deletes local copies of partitions that moved to other instances, after `cleanup_delay`. Must not know how a local
//! copy is found to be in use.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::{
    engine::status::Status,
    store::{StateDir, Unused},
};

/// Number of checks for unused local copies within `cleanup_delay`.
const LOOKS: u32 = 10;

/// The local copies of an app's processors, of which some may be unused.
pub(super) struct Leftovers {
    began: Instant,
    delay: Duration,
    groups: Vec<(Unused, Vec<Arc<Status>>)>,
}

impl Leftovers {
    pub(super) fn new(delay: Duration) -> Self {
        Leftovers {
            began: Instant::now(),
            delay,
            groups: Vec::new(),
        }
    }

    /// Adds the local copies of a processor: `directories` contain the copies, and `workers` are the workers of the
    /// processor.
    pub(super) fn add(
        &mut self,
        state: Arc<StateDir>,
        directories: Vec<PathBuf>,
        workers: Vec<Arc<Status>>,
    ) {
        let unused = Unused::new(state, directories, self.delay);
        self.groups.push((unused, workers));
    }

    /// The interval between two checks.
    pub(super) fn interval(&self) -> Duration {
        self.delay / LOOKS
    }

    pub(super) fn look(&mut self) {
        let now = self.began.elapsed();
        for (unused, workers) in &mut self.groups {
            if !workers.iter().all(|worker| worker.is_member()) {
                // During an outage no local copy is in use, but all of them will be needed again: the delay starts
                // again from zero.
                unused.forget();
                continue;
            }
            let (deleted, result) = unused.look(now);
            for copy in deleted {
                let (copy, delay) = (copy.display(), self.delay);
                info!(%copy, ?delay, "deleted the local copy of a partition that moved to another instance");
            }
            if let Err(error) = result {
                warn!(%error, "could not delete an unused local copy; trying again");
            }
        }
    }
}
