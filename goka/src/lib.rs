//! Stream processing on Kafka, after [lovoo/goka](https://github.com/lovoo/goka) for Go.
//!
//! **Emitters** write key-value messages to streams, **processors** handle them and keep one *group
//! table* per group, **views** are local copies of whole tables for services to answer from. All are
//! separate programs that talk only through Kafka; they are composed by sharing the types of their
//! streams and tables.
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
//! | to | see |
//! |---|---|
//! | declare topics and tables | [`stream`], [`table`], [`message`], [`codec`], [`Key`] |
//! | handle messages | [`processor`], [`Context`] |
//! | run processors | [`App`], [`Running`], [`Config`] |
//! | choose what a record does that cannot be handled | [`OnError`], [`Policy`], [`DeadLetter`] |
//! | draw who reads and writes what | [`Graph`] |
//! | write to a stream from any program | [`Emitter`] |
//! | read a table in any program | [`View`] |
//! | go without Kafka | [`EmbeddedBroker`], or `brokers = "embedded"` |
//! | test processors in memory | `goka::tester`, with the feature `tester` |

// So that the macros, which print `::goka`, also work in the tests of this crate.
#[allow(unused_extern_crates)]
extern crate self as goka;

mod app;
mod base;
mod emitter;
mod engine;
mod kafka;
#[cfg(any(test, feature = "tester"))]
mod sim;
mod store;
#[cfg(any(test, feature = "tester"))]
pub mod tester;
mod typed;
mod view;

pub use app::{App, GroupStats, ProcessorHandle, Running, Stats};
pub use base::{
    config::{Config, Guarantee, Membership, OutOfRange, Standby, Start},
    dead_letter::DeadLetter,
    defer::Deferred,
    error::{BoxError, Error, Result},
    kind::Kind,
    options::{ProcessorOptions, TableOptions},
    partitioner::Partitioner,
    policy::{OnError, Policy},
    record::{Headers, Meta},
    state::PartitionState,
};
pub use emitter::{Delivered, Delivery, Emitter};
pub use kafka::{EmbeddedBroker, ResetTo};
#[cfg(any(test, feature = "tester"))]
pub use tester::Tester;
pub use typed::{
    attribute::{message, processor, stream, table},
    check,
    codec::{self, Codec},
    context::Context,
    drawing::{Graph, GraphEdge, GraphTopic, TopicKind},
    edge::{
        Consumable, Consumes, Emits, Emittable, Joinable, Joins, Lookupable, Lookups, Loops,
        Persistable, Persists, Visits,
    },
    graph::{Edge, EdgeTopic, Handler, Later, Outcome, Visitor},
    key::Key,
    processor::Processor,
    topic::{Home, SharedTable, Stream, Table, Topic},
};
pub use view::{
    Rows, SnapshotRows, Update, Updates, View, ViewPartition, ViewSnapshot, ViewState, ViewStates,
    ViewStats, Watch,
};

/// For the derives that the macros print: a user's crate needs no dependency on serde.
#[doc(hidden)]
pub use serde;

/// What "When a record cannot be handled" shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/errors.md")]
mod errors {}

/// What "Operating" shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/operating.md")]
mod operating {}

/// What "From Goka" shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-goka.md")]
mod from_goka {}
