//! The state of one partition at one worker: its intervals, its waiting work, its local copy and its positions in the
//! sources.
//!
//! Each part is a struct with private fields, whose methods keep its invariants. [`Partition`] puts the parts together.
//! Must not know who uses the state: handling, commit and recovery are modules of their own.

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
