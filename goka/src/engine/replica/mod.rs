//! Replicas: local copies of tables that this process reads but does not write, for views, joins, lookups and standbys.
//! Must not know types or handlers.
//!
//! A process has one replica per table, which all readers share (see `app/replicas.rs`). The replica has a local copy
//! of each partition that a reader wants. Only the thread of the replica, which runs a [`Keeper`](keeper::Keeper),
//! writes the local copies; readers take snapshots.

mod board;
mod copy;
mod following;
mod held;
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
    loans::Loan,
    spec::Spec,
    subscribers::{Change, Feed, Taken},
};

#[cfg(test)]
mod tests;
