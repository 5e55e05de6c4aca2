//! One trait per kind of edge. A processor implements the trait of each edge it declares; the
//! methods of [`Context`](crate::Context) are bounded by them, so that using an edge that was not
//! declared does not compile. Must not know how an edge is run.
//!
//! Each has a supertrait, `..able`, with one blanket impl: whether a type fits the edge. rustc
//! implies supertraits where the trait is used, so the question is asked once, in the `impl` that
//! declares the edge, and a mistake is one error.

use crate::{
    base::policy::OnError,
    typed::{
        check,
        graph::{EdgeTopic, Handler, Visitor},
        processor::Processor,
        topic::{SharedTable, Stream, Table},
    },
};

/// The processor handles the records of `S`: `input = S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for the stream `{S}`",
    label = "no handler for `{S}`"
)]
pub trait Consumes<S>: Processor + Consumable<S> {
    /// What is called for each record.
    const HANDLER: Handler<Self>;
    /// Its name, for errors; that of the processor, if it is empty.
    const NAME: &'static str = "";
    /// Whether it is called for tombstones too, records without a value. They are passed over
    /// otherwise.
    const TOMBSTONES: bool = false;
    /// What is done about a record that it cannot handle.
    const ON_ERROR: OnError = OnError::FAIL;
}

/// `S` can be an input: it is a stream with the key of the group.
pub trait Consumable<S> {
    /// The stream, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, S: Stream> Consumable<S> for P
where
    S::Key: check::InputKey<P::Key>,
{
    const TOPIC: EdgeTopic = EdgeTopic::stream::<S>();
}

/// The processor writes to `S`: `output(S)`.
#[diagnostic::on_unimplemented(
    message = "this processor does not declare the output `{S}`",
    label = "undeclared output",
    note = "add `output({S})` to its `#[goka::processor(...)]` attribute",
    note = "a table is no output: it is written only by its own group, with `ctx.set_value`"
)]
pub trait Emits<S>: Processor + Emittable<S> {}

/// `S` can be an output: it is a stream, of any key.
pub trait Emittable<S> {
    /// The stream, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, S: Stream> Emittable<S> for P {
    const TOPIC: EdgeTopic = EdgeTopic::stream::<S>();
}

/// The group keeps its state in `T`: `table = T`.
#[diagnostic::on_unimplemented(
    message = "this processor has no table",
    label = "needs a group table",
    note = "declare one with `#[goka::table]` and add `table = MyTable` to the `#[goka::processor(...)]` attribute"
)]
pub trait Persists<T>: Processor + Persistable<T> {}

/// `T` can be the table of the group: it has the group's key.
pub trait Persistable<T> {
    /// The table's topic, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, T: Table> Persistable<T> for P
where
    T::Key: check::TableKey<P::Key>,
{
    const TOPIC: EdgeTopic = match T::HOME {
        Some(home) => EdgeTopic::table::<T>(home.topic, Some(home.group)),
        None => EdgeTopic::table::<T>(<P as check::Derived>::STATE, None),
    };
}

/// The group writes messages to itself, at other keys, through the stream `S`.
#[diagnostic::on_unimplemented(
    message = "this processor has no loopback",
    label = "needs a loopback",
    note = "add a handler marked `#[loopback]`; only a processor on an `impl` block has one"
)]
pub trait Loops<S>: Consumes<S> {}

/// The group reads rows of `T` at its own keys: `join(T)`.
#[diagnostic::on_unimplemented(
    message = "this processor does not declare a join with `{T}`",
    label = "undeclared join",
    note = "add `join({T})` to its `#[goka::processor(...)]` attribute",
    note = "a join reads the row of the current key; to read the row of any key declare `lookup({T})`"
)]
pub trait Joins<T>: Processor + Joinable<T> {}

/// `T` can be joined: it is a table of another group, with the key of this one, so that a key's row
/// is in the partition that its records are in.
pub trait Joinable<T> {
    /// The table's topic, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, T: SharedTable> Joinable<T> for P
where
    T::Key: check::JoinKey<P::Key>,
{
    const TOPIC: EdgeTopic = EdgeTopic::table::<T>(T::NAME, Some(owner::<T>()));
}

/// The group reads rows of `T` at any key: `lookup(T)`.
#[diagnostic::on_unimplemented(
    message = "this processor does not declare a lookup of `{T}`",
    label = "undeclared lookup",
    note = "add `lookup({T})` to its `#[goka::processor(...)]` attribute"
)]
pub trait Lookups<T>: Processor + Lookupable<T> {}

/// `T` can be looked up: it is a table of another group, of any key.
pub trait Lookupable<T> {
    /// The table's topic, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, T: SharedTable> Lookupable<T> for P {
    const TOPIC: EdgeTopic = EdgeTopic::table::<T>(T::NAME, Some(owner::<T>()));
}

const fn owner<T: SharedTable>() -> &'static str {
    match T::HOME {
        Some(home) => home.group,
        None => panic!("a shared table has a home: set `Table::HOME`"),
    }
}

/// `Self` is what a visitor of `P` is called with, see [`Running::visit`](crate::Running::visit).
/// Each key gets a clone.
// Implemented for the arguments, so that rustc looks at what `visit` was given first, and names it.
#[diagnostic::on_unimplemented(
    message = "`{P}` has no visitor for `{Self}`",
    label = "no visitor takes `{Self}`",
    note = "add a method marked `#[visitor]` with the parameters `(&self, ctx: &mut Context<'_, Self>, args: {Self})`; only a processor on an `impl` block has visitors"
)]
pub trait Visits<P: Processor>: Clone + Send + Sync + 'static {
    /// What is called for each key.
    const VISITOR: Visitor<P, Self>;
    /// Its name, for errors; that of the processor, if it is empty.
    const NAME: &'static str = "";
    /// What is done about a row that it cannot handle: there is no record to write a dead letter of.
    const ON_ERROR: OnError = OnError::FAIL;
}
