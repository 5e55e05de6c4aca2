//! The group graph: a constant list of edges, typed at the door, plain data inside. Must not know
//! how it is run.

use std::{fmt, pin::Pin};

use crate::{
    BoxError, Codec, Consumes, Context, Emits, Loops, Partitioner, Persists, Processor, Topic,
    check::equal,
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

/// What an edge is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A stream whose records the group handles.
    Input,
    /// The stream that the group writes to itself.
    Loop,
    /// A stream that the group writes to.
    Output,
    /// The group's own table.
    Table,
}

/// A topic as data: what is left of its type.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its logical name.
    pub name: &'static str,
    /// Which partition a key is in.
    pub partitioner: Partitioner,
    /// Gives [`Codec::name`] of its values.
    pub codec: fn() -> &'static str,
}

impl TopicInfo {
    /// The topic of this type, under the name it has for its group.
    pub const fn of<T: Topic>(name: &'static str) -> Self {
        TopicInfo {
            name,
            partitioner: T::PARTITIONER,
            codec: <T::Codec as Codec<T::Value>>::name,
        }
    }
}

/// An edge of the graph, made only for a type that the processor declares as such an edge.
#[non_exhaustive]
pub struct Edge<P: Processor> {
    /// What the topic is to the group.
    pub kind: Kind,
    /// The topic.
    pub topic: TopicInfo,
    /// What handles its records; none for what is only written.
    pub handler: Option<Handler<P>>,
}

impl<P: Processor> Edge<P> {
    const fn new(kind: Kind, topic: TopicInfo, handler: Option<Handler<P>>) -> Self {
        Edge {
            kind,
            topic,
            handler,
        }
    }

    /// A stream whose records are handled.
    pub const fn input<S>() -> Self
    where
        P: Consumes<S>,
    {
        Self::new(Kind::Input, P::TOPIC, Some(P::HANDLER))
    }

    /// The stream that the group writes to itself.
    pub const fn loopback<S>() -> Self
    where
        P: Loops<S>,
    {
        Self::new(Kind::Loop, P::TOPIC, Some(P::HANDLER))
    }

    /// A stream that is written to.
    pub const fn output<S>() -> Self
    where
        P: Emits<S>,
    {
        Self::new(Kind::Output, P::TOPIC, None)
    }

    /// The group's table.
    pub const fn table<T>() -> Self
    where
        P: Persists<T>,
    {
        Self::new(Kind::Table, P::TOPIC, None)
    }
}

/// For logs, and to compare graphs in tests.
impl<P: Processor> fmt::Debug for Edge<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("kind", &self.kind)
            .field("topic", &self.topic.name)
            .field("partitioner", &self.topic.partitioner)
            .field("codec", &(self.topic.codec)())
            .field("waits", &self.handler.map(|handler| handler.waits()))
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
    panic!("the edge is declared by a marker trait but is missing in `Processor::GRAPH`")
}
