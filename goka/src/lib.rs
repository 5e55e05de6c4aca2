//! Stream processing on Kafka.
#![allow(dead_code)]
#![allow(dead_code, unused_imports, unused_extern_crates)]

// So that the macros, which print `::goka`, also work in the tests of this crate.
extern crate self as goka;

mod config;
mod engine;
mod error;
mod kafka;
mod partitioner;
mod record;
mod store;

pub use error::{BoxError, Error, Result};
pub use partitioner::Partitioner;
pub use record::{Headers, Meta};

/// Kinds of edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Input,
    Loop,
    Output,
    Join,
    Lookup,
    Table,
}
