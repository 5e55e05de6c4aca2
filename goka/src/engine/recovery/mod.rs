//! From assigned to running, and how partitions leave: the committed offsets, the changelog into the local copy, the
//! claim.
//!
//! A partition is draining → fetching offsets → restoring → claiming → running. Inputs are assigned only when it runs,
//! so that nothing is fetched before. Whatever makes work void sends it back to draining. Must not know how records
//! are handled, nor how they are committed.

mod blocked;
mod copies;
mod phase;
mod positions;
mod reset;
mod restore;
mod state;

pub(crate) use positions::Resume;
pub(crate) use state::{Recovery, Step};
