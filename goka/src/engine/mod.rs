//! The engine: what happens to a record. It knows bytes and edges, never types: what is typed reaches it as a
//! [`program::Program`], Kafka through [`port`].
//!
//! [`worker`] is the loop of a thread, [`core`] the way of one record through the rooms. The rooms are [`handling`]
//! (one record), [`commit`] (intervals to Kafka and to disk), [`recovery`] (from assigned to running) and [`replica`]
//! (tables that are followed). The first three work on [`partition`], which holds the state, and do not know each
//! other. [`table`] is the rows of one partition, for a worker and for a replica.

mod assignment;
mod commit;
mod core;
mod edges;
pub(crate) mod effects;
mod env;
mod halt;
mod handling;
pub(crate) mod partition;
pub(crate) mod port;
pub(crate) mod program;
mod recovery;
pub(crate) mod replica;
mod rules;
pub(crate) mod spec;
pub(crate) mod status;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod visits;
pub(crate) mod worker;
