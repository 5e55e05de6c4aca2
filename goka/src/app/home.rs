//! The state directory of a process. The directory contains the local copies; the process locks it, and all apps and
//! views of the process that name the directory share it. Must not know what is in a local copy.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use crate::{
    base::{config::Config, error::Error},
    kafka::Cluster,
    store::{Options, PART_PAGES, StateDir},
};

/// How long to wait for the previous user of a local copy to close it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// State directories that are open in this process, by path.
static HOMES: Mutex<Option<HashMap<PathBuf, Weak<StateDir>>>> = Mutex::new(None);

/// A state directory, for the local copies of one cluster.
pub(crate) struct Home {
    state: Arc<StateDir>,
    cluster: String,
    options: Options,
}

impl Home {
    /// Opens the configured state directory or the default one. If no directory is configured, the embedded broker gets
    /// a temporary one, because its topics do not outlive the process either.
    pub(crate) fn open(config: &Config, cluster: &Cluster) -> Result<Self, Error> {
        let is_embedded = config.brokers.trim() == "embedded";
        // The default directory must not be in the system's temporary directory; a configured directory may be.
        let allow_temp = cluster.is_embedded() || config.state_dir.is_some();
        let state = match &config.state_dir {
            None if is_embedded => Arc::new(StateDir::temporary()?),
            _ => shared(&config.state_path()?, allow_temp)?,
        };
        Ok(Home {
            state,
            cluster: cluster.cluster_id().to_owned(),
            options: Options {
                map_size: config.map_size,
                wait: CLOSE_TIMEOUT,
                snapshot_max: config.snapshot_max,
                part_pages: PART_PAGES,
            },
        })
    }

    /// The instance id that the directory contains, which is used if no id is configured.
    pub(crate) fn instance_id(&self) -> &str {
        self.state.instance_id()
    }

    /// The directory of the local copies of a group table, with one subdirectory per partition.
    pub(crate) fn group(&self, group: &str) -> PathBuf {
        parent(self.state.group(&self.cluster, group, 0))
    }

    /// The directory of the local copies of a replica, with one subdirectory per partition.
    pub(crate) fn replica(&self, topic: &str) -> PathBuf {
        parent(self.state.replica(&self.cluster, topic, 0))
    }

    /// The directory of the local copies of a replica that has only committed rows.
    pub(crate) fn committed_replica(&self, topic: &str) -> PathBuf {
        // The name of a topic cannot contain an `@`.
        self.replica(&format!("{topic}@committed"))
    }

    /// The key by which this process shares the replica in a directory. If the state directory is temporary, the key
    /// does not depend on it, because each app and view then has its own temporary directory.
    pub(crate) fn replica_key(&self, dir: &Path) -> PathBuf {
        match (self.state.is_temporary(), dir.file_name()) {
            (true, Some(name)) => Path::new("temporary").join(&self.cluster).join(name),
            _ => dir.to_owned(),
        }
    }

    /// The state directory. Its lock is held until the last clone is dropped.
    pub(crate) fn state(&self) -> Arc<StateDir> {
        self.state.clone()
    }

    /// Options for opening local copies.
    pub(crate) fn options(&self) -> Options {
        self.options.clone()
    }
}

fn parent(path: PathBuf) -> PathBuf {
    path.parent().map_or_else(|| path.clone(), Path::to_owned)
}

fn shared(path: &Path, allow_temp: bool) -> Result<Arc<StateDir>, Error> {
    let mut homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
    let homes = homes.get_or_insert_default();
    homes.retain(|_, home| home.strong_count() > 0);
    // The directory may not exist yet, so symbolic links are not resolved. If one directory is opened by two names, the
    // second attempt fails at the lock.
    let key = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(state) = homes.get(&key).and_then(Weak::upgrade) {
        return Ok(state);
    }
    let state = Arc::new(StateDir::open(path, allow_temp)?);
    homes.insert(key, Arc::downgrade(&state));
    Ok(state)
}
