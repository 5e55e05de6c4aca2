//! Positions that members commit. Must not know whether they are taken.

use std::rc::Rc;

use super::group::MemberId;

/// An accepted commit of one position.
#[derive(Clone, Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "simulations ask"))]
pub(crate) struct CommitEntry {
    pub(crate) by: Rc<str>,
    pub(crate) topic: Rc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: String,
    /// When, in the one order of all that happens.
    pub(crate) moment: u64,
    /// Whether the partition was its own.
    pub(crate) owned: bool,
}

/// Positions in the name of a member.
pub(super) struct Positions {
    pub(super) group: String,
    pub(super) member: MemberId,
    pub(super) generation: u64,
    pub(super) entries: Vec<CommitEntry>,
}
