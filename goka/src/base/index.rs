//! Indices of sources and of edges, as types that cannot be mixed up. Must not know what a worker does with an index.

/// The index of a source in the list of a group's inputs and its loop. A source is a topic whose records the group
/// handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceIx(usize);

/// The index of an edge in the graph of a processor. A produced record names its target topic by this index.
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
