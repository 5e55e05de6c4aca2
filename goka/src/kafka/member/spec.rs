//! What a worker connects with. Must not know how.

use crate::base::config::Guarantee;

/// What a worker connects with. Topics and group are logical names.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec {
    pub(crate) group: String,
    /// The instance's id and the number of its worker: together the static member.
    pub(crate) instance: String,
    pub(crate) worker: usize,
    /// The one topic that is subscribed, for the numbers of its partitions.
    pub(crate) leader: String,
    /// Inputs, then the loop, as [`Kafka`] numbers them.
    pub(crate) sources: Vec<String>,
    /// What is produced to, as [`Kafka`] numbers it.
    pub(crate) targets: Vec<String>,
    /// The group table's topic.
    pub(crate) table: Option<String>,
    /// That of the group, which may be another than that of the app.
    pub(crate) guarantee: Guarantee,
}
