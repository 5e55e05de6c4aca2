//! Recovery: takes a partition from its assignment to the state in which it runs. Also closes the local copies of
//! partitions that leave.
//!
//! The phases are draining → fetching offsets → restoring → claiming → running. The group's commit always wins: rows
//! behind it are undone before the partition is claimed, so that state and inputs are those of one moment. A
//! partition's inputs are assigned, and therefore fetched, only when the partition runs. A setback (an event that
//! voids uncommitted work) sends a partition back to draining. Must not know how records are handled, nor how they are
//! committed.

mod blocked;
mod claim;
mod copies;
mod phase;
mod positions;
mod reset;
mod restore;
mod state;
mod tail;
mod undo;

pub(crate) use positions::Resume;
pub(crate) use state::{Recovery, Step};
pub(crate) use undo::Undone;
