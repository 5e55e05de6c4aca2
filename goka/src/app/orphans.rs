//! Partitions that nobody in their group holds: looked for, and adopted. `kafka/admin/orphans.rs` says how
//! they come to be; they would wait until a member happens to come or go.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use crate::{base::error::Result, kafka::Cluster};

/// How often it is looked. Who restarts makes orphans, so the young look more often.
const LOOK_YOUNG: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(30);
const YOUNG: Duration = Duration::from_secs(60);

/// A group that this process belongs to.
pub(super) struct Group {
    pub(super) name: &'static str,
    /// The topic that it subscribes to.
    pub(super) leader: String,
    pub(super) partitions: i32,
}

/// Looks at groups now and then.
pub(super) struct Orphans {
    /// With the orphans of the last look: those that are still there at the next one stay.
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

    /// When to look again; `None` if there is no group to look at.
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
                // The broker is away, or does not let this client see groups.
                debug!(group = group.name, %error, "whether partitions are orphans is not known");
            }
        }
        self.looked = Instant::now();
    }
}

/// In a rebalance partitions are nobody's for a moment: only those that were before are orphans.
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
        "no member holds these partitions: one was killed in a rebalance; asking for another one"
    );
    before.clear();
    cluster.visit_group(group.name, &group.leader)
}
