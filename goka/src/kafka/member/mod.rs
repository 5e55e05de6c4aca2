//! A worker's connection to Kafka: group member, producer, transactions, and the reader of its changelog.

pub(crate) mod assignment;
mod fence;
mod leaving;
pub(crate) mod spec;
mod transactions;
mod uncommitted;
pub(crate) mod worker;
mod writer;
