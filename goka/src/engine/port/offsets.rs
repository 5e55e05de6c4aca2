//! Offsets as a group stores them: members commit offsets directly or as part of a transaction. Must not know how
//! offsets are sent.

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

/// Prefix of the metadata of an offset that goka committed. The prefix is followed by the name of the instance; under
/// exactly-once, by the transactional id.
pub(crate) const OURS: &str = "goka ";
