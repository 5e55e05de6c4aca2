//! Stream processing on Kafka.
#![allow(dead_code)] // until the engine is joined

#![allow(dead_code, unused_imports, unused_extern_crates)]

// So that the macros, which print `::goka`, also work in the tests of this crate.
#[allow(unused_extern_crates)]
extern crate self as goka;

pub mod check;
pub mod codec;
mod config;
mod context;
mod edge;
mod engine;
mod error;
mod graph;
mod kafka;
mod key;
mod partitioner;
mod processor;
mod record;
mod store;
mod topic;
mod typed;

pub use codec::Codec;
pub use context::Context;
pub use edge::{Consumable, Consumes, Emits, Emittable, Loops, Persistable, Persists};
pub use engine::status::PartitionState;
pub use error::{BoxError, Error, Result};
pub use goka_macros::{message, processor, stream, table};
pub use graph::{Edge, Handler, Kind, Later, Outcome, TopicInfo};
pub use key::Key;
pub use partitioner::Partitioner;
pub use processor::Processor;
pub use record::{Headers, Meta};
pub use topic::{Home, SharedTable, Stream, Table, Topic};

/// For the derives that the macros print: a user's crate needs no dependency on serde.
#[doc(hidden)]
pub use serde;
