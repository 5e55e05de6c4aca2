//! Local copies of a group table in this process: where they are, and the standby, which keeps the local copies that no
//! worker has. Must not know threads of workers.

use std::{path::PathBuf, sync::Arc};

use crate::{
    app::{home::Home, topology::Topology},
    base::{
        config::{Config, Standby as Choice},
        error::Result,
        kind::Kind,
    },
    engine::{
        edges::input_name,
        port::{
            Cuts,
            fault::{Fault, Planted},
        },
        program::{EdgeInfo, Program},
        replica::{Replica, Spec, standby::Standby},
        spec::TableSpec,
    },
    kafka::Cluster,
    store::Identity,
};

/// The group table of a processor; `None` if the processor has no table. Also starts the standby, if the settings ask
/// for one.
pub(super) fn table(
    config: &Config,
    cluster: &Cluster,
    home: &Home,
    program: &dyn Program,
    topology: &Topology,
) -> Result<Option<TableSpec>> {
    let Some((edge, topic)) = topology.table() else {
        return Ok(None);
    };
    let info = program.edges().swap_remove(edge);
    let mut table = TableSpec {
        dir: home.group(&cluster.names().group(program.group())?),
        identity: Identity {
            cluster: cluster.cluster_id().to_owned(),
            topic: topology.names[edge].clone(),
            topic_id: topic.id.clone(),
            partition: 0,
            partitions: topic.partitions,
            codec: info.codec.to_owned(),
        },
        options: home.options(),
        age_max_ms: topic.delete_retention_ms,
        compaction_lag_ms: topic.compaction_lag_ms,
        forgets_rows: cluster.is_embedded(),
        standby: None,
    };
    if config.standby == Choice::All {
        let spec = Spec {
            _lock: home.state(),
            dir: table.dir.clone(),
            identity: table.identity.clone(),
            options: table.options.clone(),
            partitioner: info.partitioner,
            age_max_ms: table.age_max_ms,
            forgets_rows: table.forgets_rows,
            metadata_interval: config.metadata_interval,
        };
        // A standby under the planted fault stores every row that it reads.
        let is_ahead = Planted::from_env()?.is(Fault::StandbyAhead);
        let cuts = (!is_ahead).then(|| cuts(cluster, program, topology));
        let replica = Replica::open(spec, cluster.reader(info.topic)?, cuts.transpose()?)?;
        table.standby = Some(Arc::new(Standby::new(replica)));
    }
    Ok(Some(table))
}

/// The committed offsets of the group, so that its standby stops at the group's last commit.
fn cuts(
    cluster: &Cluster,
    program: &dyn Program,
    topology: &Topology,
) -> Result<Box<dyn Cuts + Send>> {
    let edges = program.edges();
    let sources = edges.iter().enumerate();
    let sources = sources.filter(|(_, edge)| matches!(edge.kind, Kind::Input | Kind::Loop));
    let inputs = sources.map(|(index, _)| {
        let name = input_name(edges[index].topic, Some(&topology.topics[index].id));
        (topology.names[index].clone(), name)
    });
    let (group, partitions) = (program.group(), topology.partitions);
    let changelog = topology
        .table()
        .map_or("", |(edge, _)| &*topology.names[edge]);
    let cuts = cluster.cuts(group, changelog, partitions, Some(inputs.collect()))?;
    Ok(Box::new(cuts))
}

/// The directories of the local copies of a processor: those of its own table, and those of the tables that it joins.
pub(super) fn directories(
    cluster: &Cluster,
    home: &Home,
    program: &dyn Program,
) -> Result<Vec<PathBuf>> {
    let names = cluster.names();
    let directory = |edge: EdgeInfo| match edge.kind {
        Kind::Table => names
            .group(program.group())
            .map(|name| Some(home.group(&name))),
        Kind::Join => names
            .topic(edge.topic)
            .map(|name| Some(home.replica(&name))),
        Kind::Input | Kind::Loop | Kind::Output | Kind::Lookup | Kind::DeadLetter => Ok(None),
    };
    let directories = program.edges().into_iter().map(directory);
    directories.filter_map(Result::transpose).collect()
}
