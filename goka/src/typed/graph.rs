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

/// What a handler or visitor returns: nothing, or any error.
pub type Outcome = Result<(), BoxError>;

/// The future of a handler that is an `async fn`. It borrows the context, so it stays on the thread of its partition,
/// and need not be `Send`.
pub type Later<'c> = Pin<Box<dyn Future<Output = Outcome> + 'c>>;

/// A handler as data: a function that goka calls for each record of an input or loopback. Calling a plain `fn`
/// allocates nothing; an `async fn` allocates its future.
pub enum Handler<P: Processor> {
    /// A plain function.
    Now(fn(&P, &mut Context<'_, P>) -> Outcome),
    /// An asynchronous function, as a function that returns its boxed future.
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
    /// An asynchronous function, as a function that returns its boxed future.
    Later(for<'c> fn(&'c P, &'c mut Context<'_, P>, A) -> Later<'c>),
}
impl<P: Processor, A> Clone for Visitor<P, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Processor, A> Copy for Visitor<P, A> {}

/// The topic of an edge as data: what goka knows of it without its type.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct EdgeTopic {
    /// The logical name of the topic.
    pub name: &'static str,
    /// The group that writes the table. `None` for a stream, and for a table that names no group.
    pub owner: Option<&'static str>,
    /// The partitioner that assigns keys to partitions.
    pub partitioner: Partitioner,
    /// How the group keeps the table. The default for a stream.
    pub options: TableOptions,
    /// [`Codec::name`] of the topic's codec.
    pub codec: fn() -> &'static str,
    /// [`Codec::show`] of the topic's codec.
    pub show: fn(&[u8]) -> Shown,
    /// [`Codec::prepare`] of the topic's codec.
    pub(crate) prepare: fn(&Prepare<'_>) -> Result<(), BoxError>,
    /// What the tester knows of its type.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) typing: crate::typed::typing::Typing,
}

impl EdgeTopic {
    /// The topic of a table.
    pub(crate) const fn table<T: Table>(name: &'static str, owner: Option<&'static str>) -> Self {
        EdgeTopic {
            options: T::OPTIONS,
            ..Self::of::<T>(name, owner)
        }
    }

    /// The topic of a stream.
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

/// An edge of a group graph: a topic, what it is to the group, and the handler of its records.
///
/// Edges are made by constructors such as [`Edge::input`], which compile only for types that the processor declares:
/// by an `impl` of [`Consumes`], [`Emits`], [`Persists`], [`Joins`], [`Lookups`] or [`Loops`].
#[non_exhaustive]
pub struct Edge<P: Processor> {
    /// What the topic is to the group.
    pub kind: Kind,
    /// The topic.
    pub topic: EdgeTopic,
    /// The handler of its records: of an input or loopback.
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

    /// An input: the handler is called for each record of `S`.
    pub const fn input<S>() -> Self
    where
        P: Consumes<S>,
    {
        Self::handled(Kind::Input)
    }

    /// The loopback: the group writes to `S`, and its handler reads it.
    pub const fn loopback<S>() -> Self
    where
        P: Loops<S>,
    {
        Self::handled(Kind::Loop)
    }

    /// An output: the group writes to `S`.
    pub const fn output<S>() -> Self
    where
        P: Emits<S>,
    {
        Self::plain(Kind::Output, P::TOPIC)
    }

    /// The group table.
    pub const fn table<T>() -> Self
    where
        P: Persists<T>,
    {
        Self::plain(Kind::Table, P::TOPIC)
    }

    /// A join: handlers read the row of `T` at the key of the record.
    pub const fn join<T>() -> Self
    where
        P: Joins<T>,
    {
        Self::plain(Kind::Join, P::TOPIC)
    }

    /// A lookup: handlers read the row of `T` at any key.
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

/// The index of an edge in the graph, found when compiling. At run time an edge is this index. A processor that
/// implements the trait of an edge that is not in its graph does not compile.
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
