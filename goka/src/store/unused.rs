//! Deletes local copies that this process has not had open for a long time, because other instances own their
//! partitions now. Must not know groups or the current time.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{beside, problem, registry, state::StateDir};
use crate::base::error::Error;

/// Finds and deletes local copies that were not in use for a while.
pub(crate) struct Unused {
    state: Arc<StateDir>,
    /// The directories to check. Each one contains one directory per partition.
    directories: Vec<PathBuf>,
    delay: Duration,
    /// For each unused copy, the time of the first check that found it unused.
    since: BTreeMap<PathBuf, Duration>,
}

impl Unused {
    /// Watches the copies in these directories, which need not exist.
    pub(crate) fn new(state: Arc<StateDir>, directories: Vec<PathBuf>, delay: Duration) -> Self {
        Unused {
            state,
            directories,
            delay,
            since: BTreeMap::new(),
        }
    }

    /// Deletes the copies that every check during the last `delay` found unused, and returns their paths. `now` is the
    /// time since an arbitrary but fixed origin.
    ///
    /// # Errors
    /// If a directory cannot be read, or a copy cannot be deleted. The other directories and copies are checked
    /// nevertheless.
    pub(crate) fn look(&mut self, now: Duration) -> (Vec<PathBuf>, Result<(), Error>) {
        let (mut found, mut result) = (BTreeMap::new(), Ok(()));
        for directory in &self.directories {
            match copies(directory) {
                Ok(copies) => {
                    let unused = copies.into_iter().filter(|copy| !is_used(copy));
                    found.extend(unused.map(|copy| (copy, now)));
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        for (copy, since) in &mut found {
            *since = self.since.get(copy).copied().unwrap_or(now);
        }
        let (mut deleted, delay) = (Vec::new(), self.delay);
        found.retain(|copy, since| {
            if now.saturating_sub(*since) < delay {
                return true;
            }
            match self.state.discard(copy) {
                Ok(()) => {
                    deleted.push(copy.clone());
                    false
                }
                Err(error) => {
                    result = std::mem::replace(&mut result, Ok(())).and(Err(error));
                    true
                }
            }
        });
        self.since = found;
        (deleted, result)
    }

    /// Forgets earlier checks, so that the delay starts again. For times when the owners of partitions are unknown.
    pub(crate) fn forget(&mut self) {
        self.since.clear();
    }
}

fn is_used(copy: &Path) -> bool {
    registry::is_claimed(copy) || registry::is_claimed(&beside::beside(copy))
}

/// The copies in a directory, by their canonical paths.
fn copies(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let problem = |error| problem::state(directory, "list local copies", error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(problem(error)),
    };
    let mut copies = Vec::new();
    for entry in entries {
        let path = entry.map_err(problem)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        // Other entries are not local copies.
        if name.is_some_and(|name| name.parse::<i32>().is_ok()) {
            copies.push(path.canonicalize().map_err(problem)?);
        }
    }
    Ok(copies)
}
