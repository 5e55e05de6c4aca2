//! Compile-time checks that the macros call. Public because generated code names them; each is
//! an ordinary trait or `const fn`. Must not know how a mistake is worded for a user's tokens: the
//! macros bring the sentence.

use std::fmt;

use crate::{BoxError, Codec, Context, Edge, Key, Kind, Outcome, Persists, Processor, Topic};

/// `Self` is the value type of the stream `S`. Implemented for exactly that type.
#[diagnostic::on_unimplemented(
    message = "the stream `{S}` does not carry values of type `{Self}`",
    label = "not the value type of `{S}`",
    note = "the last parameter of a handler is the value of its input, or an `Option` of it"
)]
pub trait MessageOf<S>: Sized {
    /// The value in the bytes of a record.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn decode(bytes: &[u8]) -> Result<Self, BoxError>;
}
#[diagnostic::do_not_recommend]
impl<S: Topic<Value = V>, V> MessageOf<S> for V {
    fn decode(bytes: &[u8]) -> Result<V, BoxError> {
        <S::Codec as Codec<V>>::decode(bytes)
    }
}

/// The message at hand, `None` for a tombstone: the only place where bytes become a message.
///
/// # Errors
/// The value of the record does not decode.
pub fn message<S, M: MessageOf<S>>(
    ctx: &Context<'_, impl Processor>,
) -> Result<Option<M>, Undecodable> {
    let decoded = ctx.payload().map(M::decode).transpose();
    decoded.map_err(Undecodable)
}

/// Whether the record at hand deletes its key. Handlers see it only as `Option<T>`.
pub fn is_tombstone(ctx: &Context<'_, impl Processor>) -> bool {
    ctx.payload().is_none()
}

/// The value of a record that does not decode: the record's fault, and not its handler's.
#[derive(Debug)]
pub struct Undecodable(pub(crate) BoxError);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl std::error::Error for Undecodable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// `Self` is the processor `P`. Implemented for exactly that type.
#[diagnostic::on_unimplemented(
    message = "a handler of `{P}` cannot take the context of `{Self}`",
    label = "the context of `{Self}`",
    note = "each processor has a context of its own: its edges are what the context can do"
)]
pub trait Same<P: Processor>: Processor {
    /// The same context.
    fn same<'c, 'a>(ctx: &'c mut Context<'a, P>) -> &'c mut Context<'a, Self>;
}
#[diagnostic::do_not_recommend]
impl<P: Processor> Same<P> for P {
    fn same<'c, 'a>(ctx: &'c mut Context<'a, P>) -> &'c mut Context<'a, P> {
        ctx
    }
}

/// The context, for a handler that must be one of this processor.
pub fn context<'c, 'a, P: Processor, Q: Same<P>>(
    ctx: &'c mut Context<'a, P>,
) -> &'c mut Context<'a, Q> {
    Q::same(ctx)
}

/// The inputs of a group have its key type, or one key's records would be in several partitions.
#[diagnostic::on_unimplemented(
    message = "a group keyed by `{K}` cannot read a stream keyed by `{Self}`",
    label = "keyed by `{Self}`, not `{K}`",
    note = "write `key = {Self}` in `#[goka::processor(...)]`, or `key = {K}` in `#[goka::stream(...)]`"
)]
pub trait InputKey<K> {}
impl<K> InputKey<K> for K {}

/// The table of a group has its key type.
#[diagnostic::on_unimplemented(
    message = "a group keyed by `{K}` cannot have a table keyed by `{Self}`",
    label = "keyed by `{Self}`, not `{K}`",
    note = "write `key = {Self}` in `#[goka::processor(...)]`, or `key = {K}` in `#[goka::table(...)]`"
)]
pub trait TableKey<K> {}
impl<K> TableKey<K> for K {}

/// What a handler may return: nothing, or a result whose error converts into a boxed one.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "expected nothing or a `Result<(), _>`",
    note = "a handler returns nothing, `goka::Result`, or `Result<(), E>` with an error `E` that converts into `goka::BoxError`"
)]
pub trait Return {
    /// With the error boxed.
    ///
    /// # Errors
    /// The handler's.
    fn outcome(self) -> Outcome;
}
#[diagnostic::do_not_recommend]
impl Return for () {
    fn outcome(self) -> Outcome {
        Ok(())
    }
}
#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> Return for Result<(), E> {
    fn outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

/// What a handler returned.
///
/// # Errors
/// The handler's.
pub fn outcome<R: Return>(returned: R) -> Outcome {
    returned.outcome()
}

/// Names that follow from the name of a group.
pub trait Derived {
    /// The topic of a bare table.
    const STATE: &'static str;
}
impl<P: Processor> Derived for P {
    const STATE: &'static str = {
        let (bytes, len) = const { &suffixed(P::GROUP, "-state") };
        match std::str::from_utf8(bytes.split_at(*len).0) {
            Ok(name) => name,
            Err(_) => panic!("the name of a group is not ASCII"),
        }
    };
}

/// Two strings, one after the other.
const fn suffixed(group: &str, suffix: &str) -> ([u8; NAME_LENGTH_MAX], usize) {
    let (mut name, mut len) = ([0; NAME_LENGTH_MAX], 0);
    assert!(
        group.len() + suffix.len() <= NAME_LENGTH_MAX,
        "the name of a group is too long: the topics of the group add a suffix to it, and Kafka takes 249 characters"
    );
    while len < group.len() {
        name[len] = group.as_bytes()[len];
        len += 1;
    }
    while len < group.len() + suffix.len() {
        name[len] = suffix.as_bytes()[len - group.len()];
        len += 1;
    }
    (name, len)
}

const NAME_LENGTH_MAX: usize = 249;

/// A group may only write its own table.
pub const fn owns<P: Persists<T>, T>(otherwise: &str) {
    if let Some(home) = P::HOME
        && !equal(home.group, P::GROUP)
    {
        panic!("{}", otherwise);
    }
}

/// Two handlers of one group must not read the same topic.
pub const fn distinct<P: Processor>(input: Edge<P>, before: &[Edge<P>], otherwise: &str) {
    let mut i = 0;
    while i < before.len() {
        if equal(input.topic.name, before[i].topic.name) {
            panic!("{}", otherwise);
        }
        i += 1;
    }
}

/// The table and the loopback of a group are in no other edge of it.
pub const fn apart<P: Processor>(edge: Edge<P>, otherwise: &str) {
    let graph: &[Edge<P>] = P::GRAPH;
    let mut i = 0;
    while i < graph.len() {
        if matches!(graph[i].kind, Kind::Table | Kind::Loop)
            && equal(edge.topic.name, graph[i].topic.name)
        {
            panic!("{}", otherwise);
        }
        i += 1;
    }
}

/// The topics of a group put a key into the same partition: the one whose owner has its row.
pub const fn co_partitioned<P: Processor>(edge: Edge<P>, otherwise: &str) {
    if edge.topic.partitioner as u8 != P::GRAPH[0].topic.partitioner as u8 {
        panic!("{}", otherwise);
    }
}

/// A group keeps nothing by a key that records do not have.
pub const fn keyed<P: Processor>(otherwise: &str) {
    if P::Key::IS_NULL {
        panic!("{}", otherwise);
    }
}

/// All that a constant can tell of a graph, for one that was written by hand.
pub(crate) const fn graph<P: Processor>() {
    let graph: &[Edge<P>] = P::GRAPH;
    name(P::GROUP);
    assert!(
        !graph.is_empty() && matches!(graph[0].kind, Kind::Input),
        "the first edge of `Processor::GRAPH` is an input"
    );
    let mut i = 0;
    while i < graph.len() {
        let edge = &graph[i];
        name(edge.topic.name);
        if !matches!(edge.kind, Kind::Output) {
            assert!(
                edge.topic.partitioner as u8 == graph[0].topic.partitioner as u8,
                "the inputs, the loopback and the table of a group have the same partitioner"
            );
            distinct_from_later(graph, i);
        }
        if matches!(edge.kind, Kind::Table | Kind::Loop) {
            keyed::<P>("a group with `type Key = ()` has no table and no loopback");
        }
        i += 1;
    }
}

const fn distinct_from_later<P: Processor>(graph: &[Edge<P>], i: usize) {
    let mut j = i + 1;
    while j < graph.len() {
        assert!(
            matches!(graph[j].kind, Kind::Output)
                || !equal(graph[i].topic.name, graph[j].topic.name),
            "two edges of `Processor::GRAPH` read the same topic"
        );
        assert!(
            matches!(graph[i].kind, Kind::Input)
                || !equal(graph[i].topic.name, graph[j].topic.name),
            "an output of `Processor::GRAPH` is the table or the loopback of the group"
        );
        assert!(
            !matches!(graph[i].kind, Kind::Table | Kind::Loop)
                || graph[i].kind as u8 != graph[j].kind as u8,
            "a group has one table and one loopback"
        );
        j += 1;
    }
}

const fn name(name: &str) {
    let name = name.as_bytes();
    assert!(
        !name.is_empty() && name.len() <= NAME_LENGTH_MAX,
        "the name of a group or topic has 1 to 249 characters"
    );
    let mut i = 0;
    while i < name.len() {
        assert!(
            name[i].is_ascii_alphanumeric() || matches!(name[i], b'.' | b'_' | b'-'),
            "the name of a group or topic is made of letters, digits, `.`, `_` and `-`"
        );
        i += 1;
    }
}

pub(crate) const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
