//! The engine: the code that runs for each record. The engine handles bytes and edges, never types: it calls the typed
//! processor as a [`program::Program`], and Kafka through [`port`].
//!
//! [`worker`] is the loop of a worker's thread, and [`core`] is the path of one record through the engine. The work
//! itself is done in [`handling`] (handles one record), [`commit`] (commits intervals to Kafka and to disk),
//! [`recovery`] (takes a partition from assigned to running) and [`replica`] (views and standbys, which follow
//! tables). Handling, commit and recovery work on the state in [`partition`], and do not import each other. [`table`]
//! holds the rows of one partition; workers and replicas both use this module. Must not know types, rdkafka or heed.

mod assignment;
mod commit;
mod core;
pub(crate) mod cut;
pub(crate) mod edges;
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
