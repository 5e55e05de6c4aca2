//! Rows of one partition of a table, in memory over LMDB, and the code that restores them from the changelog. Workers
//! and replicas use this module. Must not know which of the two uses it.

pub(crate) mod overlay;
pub(crate) mod replay;
pub(crate) mod rows;
pub(crate) mod trust;
