//! Resets groups: offsets, tables and local copies. Refuses to reset a group that has members. Must not know workers.

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

/// How long the broker may take to remove a member after its session has expired.
const HEARD: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(super) fn reset(config: &Config, programs: &[Arc<dyn Program>], to: ResetTo) -> Result {
    let cluster = Cluster::connect(config)?;
    if cluster.is_embedded() {
        return Err(Error::Config(
            "there is nothing to reset on the embedded broker, whose topics exist only while its process runs. Use a real Kafka"
                .to_owned(),
        ));
    }
    let mut topologies = Vec::new();
    let give_up = Instant::now() + session_timeout(config)? + HEARD;
    for program in programs {
        wait_for_none(&cluster, program.group(), give_up)?;
        topologies.push(Topology::prepare(&cluster, &**program)?);
    }
    // The lock of `home` prevents a processor with this state directory from starting during the reset.
    let home = Home::open(config, &cluster)?;
    for (program, topology) in programs.iter().zip(&topologies) {
        reset_group(&cluster, &home, &**program, topology, to)?;
    }
    Ok(())
}

/// Resets one group. The order of the steps matters: after an interrupted reset, the group has rows but no offsets. In
/// this state, processors without local copies refuse to start, and the reset can be repeated.
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
            // The records of the loop were written by the processing that the reset undoes.
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
    info!(group, tombstones = rows, ?to, "reset the group");
    Ok(())
}

/// Waits until the group has no members. Static members and members that were killed stay in the group until their
/// session expires, and Kafka sends no event when a session expires, so this function polls.
fn wait_for_none(cluster: &Cluster, group: &str, give_up: Instant) -> Result {
    loop {
        let members = cluster.members(group)?;
        let Some(member) = members.first() else {
            return Ok(());
        };
        if Instant::now() > give_up {
            return Err(Error::Config(format!(
                "group `{group}` still has {} members after `session.timeout.ms`, for example `{}`. Stop the \
                 processors of the group first",
                members.len(),
                member.id
            )));
        }
        // Kafka sends no event when a member leaves, and this thread does nothing else.
        thread::sleep(ASK_AGAIN);
    }
}
