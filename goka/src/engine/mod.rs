//! The engine: partitions, recovery, commits. It knows bytes and edges, never types: what is typed
//! reaches it as a [`program::Program`], Kafka through [`port`].

mod commit;
pub(crate) mod effects;
pub(crate) mod handling;
pub(crate) mod partition;
pub(crate) mod port;
pub(crate) mod program;
pub(crate) mod recovery;
pub(crate) mod replica;
pub(crate) mod spec;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod worker;
