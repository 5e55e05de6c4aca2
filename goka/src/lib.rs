//! Stream processing on Kafka, after [lovoo/goka](https://github.com/lovoo/goka) for Go.
//!
//! - A **processor** handles the records of streams with annotated functions. It can keep one *group table*, which has
//!   one row per key and is stored in a compacted Kafka topic (the changelog) and in a local copy on disk. Processes
//!   of the same group share the partitions among them.
//! - An **emitter** writes records to a stream, from any program.
//! - A **view** is a local, read-only copy of a whole table, which services answer from.
//!
//! Processors, emitters and views can be separate programs, because they communicate only through Kafka. Programs are
//! composed by sharing the Rust types of their streams and tables, so a mismatch of keys, values or names does not
//! compile.
//!
//! ```no_run
//! /// Clicks per user. Every update goes to the compacted topic `my-group-state`.
//! #[goka::table(group = "my-group", value = i64)]
//! pub struct Clicks;
//!
//! #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
//! fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
//!     let clicks = ctx.value()?.unwrap_or(0);
//!     ctx.set_value(&(clicks + 1))
//! }
//!
//! #[tokio::main]
//! async fn main() -> goka::Result {
//!     goka::App::from_env()?.processor(count::Processor).run().await
//! }
//! ```
//!
//! # Where to find what
//!
//! | to | see |
//! |---|---|
//! | declare topics and tables | [`stream`], [`table`], [`message`], [`Key`], [`codec`] |
//! | handle records | [`processor`], [`Context`] |
//! | choose what happens to records that cannot be processed | [`policy`], [`DeadLetter`] |
//! | run processors, see what they do, stop them | [`app`] |
//! | configure: brokers, guarantee, standbys | [`config`] |
//! | know what can go wrong | [`error`] |
//! | write to a stream from any program | [`emitter`] |
//! | read a table in any program | [`view`] |
//! | see or draw who reads and writes what, or declare a processor without macros | [`graph`] |
//! | run without Kafka | [`EmbeddedBroker`], or `brokers = "embedded"` |
//! | test processors in memory | `goka::tester`, with the feature `tester` |
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `tester` | `goka::tester`: processors on a Kafka in memory, for dev-dependencies |
//! | `ssl`, `ssl-vendored` | TLS: `ssl` uses the system's OpenSSL, `ssl-vendored` compiles OpenSSL |
//! | `sasl`, `gssapi` | SASL and Kerberos, with the system's Cyrus SASL |
//! | `zstd` | compression of records with zstd |
//! | `cmake-build` | builds librdkafka with CMake |

// The code that the macros print names `::goka`, and tests of this crate use the macros.
#[allow(unused_extern_crates)]
extern crate self as goka;

pub mod app;
mod base;
pub mod emitter;
mod engine;
mod kafka;
#[cfg(any(test, feature = "tester"))]
mod sim;
mod store;
#[cfg(any(test, feature = "tester"))]
pub mod tester;
mod typed;
pub mod view;

pub use app::{App, Running};
pub use base::{
    config::{self, Config, Guarantee},
    dead_letter::DeadLetter,
    defer::Deferred,
    error::{self, BoxError, Error, Result},
    partitioner::Partitioner,
    policy::{self, OnError, Policy},
    record::{Headers, Meta},
};
pub use emitter::Emitter;
pub use kafka::EmbeddedBroker;
#[cfg(any(test, feature = "tester"))]
pub use tester::Tester;
pub use typed::{
    attribute::{message, processor, stream, table},
    codec::{self, Codec},
    context::Context,
    key::Key,
    processor::Processor,
    topic::{SharedTable, Stream, Table, Topic},
};
pub use view::View;

pub mod graph {
    //! The graph of a group as data: which topics a processor reads and writes, and what handles their records.
    //!
    //! [`Graph`] draws the graphs of processors as Mermaid, for people, and writes them as JSON, for programs.
    //!
    //! The other items serve to declare a graph without macros. A program then writes what `#[goka::processor]`
    //! prints: an `impl` of [`Processor`](crate::Processor) with a constant list of [`Edge`]s, and one `impl` for each
    //! edge:
    //!
    //! | an edge | what the processor implements | where a type fits |
    //! |---|---|---|
    //! | [`Edge::input`] | [`Consumes`], with a [`Handler`] | [`Consumable`]: a stream with the group's key ([`InputKey`]) |
    //! | [`Edge::loopback`] | [`Loops`] and [`Consumes`] | [`Consumable`] |
    //! | [`Edge::output`] | [`Emits`] | [`Emittable`]: any stream |
    //! | [`Edge::table`] | [`Persists`] | [`Persistable`]: a table with the group's key ([`TableKey`]) |
    //! | [`Edge::join`] | [`Joins`] | [`Joinable`]: a shared table with the group's key ([`JoinKey`]) |
    //! | [`Edge::lookup`] | [`Lookups`] | [`Lookupable`]: any shared table |
    //!
    //! The type of the arguments of a visit implements [`Visits`], with a [`Visitor`]. A handler gets its message with
    //! [`message`]. The documentation of [`Processor`](crate::Processor) shows a counter that is written without
    //! macros.

    pub use crate::{
        base::{
            kind::Kind,
            options::{ProcessorOptions, TableOptions},
        },
        typed::{
            check::{
                InputKey, JoinKey, MessageOf, TableKey, Undecodable, message, message_or_tombstone,
            },
            drawing::{Graph, GraphEdge, GraphTopic, TopicKind},
            edge::{
                Consumable, Consumes, Emits, Emittable, Joinable, Joins, Lookupable, Lookups,
                Loops, Persistable, Persists, Visits,
            },
            graph::{Edge, EdgeTopic, Handler, Later, Outcome, Visitor},
            topic::Home,
        },
    };
}

/// The items that the printed code of the macros names. They are not part of the public interface: anything here may
/// change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        base::{
            config::Guarantee,
            options::{ProcessorOptions, TableOptions},
            partitioner::Partitioner,
            policy::{OnError, Policy},
        },
        typed::{
            check, codec,
            edge::{
                Consumes, Emits, Emittable, Joinable, Joins, Lookupable, Lookups, Loops,
                Persistable, Persists, Visits,
            },
            graph::{Edge, Handler, Visitor},
            processor::Processor,
            topic::{Home, SharedTable, Stream, Table, Topic},
        },
    };
    /// Re-exported for the derives that the macros print, so that a user's crate needs no dependency on serde.
    pub use serde;
}
