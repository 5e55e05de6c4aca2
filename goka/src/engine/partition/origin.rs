//! The origin of effects: a record of a source, or the visit of a row. Plain data. Must not know what the effects are.

use crate::base::index::SourceIx;

/// The record or visited row that effects originate from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) partition: i32,
    pub(crate) by: By,
    /// Offset of the record; -1 for a visit.
    pub(crate) offset: i64,
    /// Timestamp of the record, in milliseconds since 1970; negative if unknown.
    pub(crate) timestamp: i64,
    /// How many times the record has already failed.
    pub(crate) attempts: u32,
}

/// What the effects originate from: a source, given by its index, or a visit, given by its number.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Source(SourceIx),
    Visit(u64),
}

/// The part of a deferred record that is kept in every case: its origin and its key.
pub(crate) struct Cause {
    pub(crate) origin: Origin,
    pub(crate) key: Option<Vec<u8>>,
}
