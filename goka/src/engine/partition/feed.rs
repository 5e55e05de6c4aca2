//! The fetch positions of a partition in its sources, whether fetching is paused, and which sources were out of range.
//! Must not know how records are fetched.

use std::collections::BTreeSet;

use crate::base::index::SourceIx;

/// The fetch state of a partition.
#[derive(Default)]
pub(crate) struct Feed {
    /// Next offset to take from each source.
    fetched: Vec<i64>,
    /// The inputs are unassigned until the backlog is handled.
    is_held: bool,
    /// Sources whose next offset was out of range. Recovery decides where they resume.
    out_of_range: BTreeSet<SourceIx>,
}

impl Feed {
    /// Fetching begins at these positions.
    pub(crate) fn begin(&mut self, positions: &[i64]) {
        self.fetched.clear();
        self.fetched.extend_from_slice(positions);
        self.is_held = false;
    }

    /// Takes the offset of a fetched record. `false`: the record was fetched before the inputs were unassigned.
    pub(crate) fn take(&mut self, source: SourceIx, offset: i64) -> bool {
        if self.is_held || offset < self.fetched[source.index()] {
            return false;
        }
        self.fetched[source.index()] = offset + 1;
        true
    }

    /// Moves the position of a source.
    pub(crate) fn skip_to(&mut self, source: SourceIx, next: i64) {
        self.fetched[source.index()] = next;
    }

    /// Next offset to take from each source.
    pub(crate) fn fetched(&self) -> &[i64] {
        &self.fetched
    }

    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Marks the inputs as unassigned.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Marks the inputs as assigned again.
    pub(crate) fn release(&mut self) {
        self.is_held = false;
    }

    /// Records that the next offset of a source is out of range.
    pub(crate) fn set_out_of_range(&mut self, source: SourceIx) {
        self.out_of_range.insert(source);
    }

    pub(crate) fn is_out_of_range(&self, source: SourceIx) -> bool {
        self.out_of_range.contains(&source)
    }

    /// All sources resume at offsets that exist.
    pub(crate) fn clear_out_of_range(&mut self) {
        self.out_of_range.clear();
    }
}
