//! Rows of one partition of a table: in memory over LMDB, and how the changelog gets there. Must not know whether the
//! partition is a worker's own or one that is followed.

mod overlay;
pub(crate) mod replay;
pub(crate) mod rows;
pub(crate) mod trust;
