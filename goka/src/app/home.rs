//! Where a process keeps its local copies: one locked state directory, shared by all apps and views
//! of the process that name the same one.

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

/// How long a copy may take to be closed by whoever had it before.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Homes of this process, by the directory that was asked for.
static HOMES: Mutex<Option<HashMap<PathBuf, Weak<StateDir>>>> = Mutex::new(None);

/// A state directory, and the cluster whose copies are meant.
pub(crate) struct Home {
    state: Arc<StateDir>,
    cluster: String,
    options: Options,
}

impl Home {
    /// The configured directory, the default one, or a temporary one for the embedded broker, whose
    /// topics do not last either.
    pub(crate) fn open(config: &Config, cluster: &Cluster) -> Result<Self, Error> {
        let is_embedded = config.brokers.trim() == "embedded";
        // By default state is never under the temp directory; who asks for that by name gets it.
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

    /// The id of this instance, unless one is configured: kept in the directory.
    pub(crate) fn instance_id(&self) -> &str {
        self.state.instance_id()
    }

    /// Directory of a group's own copies; below it, one per partition.
    pub(crate) fn group(&self, group: &str) -> PathBuf {
        parent(self.state.group(&self.cluster, group, 0))
    }

    /// Directory of a replica; below it, one per partition.
    pub(crate) fn replica(&self, topic: &str) -> PathBuf {
        parent(self.state.replica(&self.cluster, topic, 0))
    }

    /// What the replica of a topic is known by in this process. Temporary directories come with
    /// everything that is opened; what is in them is shared all the same.
    pub(crate) fn replica_key(&self, topic: &str) -> PathBuf {
        match self.state.is_temporary() {
            true => Path::new("temporary").join(&self.cluster).join(topic),
            false => self.replica(topic),
        }
    }

    /// The directory, whose lock is held for as long as one of these is left.
    pub(crate) fn state(&self) -> Arc<StateDir> {
        self.state.clone()
    }

    /// Of the copies in it.
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
    // The directory may not exist yet; a name that differs only by links is a lock held twice.
    let key = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(state) = homes.get(&key).and_then(Weak::upgrade) {
        return Ok(state);
    }
    let state = Arc::new(StateDir::open(path, allow_temp)?);
    homes.insert(key, Arc::downgrade(&state));
    Ok(state)
}
