//! What a worker is started with: its program, its topics, its table and its settings. Plain data. Must not know how a
//! worker runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    base::config::{Guarantee, OutOfRange, Start},
    engine::{
        port::{OURS, fault::Planted},
        program::Program,
        replica::{standby::Standby, tables::Tables},
        status::Status,
        visits::Visits,
    },
    store,
};

/// What a worker is started with.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) program: Arc<dyn Program>,
    /// The physical topic of each edge, for errors.
    pub(crate) topics: Vec<String>,
    /// The topic id of each edge. Empty if the broker gives no topic ids.
    pub(crate) topic_ids: Vec<String>,
    /// The group table. `None` for a group without a table.
    pub(crate) table: Option<TableSpec>,
    /// Tables of other groups.
    pub(crate) tables: Arc<Tables>,
    pub(crate) settings: Settings,
    pub(crate) status: Arc<Status>,
    /// The queue of requested visits.
    pub(crate) visits: Arc<Visits>,
}

/// What a worker needs to know about the group table.
#[derive(Clone)]
pub(crate) struct TableSpec {
    /// The directory of the group's local copies.
    pub(crate) dir: PathBuf,
    /// The table that a local copy belongs to. [`identity_of`](Self::identity_of) fills in the partition.
    pub(crate) identity: store::Identity,
    pub(crate) options: store::Options,
    /// The changelog's `delete.retention.ms`: a local copy that is older than this may have missed tombstones. `None`:
    /// the age is not checked.
    pub(crate) age_max_ms: Option<i64>,
    /// The changelog's `min.compaction.lag.ms`, milliseconds; `None` if it is not known.
    pub(crate) compaction_lag_ms: Option<i64>,
    /// Whether the broker may drop rows that no later row overwrites, as the embedded broker does.
    pub(crate) forgets_rows: bool,
    /// The standby, which follows the partitions that no worker of this process has.
    pub(crate) standby: Option<Arc<Standby>>,
}

impl TableSpec {
    /// The identity of the local copy of a partition.
    pub(crate) fn identity_of(&self, partition: i32) -> store::Identity {
        store::Identity {
            partition,
            ..self.identity.clone()
        }
    }
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) guarantee: Guarantee,
    pub(crate) commit_interval: Duration,
    /// The number of records at which the open interval of a partition ends early. This limit bounds how many records
    /// run again after a kill.
    pub(crate) records_max: u64,
    /// The memory, in bytes, that the rows of a partition's open interval may take before the interval ends early.
    pub(crate) bytes_max: usize,
    /// The greatest number of acknowledged rows that are stored as soon as their interval is acknowledged. If there
    /// are more rows than this, the rows of several intervals are stored together.
    pub(crate) stored_at_once: usize,
    /// The membership lease: if the last proof of membership is older than this, the worker proves its membership
    /// again before it handles a record.
    pub(crate) lease: Duration,
    /// Exactly-once: the longest time for which a handler may keep the worker's thread, half of
    /// `transaction.timeout.ms`.
    pub(crate) handler_max: Duration,
    /// The metadata that is stored beside every committed offset. The metadata says who committed the offset. See
    /// [`mark`].
    pub(crate) instance: Arc<str>,
    /// Where a group resumes if it has a table but no committed offsets.
    pub(crate) start: Option<Start>,
    /// Where a source resumes if its next offset is out of range.
    pub(crate) out_of_range: OutOfRange,
    pub(crate) fault: Planted,
}

/// The metadata that is stored beside a committed offset. The metadata says who committed the offset: an instance or,
/// under exactly-once, a transactional id.
pub(crate) fn mark(who: &str) -> Arc<str> {
    format!("{OURS}{who}").into()
}
