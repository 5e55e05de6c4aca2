//! Orphaned partitions: no member of the group holds them, and the group does not rebalance by itself. This file finds
//! such partitions and triggers a rebalance. `kafka/admin/orphans.rs` explains how orphaned partitions come about. Must
//! not know workers.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use crate::{base::error::Result, kafka::Cluster};

/// Check interval after start-up. It is shorter than the later interval, because restarts cause orphaned partitions.
const LOOK_YOUNG: Duration = Duration::from_secs(3);
/// Check interval later.
const LOOK: Duration = Duration::from_secs(30);
/// How long after start-up the shorter interval applies.
const YOUNG: Duration = Duration::from_secs(60);

/// A group that this process belongs to.
pub(super) struct Group {
    pub(super) name: &'static str,
    /// The topic that the group subscribes to.
    pub(super) leader: String,
    pub(super) partitions: i32,
}

/// Checks groups for orphaned partitions.
pub(super) struct Orphans {
    /// The groups, each with its partitions that had no member at the last check.
    groups: Vec<(Group, BTreeSet<i32>)>,
    born: Instant,
    looked: Instant,
}

impl Orphans {
    pub(super) fn of(groups: impl IntoIterator<Item = Group>) -> Self {
        let now = Instant::now();
        let groups = groups.into_iter().map(|group| (group, BTreeSet::new()));
        Orphans {
            groups: groups.collect(),
            born: now,
            looked: now,
        }
    }

    /// When the next check is due; `None` if there is no group to check.
    pub(super) fn next(&self) -> Option<Instant> {
        let interval = match self.born.elapsed() < YOUNG {
            true => LOOK_YOUNG,
            false => LOOK,
        };
        (!self.groups.is_empty()).then(|| self.looked + interval)
    }

    pub(super) fn look(&mut self, cluster: &Cluster) {
        for (group, before) in &mut self.groups {
            if let Err(error) = adopt(cluster, group, before) {
                // The broker does not answer, or does not let this client describe groups.
                debug!(group = group.name, %error, "could not check for orphaned partitions");
            }
        }
        self.looked = Instant::now();
    }
}

/// Triggers a rebalance if there are orphaned partitions. During a rebalance, partitions have no member for a moment.
/// Therefore a partition counts as orphaned only if it had no member at the last check either.
fn adopt(cluster: &Cluster, group: &Group, before: &mut BTreeSet<i32>) -> Result {
    let now = cluster.orphans(group.name, &group.leader, group.partitions)?;
    let orphans: BTreeSet<i32> = now.intersection(before).copied().collect();
    *before = now;
    if orphans.is_empty() {
        return Ok(());
    }
    warn!(
        group = group.name,
        ?orphans,
        "orphaned partitions: no member has these partitions, probably because a member was killed during a rebalance; \
         triggering another rebalance"
    );
    before.clear();
    cluster.visit_group(group.name, &group.leader)
}
