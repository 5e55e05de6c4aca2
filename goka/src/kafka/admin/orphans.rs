//! Orphaned partitions: partitions that no member of the group holds, and that no rebalance will assign.
//!
//! A cooperative rebalance moves a partition in two rounds. The member that gives up the partition asks for the second
//! round. If this member is killed before it asks, and comes back as the same static member, the broker returns the
//! member's earlier assignment and starts no second round. So another member has to trigger a rebalance: a visitor,
//! which joins the group and leaves it again. Must not know when to look for orphans.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::{
    base::error::Error,
    kafka::{
        client::{connection::ANSWER, log::ClientLog, settings::Role},
        cluster::Cluster,
        member::assignment::Assignment,
        native::{event::Kind, fetch::FetchingConsumer},
    },
};

/// How long a visitor of a group waits until it is a member.
const VISIT: Duration = Duration::from_secs(15);

impl Cluster {
    /// The partitions of the group's subscribed topic that no member holds. Empty during a rebalance, and for a group
    /// without members.
    pub(crate) fn orphans(
        &self,
        group: &str,
        leader: &str,
        partitions: i32,
    ) -> Result<BTreeSet<i32>, Error> {
        let (group, leader) = (self.names().group(group)?, self.names().topic(leader)?);
        let client = self.admin().client().inner();
        let groups = client
            .fetch_group_list(Some(&group), ANSWER)
            .map_err(|error| Error::kafka(format!("describe group `{group}`"), error))?;
        let mut groups = groups.groups().iter();
        let found = groups.find(|found| found.name() == group && found.state() == "Stable");
        let Some(found) = found.filter(|found| !found.members().is_empty()) else {
            return Ok(BTreeSet::new());
        };
        let mut orphans: BTreeSet<i32> = (0..partitions).collect();
        for member in found.members() {
            let held = member.assignment().unwrap_or_default();
            for partition in assigned(held, &leader).unwrap_or_default() {
                orphans.remove(&partition);
            }
        }
        Ok(orphans)
    }

    /// Joins a group and leaves it, so that a rebalance assigns all the group's partitions.
    pub(crate) fn visit_group(&self, group: &str, leader: &str) -> Result<(), Error> {
        let (group, leader) = (self.names().group(group)?, self.names().topic(leader)?);
        let who = format!("client that joins group `{group}`");
        let failed = |error| {
            Error::kafka(
                format!("join group `{group}` to adopt orphaned partitions"),
                error,
            )
        };
        let visitor: BaseConsumer<ClientLog> =
            self.connection().open(Role::Member, who, |settings| {
                settings.set("group.id", &group);
            })?;
        let visitor = FetchingConsumer::new(visitor)?;
        let assignment = Assignment::new(&group, Vec::new());
        visitor.client().subscribe(&[&leader]).map_err(failed)?;
        let give_up = Instant::now() + VISIT;
        let mut is_member = false;
        while !is_member && Instant::now() < give_up {
            let Some(event) = visitor.poll(Duration::from_millis(100)) else {
                continue;
            };
            match event.kind() {
                Kind::Assigned(_) => {
                    assignment.taken(&visitor)?;
                    is_member = true;
                }
                Kind::Revoked(_) => assignment.let_go(&visitor)?,
                _ => {}
            }
        }
        assignment.let_go(&visitor)
    }
}

/// Reads the partitions of one topic from a member's assignment, which has the format of the consumer protocol: a
/// version, followed by the topics, each as a length, a text and the topic's partitions.
fn assigned(assignment: &[u8], topic: &str) -> Option<Vec<i32>> {
    let (_version, rest) = assignment.split_at_checked(2)?;
    let (topics, mut rest) = rest.split_first_chunk()?;
    let mut partitions = Vec::new();
    for _ in 0..u32::from_be_bytes(*topics) {
        let (length, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (count, mut after) = after.split_first_chunk()?;
        for _ in 0..u32::from_be_bytes(*count) {
            let (partition, behind) = after.split_first_chunk()?;
            if name == topic.as_bytes() {
                partitions.push(i32::from_be_bytes(*partition));
            }
            after = behind;
        }
        rest = after;
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    #[test]
    fn an_assignment_is_read() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\x07\0\x02bb\0\0\0\x02\0\0\0\x01\0\0\0\x03\xff\xff\xff\xff";
        assert_eq!(assigned(bytes, "bb"), Some(vec![1, 3]));
        assert_eq!(assigned(bytes, "a"), Some(vec![7]));
        assert_eq!(assigned(bytes, "c"), Some(Vec::new()));
        for length in 0..bytes.len() - 4 {
            assert_eq!(assigned(&bytes[..length], "bb"), None, "cut at {length}");
        }
    }

    #[test]
    fn what_a_member_says_is_fuzzed() {
        let mut bytes = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\x07\0\x02bb\0\0\0\x02".to_vec();
        bytes.extend([0; 8]);
        let valid = [bytes, b"\0\0\xff\xff\xff\xff".repeat(9)];
        fuzz("an assignment", &valid, 64, |bytes| {
            let (a, b) = (assigned(bytes, "a"), assigned(bytes, "bb"));
            let partitions = a.iter().chain(&b).flatten().count();
            assert!(partitions <= bytes.len() / 4);
        });
    }
}
