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
    /// Physical topics, by edge, for errors.
    pub(crate) topics: Vec<String>,
    /// Topic ids, by edge. Empty if the broker gives no topic ids.
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

/// The group table, as a worker needs it.
#[derive(Clone)]
pub(crate) struct TableSpec {
    /// Directory of the group's local copies.
    pub(crate) dir: PathBuf,
    /// What a local copy is a copy of; the partition is filled in by [`identity_of`](Self::identity_of).
    pub(crate) identity: store::Identity,
    pub(crate) options: store::Options,
    /// `delete.retention.ms`: a local copy that is older may have missed tombstones.
    pub(crate) age_max_ms: Option<i64>,
    /// Whether the broker may drop rows that are not overwritten, as the embedded broker does.
    pub(crate) forgets_rows: bool,
    /// Follows the partitions that no worker of this process has.
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
    /// A commit interval ends early at this many records, which bounds how many records run again after a kill.
    pub(crate) records_max: u64,
    /// A commit interval ends early when its rows take this much memory in a partition, bytes.
    pub(crate) bytes_max: usize,
    /// Up to this many rows are stored as soon as their interval is acknowledged. If there are more, the rows of
    /// several intervals are stored together.
    pub(crate) stored_at_once: usize,
    /// The membership lease: if the last proof of membership is older, the worker proves it again before it handles a
    /// record.
    pub(crate) lease: Duration,
    /// Exactly-once: the longest time for which a handler may keep the thread, half of `transaction.timeout.ms`.
    pub(crate) handler_max: Duration,
    /// Metadata stored beside every committed offset, which says who committed it. See [`mark`].
    pub(crate) instance: String,
    /// Where a group resumes that has a table but no committed offsets.
    pub(crate) start: Option<Start>,
    /// Where a source resumes whose next offset is out of range.
    pub(crate) out_of_range: OutOfRange,
    pub(crate) fault: Planted,
}

/// The metadata stored beside a committed offset, which says who committed it: an instance or, under exactly-once, a
/// transactional id.
pub(crate) fn mark(who: &str) -> String {
    format!("{OURS}{who}")
}
