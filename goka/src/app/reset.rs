//! A group that begins anew: its offsets, its table, its local copies. Refused while anybody is in it.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    app::{home::Home, topology::Topology},
    base::{
        config::Config,
        error::{Error, Result},
        kind::Kind,
    },
    engine::program::Program,
    kafka::{Cluster, ResetTo, session_timeout},
};

/// How long after a session the group may take to notice.
const HEARD: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(super) fn reset(config: &Config, programs: &[Arc<dyn Program>], to: ResetTo) -> Result {
    let cluster = Cluster::connect(config)?;
    if cluster.is_embedded() {
        return Err(Error::Config(
            "the embedded broker forgets everything with its process, so there is nothing to reset: use a real Kafka"
                .to_owned(),
        ));
    }
    let mut topologies = Vec::new();
    let give_up = Instant::now() + session_timeout(config)? + HEARD;
    for program in programs {
        wait_for_none(&cluster, program.group(), give_up)?;
        topologies.push(Topology::prepare(&cluster, &**program)?);
    }
    // Its lock keeps a processor of this directory from starting meanwhile.
    let home = Home::open(config, &cluster)?;
    for (program, topology) in programs.iter().zip(&topologies) {
        reset_group(&cluster, &home, &**program, topology, to)?;
    }
    Ok(())
}

/// In this order: if it ends in the middle, there are rows and no offsets, with which no processor starts
/// that has no copy of its own; and it can be done again.
fn reset_group(
    cluster: &Cluster,
    home: &Home,
    program: &dyn Program,
    topology: &Topology,
    to: ResetTo,
) -> Result {
    let (group, partitions) = (program.group(), topology.partitions);
    let edges = program.edges();
    let mut offsets = Vec::new();
    for edge in &edges {
        let at = match edge.kind {
            Kind::Input => to,
            // What is in it was written by what is forgotten now.
            Kind::Loop => ResetTo::Latest,
            _ => continue,
        };
        offsets.push((edge.topic, cluster.offsets_at(edge.topic, partitions, at)?));
    }
    cluster.delete_group(group)?;
    let copies = home.group(&cluster.names().group(group)?);
    let state = home.state();
    for partition in 0..partitions {
        state.discard(&copies.join(partition.to_string()))?;
    }
    let mut rows = 0;
    for edge in edges.iter().filter(|edge| edge.kind == Kind::Table) {
        rows += cluster.empty_table(edge.topic, partitions)?;
    }
    cluster.set_offsets(group, &offsets)?;
    info!(group, tombstones = rows, ?to, "the group begins anew");
    Ok(())
}

/// Static members, and those that were killed, are in the group until their session is over. Kafka has no
/// event for that, so it is asked.
fn wait_for_none(cluster: &Cluster, group: &str, give_up: Instant) -> Result {
    loop {
        let members = cluster.members(group)?;
        let Some(member) = members.first() else {
            return Ok(());
        };
        if Instant::now() > give_up {
            return Err(Error::Config(format!(
                "group `{group}` has {} members, `{}` among them, who stayed for longer than a session: stop its \
                 processors first",
                members.len(),
                member.id
            )));
        }
        thread::sleep(ASK_AGAIN);
    }
}
