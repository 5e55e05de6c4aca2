//! Stream processing on Kafka.
#![allow(dead_code)] // until the engine is joined
#![allow(unused_imports)]

// So that the macros, which print `::goka`, also work in the tests of this crate.
#[allow(unused_extern_crates)]
extern crate self as goka;

mod app;
mod attribute;
mod block;
pub mod check;
pub mod codec;
mod config;
mod context;
mod edge;
mod emitter;
mod engine;
mod error;
mod graph;
mod home;
mod kafka;
mod key;
mod partitioner;
mod processor;
mod record;
mod store;
mod topic;
mod topology;
mod typed;
mod view;

pub use app::{App, GroupStats, Running, Stats};
pub use attribute::{message, processor, stream, table};
pub use codec::Codec;
pub use config::{Config, Membership, Start};
pub use context::Context;
pub use edge::{Consumable, Consumes, Emits, Emittable, Loops, Persistable, Persists};
pub use emitter::{Delivered, Delivery, Emitter};
pub use engine::status::PartitionState;
pub use error::{BoxError, Error, Result};
pub use graph::{Edge, EdgeTopic, Handler, Kind, Later, Outcome};
pub use kafka::EmbeddedBroker;
pub use key::Key;
pub use partitioner::Partitioner;
pub use processor::Processor;
pub use record::{Headers, Meta};
pub use topic::{Home, SharedTable, Stream, Table, Topic};
pub use view::{Rows, View, ViewState};

/// For the derives that the macros print: a user's crate needs no dependency on serde.
#[doc(hidden)]
pub use serde;
