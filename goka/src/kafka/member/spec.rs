//! The description of a worker that connects. Must not know how it connects.

use crate::base::config::Guarantee;

/// A worker that is to be connected. Topics and group are logical names.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec {
    pub(crate) group: String,
    /// The id of the instance. Together with the number of the worker, it is the `group.instance.id` of a static
    /// member.
    pub(crate) instance: String,
    pub(crate) worker: usize,
    /// The topic that the member subscribes to. Only its partition numbers matter, not its records.
    pub(crate) leader: String,
    /// The sources: the inputs, followed by the loop. The engine's port names a source by its index in this list.
    pub(crate) sources: Vec<String>,
    /// The targets: topics that are produced to. The engine's port names a target by its index in this list.
    pub(crate) targets: Vec<String>,
    /// The changelog, if the group has a table.
    pub(crate) table: Option<String>,
    /// The guarantee of the group, which may differ from that of the app.
    pub(crate) guarantee: Guarantee,
}
