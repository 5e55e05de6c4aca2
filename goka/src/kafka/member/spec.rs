//! The description of a worker that connects. Must not know how it connects.

use crate::base::config::Guarantee;

/// A worker that is to be connected. Topics and group are logical names.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec {
    pub(crate) group: String,
    /// Id of the instance. With the number of the worker it is the `group.instance.id` of a static member.
    pub(crate) instance: String,
    pub(crate) worker: usize,
    /// The topic that the member subscribes to. Only the numbers of its partitions matter.
    pub(crate) leader: String,
    /// The sources: inputs, then the loop. The port names a source by its index here.
    pub(crate) sources: Vec<String>,
    /// The targets: topics that are produced to. The port names a target by its index here.
    pub(crate) targets: Vec<String>,
    /// The changelog, if the group has a table.
    pub(crate) table: Option<String>,
    /// The guarantee of the group, which may differ from that of the app.
    pub(crate) guarantee: Guarantee,
}
