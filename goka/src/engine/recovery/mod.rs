//! Recovery: a partition from assigned to running. Also closes the local copies of partitions that leave.
//!
//! The phases are draining → fetching offsets → restoring → claiming → running. A partition's inputs are assigned only
//! when it runs, so that nothing is fetched earlier. A setback sends a partition back to draining. Must not know how
//! records are handled, nor how they are committed.

mod blocked;
mod copies;
mod phase;
mod positions;
mod reset;
mod restore;
mod state;

pub(crate) use positions::Resume;
pub(crate) use state::{Recovery, Step};
