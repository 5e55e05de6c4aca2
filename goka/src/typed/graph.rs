//! The group graph: a constant list of edges, typed at the door, plain data inside. Must not know
//! how it is run.

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

/// What is left of a handler's result: any error, as it was.
pub type Outcome = Result<(), BoxError>;

/// A handler that waits. It borrows the context, so it stays on the thread of its partition.
pub type Later<'c> = Pin<Box<dyn Future<Output = Outcome> + 'c>>;

/// A handler as data: the graph tells which handlers wait. A plain `fn` allocates nothing.
pub enum Handler<P: Processor> {
    /// A `fn`.
    Now(fn(&P, &mut Context<'_, P>) -> Outcome),
    /// An `async fn`.
    Later(for<'c> fn(&'c P, &'c mut Context<'_, P>) -> Later<'c>),
}
impl<P: Processor> Clone for Handler<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Processor> Copy for Handler<P> {}

impl<P: Processor> Handler<P> {
    /// Whether it is an `async fn`.
    pub const fn waits(&self) -> bool {
        matches!(self, Handler::Later(_))
    }
}

/// A visitor as data: called for each key of the table, with the arguments of the visit.
pub enum Visitor<P: Processor, A> {
    /// A `fn`.
    Now(fn(&P, &mut Context<'_, P>, A) -> Outcome),
    /// An `async fn`.
    Later(for<'c> fn(&'c P, &'c mut Context<'_, P>, A) -> Later<'c>),
}
impl<P: Processor, A> Clone for Visitor<P, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Processor, A> Copy for Visitor<P, A> {}

/// The topic of an edge, as data: what is left of its type.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct EdgeTopic {
    /// Its logical name.
    pub name: &'static str,
    /// The group that a table belongs to; `None` for a stream and a bare table.
    pub owner: Option<&'static str>,
    /// Which partition a key is in.
    pub partitioner: Partitioner,
    /// Of a table, how its group keeps it; the default for a stream.
    pub options: TableOptions,
    /// Gives [`Codec::name`] of its values.
    pub codec: fn() -> &'static str,
    /// [`Codec::show`] of its values.
    pub show: fn(&[u8]) -> Shown,
    /// [`Codec::prepare`].
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

/// An edge of the graph, made only for a type that the processor declares as such an edge.
#[non_exhaustive]
pub struct Edge<P: Processor> {
    /// What the topic is to the group.
    pub kind: Kind,
    /// The topic.
    pub topic: EdgeTopic,
    /// What handles its records; none for a topic without a handler.
    pub handler: Option<Handler<P>>,
    /// The handler's name, see [`Consumes::NAME`].
    pub handler_name: &'static str,
    /// Whether the handler is called for records without a value.
    pub tombstones: bool,
    /// What is done about records that it cannot handle.
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

    /// A stream whose records are handled.
    pub const fn input<S>() -> Self
    where
        P: Consumes<S>,
    {
        Self::handled(Kind::Input)
    }

    /// The stream that the group writes to itself.
    pub const fn loopback<S>() -> Self
    where
        P: Loops<S>,
    {
        Self::handled(Kind::Loop)
    }

    /// A stream that is written to.
    pub const fn output<S>() -> Self
    where
        P: Emits<S>,
    {
        Self::plain(Kind::Output, P::TOPIC)
    }

    /// The group's table.
    pub const fn table<T>() -> Self
    where
        P: Persists<T>,
    {
        Self::plain(Kind::Table, P::TOPIC)
    }

    /// A table of another group, read at the group's own keys.
    pub const fn join<T>() -> Self
    where
        P: Joins<T>,
    {
        Self::plain(Kind::Join, P::TOPIC)
    }

    /// A table of another group, read at any key.
    pub const fn lookup<T>() -> Self
    where
        P: Lookups<T>,
    {
        Self::plain(Kind::Lookup, P::TOPIC)
    }
}

/// For logs, and to compare graphs in tests.
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

/// Place of an edge in the graph, found when compiling: at run time an edge is an index, and a
/// marker trait implemented without its edge in the graph does not compile.
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
