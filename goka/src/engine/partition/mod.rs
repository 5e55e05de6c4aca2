//! One partition of a group at one worker: its intervals, its waiting work, its local copy and its place in the
//! inputs.
//!
//! Each of them is a struct with private fields whose methods keep its invariants; [`Partition`] puts them together.
//! Must not know what is done with a partition: handling, commits and recovery are rooms of their own.

mod all;
mod copy;
pub(crate) mod deferrals;
mod failures;
mod feed;
mod intervals;
pub(crate) mod ledger;
pub(crate) mod origin;
mod queue;
mod state;
mod visited;

pub(crate) use all::Partitions;
pub(crate) use queue::{Trouble, Waiter};
pub(crate) use state::Partition;
