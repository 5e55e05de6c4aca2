//! What stands between a handler and the engine when compiling: is its message the stream's, its
//! context its own, its graph one that can run? Public because generated code names it; each is an
//! ordinary trait, function or constant.

mod graph;

use std::fmt;

use crate::{
    base::error::BoxError,
    typed::{codec::Codec, context::Context, graph::Outcome, processor::Processor, topic::Topic},
};

pub use crate::base::error::OfGoka;
use graph::NAME_LENGTH_MAX;
pub(crate) use graph::no_dead_letter;
pub use graph::{dead_letter, edge, has_table};
pub(crate) use graph::{equal, fail, graph};

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

/// The message at hand: the only place where bytes become one.
///
/// # Errors
/// The value of the record does not decode, or it is a tombstone.
pub fn message<S, M: MessageOf<S>>(ctx: &Context<'_, impl Processor>) -> Result<M, Undecodable> {
    match message_or_tombstone(ctx)? {
        Some(message) => Ok(message),
        None => Err(Undecodable(
            "it is a tombstone; take the message as an `Option`".into(),
        )),
    }
}

/// The same for a handler with [`Consumes::TOMBSTONES`](crate::graph::Consumes::TOMBSTONES): `None` is a
/// tombstone, which deletes its key.
///
/// # Errors
/// The value of the record does not decode.
pub fn message_or_tombstone<S, M: MessageOf<S>>(
    ctx: &Context<'_, impl Processor>,
) -> Result<Option<M>, Undecodable> {
    let decoded = ctx.payload().map(M::decode).transpose();
    decoded.map_err(Undecodable)
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

/// Tables joined by a group have its key type, or the rows would be in other partitions.
#[diagnostic::on_unimplemented(
    message = "a table keyed by `{Self}` cannot be joined by a group keyed by `{K}`",
    label = "keyed by `{Self}`, not `{K}`",
    note = "a join reads the row of the current key; declare `lookup(...)` to read by another key"
)]
pub trait JoinKey<K> {}
impl<K> JoinKey<K> for K {}

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
    /// The topic of dead letters; empty if it would be too long for Kafka.
    const DEAD_LETTER: &'static str;
}
impl<P: Processor> Derived for P {
    const STATE: &'static str = text(const { &suffixed(P::GROUP, "-state") });
    const DEAD_LETTER: &'static str = match P::GROUP.len() + DEAD_LETTER.len() {
        // Few groups have one: that is no mistake of the others.
        NAME_TOO_LONG.. => "",
        _ => text(const { &suffixed(fitting(P::GROUP), DEAD_LETTER) }),
    };
}

/// After the name of the group.
const DEAD_LETTER: &str = "-dead-letter";
const NAME_TOO_LONG: usize = NAME_LENGTH_MAX + 1;

const fn text((bytes, len): &'static ([u8; NAME_LENGTH_MAX], usize)) -> &'static str {
    match std::str::from_utf8(bytes.split_at(*len).0) {
        Ok(name) => name,
        Err(_) => panic!("the name of a group is not ASCII"),
    }
}

/// What is computed although it is not needed must not fail.
const fn fitting(group: &'static str) -> &'static str {
    if group.len() + DEAD_LETTER.len() > NAME_LENGTH_MAX {
        return "";
    }
    group
}

/// Two strings, one after the other.
const fn suffixed(group: &str, suffix: &str) -> ([u8; NAME_LENGTH_MAX], usize) {
    if group.len() + suffix.len() > NAME_LENGTH_MAX {
        fail(&[
            "the group name `",
            group,
            "` is too long: with `",
            suffix,
            "` it names a topic, and Kafka takes 249 characters",
        ]);
    }
    let (mut name, mut len) = ([0; NAME_LENGTH_MAX], 0);
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
