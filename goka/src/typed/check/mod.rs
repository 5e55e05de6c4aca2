//! Checks at compile time, for the code that the macros print: whether the message of a handler is the value of its
//! stream, whether the context of a handler is the context of its processor, and whether the graph can run. Must not
//! know how a processor is run.

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

/// `Self` is the value type of the stream `S`. Only this value type implements the trait.
#[diagnostic::on_unimplemented(
    message = "the stream `{S}` does not carry values of type `{Self}`",
    label = "not the value type of `{S}`",
    note = "the last parameter of a handler has the value type of its input, or is an `Option` of this type"
)]
pub trait MessageOf<S>: Sized {
    /// Decodes the value of a record with the codec of the stream.
    ///
    /// # Errors
    /// The error of [`Codec::decode`].
    fn decode(bytes: &[u8]) -> Result<Self, BoxError>;
}
#[diagnostic::do_not_recommend]
impl<S: Topic<Value = V>, V> MessageOf<S> for V {
    fn decode(bytes: &[u8]) -> Result<V, BoxError> {
        <S::Codec as Codec<V>>::decode(bytes)
    }
}

/// Decodes the message of the current record. This is for hand-written handlers of the stream `S`.
///
/// ```
/// use goka::{Context, Processor, graph::{Consumes, Edge, Handler, message}};
///
/// #[goka::stream("user-clicks", value = String)]
/// struct Clicks;
///
/// struct Print;
///
/// impl Processor for Print {
///     const GROUP: &'static str = "print";
///     type Key = String;
///     const GRAPH: &'static [Edge<Self>] = &[Edge::input::<Clicks>()];
/// }
/// impl Consumes<Clicks> for Print {
///     const HANDLER: Handler<Self> = Handler::Now(|_, ctx| {
///         println!("{}: {}", ctx.key(), message::<Clicks, String>(ctx)?);
///         Ok(())
///     });
/// }
/// ```
///
/// # Errors
/// The codec cannot decode the value, or the record is a tombstone. A handler must return this error unchanged, so
/// that goka applies the policy for `decode`.
pub fn message<S, M: MessageOf<S>>(ctx: &Context<'_, impl Processor>) -> Result<M, Undecodable> {
    match message_or_tombstone(ctx)? {
        Some(message) => Ok(message),
        None => Err(Undecodable(
            "the record is a tombstone; declare the message of the handler as an `Option`".into(),
        )),
    }
}

/// Decodes the message of the current record, or returns `None` for a tombstone. This is for hand-written handlers of
/// the stream `S` with [`Consumes::TOMBSTONES`](crate::graph::Consumes::TOMBSTONES).
///
/// # Errors
/// The codec cannot decode the value.
pub fn message_or_tombstone<S, M: MessageOf<S>>(
    ctx: &Context<'_, impl Processor>,
) -> Result<Option<M>, Undecodable> {
    let decoded = ctx.payload().map(M::decode).transpose();
    decoded.map_err(Undecodable)
}

/// The error of a value that does not decode. Goka distinguishes this error from other errors of the handler, and
/// applies the policy for `decode`.
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

/// `Self` is the processor `P`. Only `P` itself implements the trait.
#[diagnostic::on_unimplemented(
    message = "a handler of `{P}` cannot take the context of `{Self}`",
    label = "the context of `{Self}`",
    note = "each processor has its own context type, which allows only what the edges of the processor declare"
)]
pub trait Same<P: Processor>: Processor {
    /// Returns the context unchanged, as a context of `Self`.
    fn same<'c, 'a>(ctx: &'c mut Context<'a, P>) -> &'c mut Context<'a, Self>;
}
#[diagnostic::do_not_recommend]
impl<P: Processor> Same<P> for P {
    fn same<'c, 'a>(ctx: &'c mut Context<'a, P>) -> &'c mut Context<'a, P> {
        ctx
    }
}

/// Returns the context of the processor `P` as the context that a handler takes. A call does not compile if the
/// handler takes the context of another processor.
pub fn context<'c, 'a, P: Processor, Q: Same<P>>(
    ctx: &'c mut Context<'a, P>,
) -> &'c mut Context<'a, Q> {
    Q::same(ctx)
}

/// The key type `Self` of an input is the key type `K` of the group. With another key type, the records of one key
/// could be in several partitions.
#[diagnostic::on_unimplemented(
    message = "a group keyed by `{K}` cannot read a stream keyed by `{Self}`",
    label = "keyed by `{Self}`, not `{K}`",
    note = "write `key = {Self}` in `#[goka::processor(...)]`, or `key = {K}` in `#[goka::stream(...)]`"
)]
pub trait InputKey<K> {}
impl<K> InputKey<K> for K {}

/// The key type `Self` of the group table is the key type `K` of the group.
#[diagnostic::on_unimplemented(
    message = "a group keyed by `{K}` cannot have a table keyed by `{Self}`",
    label = "keyed by `{Self}`, not `{K}`",
    note = "write `key = {Self}` in `#[goka::processor(...)]`, or `key = {K}` in `#[goka::table(...)]`"
)]
pub trait TableKey<K> {}
impl<K> TableKey<K> for K {}

/// The key type `Self` of a joined table is the key type `K` of the group. With another key type, the row of a key and
/// the records of the key could be in different partitions.
#[diagnostic::on_unimplemented(
    message = "a table keyed by `{Self}` cannot be joined by a group keyed by `{K}`",
    label = "keyed by `{Self}`, not `{K}`",
    note = "a join reads the row of the current key; declare `lookup(...)` to read by another key"
)]
pub trait JoinKey<K> {}
impl<K> JoinKey<K> for K {}

/// What a handler may return: nothing, or a `Result` whose error converts into [`BoxError`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "expected nothing or a `Result<(), _>`",
    note = "a handler returns nothing, `goka::Result`, or `Result<(), E>` with an error `E` that converts into `goka::BoxError`"
)]
pub trait Return {
    /// Converts the returned value into an outcome, and boxes the error.
    ///
    /// # Errors
    /// The error of the handler.
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

/// Converts what a handler returned into an outcome.
///
/// # Errors
/// The error of the handler.
pub fn outcome<R: Return>(returned: R) -> Outcome {
    returned.outcome()
}

/// Names of topics that are derived from the name of a group.
pub trait Derived {
    /// The changelog of a table that names no group.
    const STATE: &'static str;
    /// The dead-letter topic; empty if its name would be too long for Kafka.
    const DEAD_LETTER: &'static str;
}
impl<P: Processor> Derived for P {
    const STATE: &'static str = text(const { &suffixed(P::GROUP, "-state") });
    const DEAD_LETTER: &'static str = match P::GROUP.len() + DEAD_LETTER.len() {
        // The name of a group without dead letters may be this long.
        NAME_TOO_LONG.. => "",
        _ => text(const { &suffixed(fitting(P::GROUP), DEAD_LETTER) }),
    };
}

/// Suffix of the dead-letter topic.
const DEAD_LETTER: &str = "-dead-letter";
const NAME_TOO_LONG: usize = NAME_LENGTH_MAX + 1;

const fn text((bytes, len): &'static ([u8; NAME_LENGTH_MAX], usize)) -> &'static str {
    match std::str::from_utf8(bytes.split_at(*len).0) {
        Ok(name) => name,
        Err(_) => panic!("the name of the group must be ASCII"),
    }
}

/// Returns the name of the group, or an empty string if the name would be too long with the suffix. The constant is
/// computed for groups without dead letters too, and must not fail for them.
const fn fitting(group: &'static str) -> &'static str {
    if group.len() + DEAD_LETTER.len() > NAME_LENGTH_MAX {
        return "";
    }
    group
}

/// Concatenates the name of a group and a suffix. Returns a buffer and the length of the text in it.
const fn suffixed(group: &str, suffix: &str) -> ([u8; NAME_LENGTH_MAX], usize) {
    if group.len() + suffix.len() > NAME_LENGTH_MAX {
        fail(&[
            "the group name `",
            group,
            "` is too long: with the suffix `",
            suffix,
            "`, the name of a topic would have more than the 249 characters that Kafka allows",
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
