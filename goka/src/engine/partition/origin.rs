//! The origin of effects: a record of a source, or the visit of a row. Plain data. Must not know what the effects are.

use crate::base::index::SourceIx;

/// The record or visited row that effects originate from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) partition: i32,
    pub(crate) by: By,
    /// -1: a visit.
    pub(crate) offset: i64,
    /// Milliseconds since 1970; negative: unknown.
    pub(crate) timestamp: i64,
    /// How often the record has already failed.
    pub(crate) attempts: u32,
}

/// A source, by its index, or a visit, by its number.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Source(SourceIx),
    Visit(u64),
}

/// What is kept of a deferred record: its origin and its key.
pub(crate) struct Cause {
    pub(crate) origin: Origin,
    pub(crate) key: Option<Vec<u8>>,
}
