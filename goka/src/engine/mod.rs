//! The engine: partitions, recovery, commits. It knows bytes and edges, never types: what is typed
//! reaches it as a [`program::Program`].

pub(crate) mod effects;
pub(crate) mod program;
pub(crate) mod rows;
