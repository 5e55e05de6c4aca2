//! Copies of partitions that are not at this instance any more are deleted after a while. Must not know
//! how a copy is found to be in use.

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

/// Looked for so often within the delay.
const LOOKS: u32 = 10;

/// What may be left over of the processors of an app.
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

    /// Those of a processor with these workers, in these directories.
    pub(super) fn add(
        &mut self,
        state: Arc<StateDir>,
        directories: Vec<PathBuf>,
        workers: Vec<Arc<Status>>,
    ) {
        let unused = Unused::new(state, directories, self.delay);
        self.groups.push((unused, workers));
    }

    /// How often to look.
    pub(super) fn interval(&self) -> Duration {
        self.delay / LOOKS
    }

    pub(super) fn look(&mut self) {
        let now = self.began.elapsed();
        for (unused, workers) in &mut self.groups {
            if !workers.iter().all(|worker| worker.is_member()) {
                // During an outage nothing is in use, and all of it will be again.
                unused.forget();
                continue;
            }
            let (deleted, result) = unused.look(now);
            for copy in deleted {
                let (copy, delay) = (copy.display(), self.delay);
                info!(%copy, ?delay, "deleted the local copy of a partition that runs elsewhere");
            }
            if let Err(error) = result {
                warn!(%error, "a local copy that is not used any more was not deleted");
            }
        }
    }
}
