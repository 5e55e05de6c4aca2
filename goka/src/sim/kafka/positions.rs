//! Positions that members commit. Must not know whether the group accepts them.

use std::{rc::Rc, time::Duration};

use super::group::MemberId;

/// A commit of one position.
#[derive(Clone, Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "simulations ask"))]
pub(crate) struct CommitEntry {
    pub(crate) by: Rc<str>,
    pub(crate) topic: Rc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: String,
    /// Position of this commit in the total order of all that happens in this world.
    pub(crate) moment: u64,
    /// Whether the member owned the partition when it committed.
    pub(crate) owned: bool,
    /// The moment at which the coordinator handled the request. All offsets of a request have the same value.
    pub(crate) request: u64,
    /// Whether the commit was applied after its sender had given it up, and maybe after later commits of the sender.
    pub(crate) is_late: bool,
    /// Whether the coordinator refused other offsets of the request.
    pub(crate) is_torn: bool,
}

/// Positions that a member adds to a transaction.
pub(super) struct Positions {
    pub(super) group: String,
    pub(super) member: MemberId,
    pub(super) generation: u64,
    pub(super) entries: Vec<CommitEntry>,
}

/// A commit, and who sends it.
pub(super) struct Sent {
    pub(super) member: Option<MemberId>,
    /// The generation of the group when the commit was sent.
    pub(super) generation: u64,
    /// Planted fault: the sender takes the commit for successful even if some of its offsets were refused.
    pub(super) tears: bool,
    pub(super) entries: Vec<CommitEntry>,
}

/// A commit that its sender has given up, and that may still arrive.
pub(super) struct Late {
    pub(super) at: Duration,
    pub(super) group: String,
    pub(super) sent: Sent,
}
