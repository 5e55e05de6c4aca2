//! Offsets as a group stores them. Members commit them, and transactions contain them. Must not know how they are sent.

use crate::base::index::SourceIx;

/// A position to commit: the next offset to read from a partition of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) source: SourceIx,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// An offset that the group has committed, and the metadata that the committer stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

/// Prefix of the metadata of an offset that goka committed. The name of the instance follows; under exactly-once, its
/// transactional id.
pub(crate) const OURS: &str = "goka ";
