//! A local copy of a table, partition by partition, kept up to date by one thread: what views,
//! joins and lookups read.
//!
//! A process keeps one replica per table, however many read it (see `app/replicas.rs`), and of it the
//! partitions that somebody wants. The thread, a [`Keeper`](keeper::Keeper) that takes one turn after another, is
//! the only one that writes; readers take snapshots. Knows no types and no handlers.

mod board;
mod copy;
mod following;
mod keeper;
mod loans;
mod spec;
pub(crate) mod standby;
mod subscribers;
pub(crate) mod tables;

#[cfg(any(test, feature = "tester"))]
pub(crate) use self::keeper::Keeper;
pub(crate) use self::{
    board::Wanted,
    following::Replica,
    loans::Lease,
    spec::Spec,
    subscribers::{Change, Feed, Taken},
};

#[cfg(test)]
mod tests;
