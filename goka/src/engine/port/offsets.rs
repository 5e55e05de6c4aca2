//! Offsets as a group stores them: members commit offsets directly or as part of a transaction. Must not know how
//! offsets are sent, nor what the metadata beside an offset means.

use std::sync::Arc;

use crate::base::index::SourceIx;

/// A topic in which a group commits offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// A topic whose records the group handles.
    Source(SourceIx),
    /// The topic of the group table, which no member of the group consumes as an input.
    Changelog,
}

/// An offset to commit: the next offset to read from a partition of a log, with metadata that the group stores beside
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) log: Log,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: Arc<str>,
}

/// An offset that the group has committed, and the metadata that the committer stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

/// The offsets that the group has committed for one partition. `None`: no offset is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupOffsets {
    /// One entry per source.
    pub(crate) sources: Vec<Option<Committed>>,
    /// `None` also for a group without a table.
    pub(crate) changelog: Option<Committed>,
}

impl GroupOffsets {
    /// Whether the group has committed no offset of any source.
    pub(crate) fn has_no_sources(&self) -> bool {
        self.sources.iter().all(Option::is_none)
    }
}

impl Committed {
    /// Who has committed this offset, if it was goka: an instance or, under exactly-once, a transactional id. A claim
    /// also names the previous owners, whose records may still arrive.
    pub(crate) fn committers(metadata: &str) -> impl Iterator<Item = &str> {
        let names = metadata.strip_prefix(OURS);
        names.into_iter().flat_map(|names| names.split(' '))
    }
}

/// Prefix of the metadata of an input's offset that goka committed. The prefix is followed by the name of the
/// instance; under exactly-once, by the transactional id. If the offset was committed by a claim under exactly-once,
/// the transactional ids of the previous owners follow, each after a space.
pub(crate) const OURS: &str = "goka ";
