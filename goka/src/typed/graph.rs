//! Edges of a group graph: constants that are made from types and hold plain data. Must not know how an edge is run.

use std::{fmt, pin::Pin};

use crate::{
    base::{
        error::BoxError, kind::Kind, options::TableOptions, partitioner::Partitioner,
        policy::OnError,
    },
    typed::{
        check::{equal, fail},
        codec::{Codec, Prepare, Shown},
        context::Context,
        edge::{Consumes, Emits, Joins, Lookups, Loops, Persists},
        processor::Processor,
        topic::{Stream, Table, Topic},
    },
};

/// What a handler or visitor returns: nothing if it succeeds, or any error.
pub type Outcome = Result<(), BoxError>;

/// The future of a handler or visitor that is an `async fn`. The future borrows the context, so the future stays on
/// the thread of the record's partition and need not be `Send`.
pub type Later<'c> = Pin<Box<dyn Future<Output = Outcome> + 'c>>;

/// A handler as data: a function that goka calls for each record of an input or loopback. Calling a plain `fn`
/// allocates nothing; calling an `async fn` allocates its future.
pub enum Handler<P: Processor> {
    /// A plain function.
    Now(fn(&P, &mut Context<'_, P>) -> Outcome),
    /// An `async fn`, wrapped in a function that returns its boxed future.
    Later(for<'c> fn(&'c P, &'c mut Context<'_, P>) -> Later<'c>),
}
impl<P: Processor> Clone for Handler<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Processor> Copy for Handler<P> {}

impl<P: Processor> Handler<P> {
    /// Whether the handler is asynchronous.
    pub const fn waits(&self) -> bool {
        matches!(self, Handler::Later(_))
    }
}

/// A visitor as data: a function that goka calls for each row of the group table, with the arguments of the visit.
pub enum Visitor<P: Processor, A> {
    /// A plain function.
    Now(fn(&P, &mut Context<'_, P>, A) -> Outcome),
    /// An `async fn`, wrapped in a function that returns its boxed future.
    Later(for<'c> fn(&'c P, &'c mut Context<'_, P>, A) -> Later<'c>),
}
impl<P: Processor, A> Clone for Visitor<P, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Processor, A> Copy for Visitor<P, A> {}

/// The topic of an edge as data: what goka knows of the topic without its Rust type.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct EdgeTopic {
    /// The logical name of the topic.
    pub name: &'static str,
    /// The group that writes the table. `None` for a stream, and for a table that names no group.
    pub owner: Option<&'static str>,
    /// The partitioner that assigns keys to partitions.
    pub partitioner: Partitioner,
    /// How the group keeps the table; the default options for a stream.
    pub options: TableOptions,
    /// The function [`Codec::name`] of the topic's codec.
    pub codec: fn() -> &'static str,
    /// The function [`Codec::show`] of the topic's codec.
    pub show: fn(&[u8]) -> Shown,
    /// The function [`Codec::prepare`] of the topic's codec.
    pub(crate) prepare: fn(&Prepare<'_>) -> Result<(), BoxError>,
    /// What the tester knows of the topic's Rust type.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) typing: crate::typed::typing::Typing,
}

impl EdgeTopic {
    /// Returns the topic of a table.
    pub(crate) const fn table<T: Table>(name: &'static str, owner: Option<&'static str>) -> Self {
        EdgeTopic {
            options: T::OPTIONS,
            ..Self::of::<T>(name, owner)
        }
    }

    /// Returns the topic of a stream.
    pub(crate) const fn stream<S: Stream>() -> Self {
        Self::of::<S>(S::NAME, None)
    }

    const fn of<T: Topic>(name: &'static str, owner: Option<&'static str>) -> Self {
        EdgeTopic {
            name,
            owner,
            partitioner: T::PARTITIONER,
            options: TableOptions::DEFAULT,
            codec: <T::Codec as Codec<T::Value>>::name,
            show: <T::Codec as Codec<T::Value>>::show,
            prepare: <T::Codec as Codec<T::Value>>::prepare,
            #[cfg(any(test, feature = "tester"))]
            typing: crate::typed::typing::Typing::of::<T>(),
        }
    }
}

/// An edge of a group graph: a topic, its role in the group, and the handler of its records.
///
/// Edges are made by constructors such as [`Edge::input`]. A constructor compiles only for a type that the processor
/// declares by an `impl` of [`Consumes`], [`Emits`], [`Persists`], [`Joins`], [`Lookups`] or [`Loops`].
#[non_exhaustive]
pub struct Edge<P: Processor> {
    /// The role of the topic in the group, for example input or table.
    pub kind: Kind,
    /// The topic.
    pub topic: EdgeTopic,
    /// The handler of the topic's records. `None` unless the edge is an input or the loopback.
    pub handler: Option<Handler<P>>,
    /// The name of the handler: [`Consumes::NAME`].
    pub handler_name: &'static str,
    /// Whether the handler is called for tombstones: [`Consumes::TOMBSTONES`].
    pub tombstones: bool,
    /// What happens to records that cannot be processed: [`Consumes::ON_ERROR`].
    pub on_error: OnError,
}

impl<P: Processor> Edge<P> {
    const fn plain(kind: Kind, topic: EdgeTopic) -> Self {
        Edge {
            kind,
            topic,
            handler: None,
            handler_name: "",
            tombstones: false,
            on_error: OnError::FAIL,
        }
    }

    const fn handled<S>(kind: Kind) -> Self
    where
        P: Consumes<S>,
    {
        Edge {
            kind,
            topic: P::TOPIC,
            handler: Some(P::HANDLER),
            handler_name: P::NAME,
            tombstones: P::TOMBSTONES,
            on_error: P::ON_ERROR,
        }
    }

    /// Returns an input: the handler is called for each record of `S`.
    pub const fn input<S>() -> Self
    where
        P: Consumes<S>,
    {
        Self::handled(Kind::Input)
    }

    /// Returns the loopback: handlers of the group write messages to `S`, and the handler of the loopback gets them.
    pub const fn loopback<S>() -> Self
    where
        P: Loops<S>,
    {
        Self::handled(Kind::Loop)
    }

    /// Returns an output: the group writes to `S`.
    pub const fn output<S>() -> Self
    where
        P: Emits<S>,
    {
        Self::plain(Kind::Output, P::TOPIC)
    }

    /// Returns the edge to the group table.
    pub const fn table<T>() -> Self
    where
        P: Persists<T>,
    {
        Self::plain(Kind::Table, P::TOPIC)
    }

    /// Returns a join: handlers read the row of `T` at the key of the record.
    pub const fn join<T>() -> Self
    where
        P: Joins<T>,
    {
        Self::plain(Kind::Join, P::TOPIC)
    }

    /// Returns a lookup: handlers read the row of `T` at any key.
    pub const fn lookup<T>() -> Self
    where
        P: Lookups<T>,
    {
        Self::plain(Kind::Lookup, P::TOPIC)
    }
}

/// Prints plain data, for logs and for tests that compare graphs.
impl<P: Processor> fmt::Debug for Edge<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("kind", &self.kind)
            .field("topic", &self.topic.name)
            .field("owner", &self.topic.owner)
            .field("partitioner", &self.topic.partitioner)
            .field("options", &self.topic.options)
            .field("codec", &(self.topic.codec)())
            .field("handler", &self.handler_name)
            .field("waits", &self.handler.map(|handler| handler.waits()))
            .field("tombstones", &self.tombstones)
            .field("on_error", &self.on_error)
            .finish()
    }
}

/// Returns the index of an edge in the graph, at compile time. At run time, goka identifies an edge by this index. A
/// processor that implements the trait of an edge does not compile if its graph lacks this edge.
pub(crate) const fn slot<P: Processor>(kind: Kind, topic: &str) -> usize {
    let graph: &[Edge<P>] = P::GRAPH;
    let mut i = 0;
    while i < graph.len() {
        if graph[i].kind as u8 == kind as u8 && equal(graph[i].topic.name, topic) {
            return i;
        }
        i += 1;
    }
    fail(&[
        "a marker trait declares the topic `",
        topic,
        "`, but `Processor::GRAPH` of the group `",
        P::GROUP,
        "` has no such edge",
    ])
}
