//! The state of one partition at one worker: its commit intervals, its waiting work, its local copy and its positions
//! in the sources.
//!
//! Each part of this state is a struct with private fields; the methods of the struct keep its invariants.
//! [`Partition`] puts the parts together. Must not know who uses the state (handling, commit and recovery, which are
//! other modules).

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
