//! The parts of a worker on the Kafka in memory, with default values. A test replaces the values that matter to it by
//! struct update: `Settings { records_max: 50, ..settings(guarantee, "one") }`. Must not know what is tested.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::kafka::ConnectionSpec;
use crate::{
    base::{
        config::{Guarantee, OutOfRange},
        kind::Kind,
    },
    engine::{
        port::fault::Planted,
        program::Program,
        spec::{Settings, Spec, TableSpec, mark},
        status::Status,
        table::rows::STORED_AT_ONCE,
    },
    store::{Identity, Options, PART_PAGES},
};
#[cfg(test)]
use crate::{
    base::{options::TableOptions, partitioner::Partitioner, policy::OnError},
    engine::program::EdgeInfo,
};

/// The name of the codec in every [`edge`] and [`identity`].
const CODEC: &str = "text";

/// An edge of text records, with a handler that does not wait and has no policy.
#[cfg(test)]
pub(crate) fn edge(kind: Kind, topic: &'static str) -> EdgeInfo {
    EdgeInfo {
        kind,
        topic,
        partitioner: Partitioner::Murmur2,
        codec: CODEC,
        options: TableOptions::DEFAULT,
        waits: false,
        handler: "handler",
        on_error: OnError::FAIL,
    }
}

/// The connection of a dynamic member to the topics of a program. Nothing stops the member at any point.
pub(crate) fn connection(
    program: &dyn Program,
    guarantee: Guarantee,
    name: &str,
) -> ConnectionSpec {
    let edges = program.edges();
    let of = |kinds: &[Kind]| {
        let found = edges.iter().filter(|edge| kinds.contains(&edge.kind));
        found.map(|edge| edge.topic.to_owned()).collect::<Vec<_>>()
    };
    let transactional_id = format!("{}-{name}", program.group());
    ConnectionSpec {
        name: name.to_owned(),
        group: program.group().to_owned(),
        instance: None,
        sources: of(&[Kind::Input, Kind::Loop]),
        targets: edges.iter().map(|edge| edge.topic.to_owned()).collect(),
        table: of(&[Kind::Table]).pop(),
        transactional_id: (guarantee == Guarantee::ExactlyOnce).then_some(transactional_id),
        on_point: None,
        tears_commits: false,
    }
}

/// Settings of a worker. `name` is the name of the instance in the metadata of the worker's offsets.
pub(crate) fn settings(guarantee: Guarantee, name: &str) -> Settings {
    Settings {
        guarantee,
        commit_interval: Duration::from_millis(100),
        records_max: 1000,
        bytes_max: 16 << 20,
        stored_at_once: STORED_AT_ONCE,
        lease: Duration::from_secs(4),
        handler_max: Duration::from_millis(7_500),
        instance: mark(name),
        start: None,
        out_of_range: OutOfRange::Fail,
        fault: Planted::default(),
    }
}

/// Options of a local copy.
pub(crate) fn options() -> Options {
    Options {
        map_size: 64 << 20,
        wait: Duration::from_secs(10),
        snapshot_max: Duration::from_secs(60),
        part_pages: PART_PAGES,
    }
}

/// The identity of a copy of partition 0.
pub(crate) fn identity(topic: &str, partitions: i32) -> Identity {
    Identity {
        cluster: "memory".to_owned(),
        topic: topic.to_owned(),
        topic_id: String::new(),
        partition: 0,
        partitions,
        codec: CODEC.to_owned(),
    }
}

/// A group table without a standby. Its local copies are in directories below `dir`.
pub(crate) fn table(dir: PathBuf, identity: Identity) -> TableSpec {
    TableSpec {
        dir,
        identity,
        options: options(),
        age_max_ms: None,
        compaction_lag_ms: None,
        forgets_rows: false,
        standby: None,
    }
}

/// A worker without a group table and without tables of other groups.
pub(crate) fn spec(program: Arc<dyn Program>, settings: Settings) -> Spec {
    let edges = program.edges();
    Spec {
        topics: edges.iter().map(|edge| edge.topic.to_owned()).collect(),
        program,
        topic_ids: Vec::new(),
        table: None,
        tables: Arc::default(),
        settings,
        status: Arc::new(Status::new(watch::Sender::new(0))),
        visits: Arc::default(),
    }
}

/// A temporary directory, in memory if the system allows it: syncing to a disk would take most of a test's time.
#[cfg(test)]
pub(crate) fn disk() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let disk = match memory.is_dir() {
        true => tempfile::TempDir::new_in(memory),
        false => tempfile::TempDir::new(),
    };
    disk.expect("the temporary directory can be created")
}
