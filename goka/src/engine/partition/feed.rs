//! The fetch state of a partition: its next offset in each source, whether its inputs are unassigned, and which
//! sources were out of range. Must not know how records are fetched.

use std::collections::BTreeSet;

use crate::base::index::SourceIx;

/// The fetch state of a partition.
#[derive(Default)]
pub(crate) struct Feed {
    /// The next offset to take, one per source.
    fetched: Vec<i64>,
    /// Whether the inputs are unassigned until the backlog is handled.
    is_held: bool,
    /// The sources whose next offset was out of range: the broker does not have it. Recovery decides at which offsets
    /// these sources resume.
    out_of_range: BTreeSet<SourceIx>,
}

impl Feed {
    /// Sets the positions at which fetching begins, one per source. The inputs count as assigned.
    pub(crate) fn begin(&mut self, positions: &[i64]) {
        self.fetched.clear();
        self.fetched.extend_from_slice(positions);
        self.is_held = false;
    }

    /// Registers a fetched record, and moves the position of its source past it. `false`: the caller has to ignore the
    /// record, because it was fetched before the inputs were unassigned.
    pub(crate) fn take(&mut self, source: SourceIx, offset: i64) -> bool {
        if self.is_held || offset < self.fetched[source.index()] {
            return false;
        }
        self.fetched[source.index()] = offset + 1;
        true
    }

    /// Sets the next offset to take from a source.
    pub(crate) fn skip_to(&mut self, source: SourceIx, next: i64) {
        self.fetched[source.index()] = next;
    }

    /// The next offset to take, one per source.
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

    /// Notes that the next offset of a source is out of range.
    pub(crate) fn set_out_of_range(&mut self, source: SourceIx) {
        self.out_of_range.insert(source);
    }

    pub(crate) fn is_out_of_range(&self, source: SourceIx) -> bool {
        self.out_of_range.contains(&source)
    }

    /// Forgets which sources were out of range: all sources resume at offsets that exist.
    pub(crate) fn clear_out_of_range(&mut self) {
        self.out_of_range.clear();
    }
}
