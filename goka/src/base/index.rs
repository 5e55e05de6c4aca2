//! Indices of sources and of edges, as types that cannot be mixed up. Must not know what a worker does with them.

/// The index of a source: a topic whose records a group handles, in the list of its inputs and its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceIx(usize);

/// The index of an edge in the graph of a processor. A record that is produced names its target by the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeIx(usize);

impl SourceIx {
    pub(crate) const fn new(index: usize) -> Self {
        SourceIx(index)
    }

    pub(crate) const fn index(self) -> usize {
        self.0
    }
}

impl EdgeIx {
    pub(crate) const fn new(index: usize) -> Self {
        EdgeIx(index)
    }

    pub(crate) const fn index(self) -> usize {
        self.0
    }
}
