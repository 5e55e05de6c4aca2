//! The engine: partitions, recovery, commits. It knows bytes and edges, never types: what is typed
//! reaches it as a [`program::Program`], Kafka as [`crate::kafka::Kafka`].

mod assignment;
mod blocking;
mod coalescing;
mod commit;
mod copy;
#[cfg(test)]
mod cost;
mod deferred;
pub(crate) mod effects;
mod failure;
pub(crate) mod fault;
mod ledger;
mod offsets;
mod overlay;
mod partition;
mod policy;
pub(crate) mod program;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod replica;
mod reset;
mod room;
pub(crate) mod rows;
#[cfg(test)]
mod simulation;
pub(crate) mod spec;
pub(crate) mod standby;
pub(crate) mod status;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
mod transaction;
pub(crate) mod trust;
pub(crate) mod visiting;
mod waiting;
pub(crate) mod worker;
