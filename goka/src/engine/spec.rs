//! What a worker is made of, and its settings: whoever starts one says it here.

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

/// What a worker is made of.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) program: Arc<dyn Program>,
    /// Physical topics by index of their edge, for errors.
    pub(crate) topics: Vec<String>,
    /// The broker's ids of the topics, by index of their edge; none where it tells none.
    pub(crate) topic_ids: Vec<String>,
    /// The table's copy: directory of the group, and what it is a copy of (of which partition is
    /// filled in). `None` for a group without a table.
    pub(crate) table: Option<TableSpec>,
    /// Tables of other groups.
    pub(crate) tables: Arc<Tables>,
    pub(crate) settings: Settings,
    pub(crate) status: Arc<Status>,
    /// Visits that were asked for.
    pub(crate) visits: Arc<Visits>,
}

/// The group table, as far as one worker is concerned.
#[derive(Clone)]
pub(crate) struct TableSpec {
    pub(crate) dir: PathBuf,
    pub(crate) identity: store::Identity,
    pub(crate) options: store::Options,
    /// A copy older than this may have missed deletions: `delete.retention.ms`.
    pub(crate) age_max_ms: Option<i64>,
    /// Whether the broker may drop rows that are not overwritten (the embedded one).
    pub(crate) forgets_rows: bool,
    /// Keeps the partitions up to date that no worker of this process has.
    pub(crate) standby: Option<Arc<Standby>>,
}

impl TableSpec {
    /// What the copy of a partition is a copy of.
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
    /// A commit interval ends early at so many records: what a kill repeats at most.
    pub(crate) records_max: u64,
    /// And at so much memory for uncommitted rows of a partition, bytes.
    pub(crate) bytes_max: usize,
    /// So many rows go to the local copy at the end of their interval, and of more, those of several
    /// intervals together.
    pub(crate) stored_at_once: usize,
    /// Membership is proven anew before a record is handled, if the last proof is older.
    pub(crate) lease: Duration,
    /// Exactly-once: a handler may keep the thread for so long, half of what a transaction may be open.
    pub(crate) handler_max: Duration,
    /// Stored beside every committed offset: who wrote it.
    pub(crate) instance: String,
    /// Where a group begins that has a table but no offsets.
    pub(crate) start: Option<Start>,
    /// What is done where the next record of a source is no longer there.
    pub(crate) out_of_range: OutOfRange,
    pub(crate) fault: Planted,
}

/// The mark that is stored beside an offset: who of a group committed it, an instance, or under exactly-once a
/// producer.
pub(crate) fn mark(who: &str) -> String {
    format!("{OURS}{who}")
}
