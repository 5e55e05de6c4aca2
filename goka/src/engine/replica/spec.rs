//! Settings of a replica. Must not know where the settings come from.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    base::partitioner::Partitioner,
    store::{Identity, Options, StateDir},
};

/// Settings of a replica.
pub(crate) struct Spec {
    /// The state directory, whose lock is held as long as the replica exists.
    pub(crate) _lock: Arc<StateDir>,
    /// The directory of the local copies, with one subdirectory per partition.
    pub(crate) dir: PathBuf,
    /// Identity of the local copies. The partition number is filled in for each copy.
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) partitioner: Partitioner,
    /// Maximum age of a local copy in milliseconds, from `delete.retention.ms`: an older copy may have missed
    /// deletions.
    pub(crate) age_max_ms: Option<i64>,
    /// Whether the broker may delete rows that are not overwritten (the embedded broker does).
    pub(crate) forgets_rows: bool,
    /// The interval at which to check that the topic was not deleted and created again.
    pub(crate) metadata_interval: Duration,
}
