//! The members of a group. Must not know why a caller asks.

use crate::{
    base::error::Error,
    kafka::{client::connection::ANSWER, cluster::Cluster},
};

/// A current member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupMember {
    pub(crate) id: String,
    pub(crate) client: String,
    /// Physical names of the topics that the member subscribes to.
    pub(crate) topics: Vec<String>,
}

impl Cluster {
    /// The current members of a group. Empty on the embedded broker, which does not list members.
    pub(crate) fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        if self.is_embedded() {
            return Ok(Vec::new());
        }
        let physical = self.names().group(group)?;
        let groups = self
            .admin()
            .client()
            .inner()
            .fetch_group_list(Some(&physical), ANSWER)
            .map_err(|error| Error::kafka(format!("describe group `{physical}`"), error))?;
        let group = groups
            .groups()
            .iter()
            .find(|group| group.name() == physical);
        let members = group.map_or(&[][..], |group| group.members());
        Ok(members
            .iter()
            .map(|member| GroupMember {
                id: member.id().to_owned(),
                client: member.client_id().to_owned(),
                topics: subscribed(member.metadata().unwrap_or(&[])).unwrap_or_default(),
            })
            .collect())
    }
}

/// Reads the topics from a member's subscription, which has the format of the consumer protocol: a version, followed
/// by the topics, each as a length and a text.
fn subscribed(metadata: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = metadata.split_at_checked(2)?;
    let (count, mut rest) = rest.split_first_chunk()?;
    let mut topics = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (len, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        topics.push(String::from_utf8_lossy(name).into_owned());
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    #[test]
    fn subscriptions_are_fuzzed() {
        let two = b"\0\x01\0\0\0\x02\0\x01a\0\x02bb\xff\xff\xff\xff".to_vec();
        assert_eq!(
            subscribed(&two),
            Some(vec!["a".to_owned(), "bb".to_owned()])
        );
        fuzz("a subscription", &[two, vec![0; 30]], 256, |bytes| {
            drop(subscribed(bytes));
        });
    }
}
