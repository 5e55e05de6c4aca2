//! What a replica is made of: whoever opens one says it here.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    base::partitioner::Partitioner,
    store::{Identity, Options, StateDir},
};

/// What a replica is made of.
pub(crate) struct Spec {
    /// Its lock is held until the replica is gone.
    pub(crate) _lock: Arc<StateDir>,
    pub(crate) dir: PathBuf,
    /// Which partition is filled in.
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) partitioner: Partitioner,
    pub(crate) age_max_ms: Option<i64>,
    pub(crate) forgets_rows: bool,
    /// How often it is asked whether the topic is still the same.
    pub(crate) metadata_interval: Duration,
}
