//! The position of a local copy in its changelog and in the inputs. Must not know rows.

/// The position of a local copy. Each offset is the offset of the next record to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Next offset in the changelog.
    pub(crate) changelog: i64,
    /// Next offsets in the inputs. An input is identified by the logical name of its topic, with the topic id if the id
    /// is known. Empty for a view.
    pub(crate) inputs: Vec<(String, i64)>,
    /// Wall-clock time of the commit, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// The changelog offset from which on the copy is whole: at a lower position it may lack rows that were compacted
    /// away because of later ones. 0 if no row was missing.
    pub(crate) whole_from: i64,
}

/// The position of a local copy, and how far its rows reach beyond the position.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    pub(super) position: Position,
    /// The changelog offset below which all rows of the copy are. Set only while this offset is beyond the position: a
    /// batch was stored in parts, and its last part was not committed.
    pub(super) reaches: Option<i64>,
}
