//! One trait for each kind of edge. A processor implements the trait of each edge that it declares, and the methods
//! of [`Context`](crate::Context) are bounded by these traits, so using an undeclared edge does not compile. Must not
//! know how an edge is run.
//!
//! Each trait has a supertrait, whose name ends in `able` and which has one blanket impl. The supertrait says whether
//! a type fits the edge. Where code uses a trait, rustc assumes the supertraits of that trait. So rustc checks only
//! once whether a type fits, in the `impl` that declares the edge, and a mistake causes one error.

use crate::{
    base::policy::OnError,
    typed::{
        check,
        graph::{EdgeTopic, Handler, Visitor},
        processor::Processor,
        topic::{SharedTable, Stream, Table},
    },
};

/// The processor has the stream `S` as an input, and handles its records. The attribute declares this with
/// `input = S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for the stream `{S}`",
    label = "no handler for `{S}`"
)]
pub trait Consumes<S>: Processor + Consumable<S> {
    /// The handler, which is called for each record.
    const HANDLER: Handler<Self>;
    /// The name of the handler in errors and graphs. An empty string stands for the name of the processor.
    const NAME: &'static str = "";
    /// Whether the handler is called for tombstones, which are records without a value. If false, goka skips
    /// tombstones.
    const TOMBSTONES: bool = false;
    /// What happens to records that cannot be processed.
    const ON_ERROR: OnError = OnError::FAIL;
}

/// `S` can be an input of the processor: it is a stream with the key type of the group.
pub trait Consumable<S> {
    /// The topic of the stream, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, S: Stream> Consumable<S> for P
where
    S::Key: check::InputKey<P::Key>,
{
    const TOPIC: EdgeTopic = EdgeTopic::stream::<S>();
}

/// The processor has the stream `S` as an output: [`Context::emit`](crate::Context::emit) writes to it. The attribute
/// declares this with `output(S)`.
#[diagnostic::on_unimplemented(
    message = "this processor does not declare the output `{S}`",
    label = "undeclared output",
    note = "add `output({S})` to its `#[goka::processor(...)]` attribute",
    note = "a table is not an output: only its own group writes to the table, with `ctx.set_value`"
)]
pub trait Emits<S>: Processor + Emittable<S> {}

/// `S` can be an output of the processor: it is a stream, with any key type.
pub trait Emittable<S> {
    /// The topic of the stream, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, S: Stream> Emittable<S> for P {
    const TOPIC: EdgeTopic = EdgeTopic::stream::<S>();
}

/// The processor has the group table `T`: [`Context::value`](crate::Context::value) reads a row, and
/// [`Context::set_value`](crate::Context::set_value) writes a row. The attribute declares this with `table = T`.
#[diagnostic::on_unimplemented(
    message = "this processor has no table",
    label = "needs a group table",
    note = "declare one with `#[goka::table]` and add `table = MyTable` to the `#[goka::processor(...)]` attribute"
)]
pub trait Persists<T>: Processor + Persistable<T> {}

/// `T` can be the group table of the processor: it is a table with the key type of the group.
pub trait Persistable<T> {
    /// The changelog of the table, as data.
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

/// The processor has the stream `S` as its loopback: [`Context::loopback`](crate::Context::loopback) sends messages to
/// other keys of the same group. With the attribute, a method that is marked `#[loopback]` declares this.
#[diagnostic::on_unimplemented(
    message = "this processor has no loopback",
    label = "needs a loopback",
    note = "add a handler marked `#[loopback]`; only a processor on an `impl` block has one"
)]
pub trait Loops<S>: Consumes<S> {}

/// The processor joins the table `T` of another group: [`Context::join`](crate::Context::join) reads the row at the
/// key of the record. The attribute declares this with `join(T)`.
#[diagnostic::on_unimplemented(
    message = "this processor does not declare a join with `{T}`",
    label = "undeclared join",
    note = "add `join({T})` to its `#[goka::processor(...)]` attribute",
    note = "a join reads the row of the current key; to read the row of any key declare `lookup({T})`"
)]
pub trait Joins<T>: Processor + Joinable<T> {}

/// `T` can be joined by the processor: it is a shared table with the key type of the group, so the row of a key is in
/// the same partition as the records of the key.
pub trait Joinable<T> {
    /// The changelog of the table, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, T: SharedTable> Joinable<T> for P
where
    T::Key: check::JoinKey<P::Key>,
{
    const TOPIC: EdgeTopic = EdgeTopic::table::<T>(T::NAME, Some(owner::<T>()));
}

/// The processor looks up the table `T` of another group: [`Context::lookup`](crate::Context::lookup) reads the row at
/// any key. The attribute declares this with `lookup(T)`.
#[diagnostic::on_unimplemented(
    message = "this processor does not declare a lookup of `{T}`",
    label = "undeclared lookup",
    note = "add `lookup({T})` to its `#[goka::processor(...)]` attribute"
)]
pub trait Lookups<T>: Processor + Lookupable<T> {}

/// `T` can be looked up by the processor: it is a shared table, with any key type.
pub trait Lookupable<T> {
    /// The changelog of the table, as data.
    const TOPIC: EdgeTopic;
}
impl<P: Processor, T: SharedTable> Lookupable<T> for P {
    const TOPIC: EdgeTopic = EdgeTopic::table::<T>(T::NAME, Some(owner::<T>()));
}

const fn owner<T: SharedTable>() -> &'static str {
    match T::HOME {
        Some(home) => home.group,
        None => panic!("a table that other groups read needs `Table::HOME`: set this constant"),
    }
}

/// `Self` is the type of the arguments of a visitor of the processor `P`. [`Running::visit`](crate::Running::visit)
/// calls the visitor for each row of the group table, each time with a clone of the arguments. With the attribute, a
/// method that is marked `#[visitor]` declares this.
// The trait is implemented for the arguments and not for the processor, so that rustc looks at the argument of `visit`
// and names it in errors.
#[diagnostic::on_unimplemented(
    message = "`{P}` has no visitor for `{Self}`",
    label = "no visitor takes `{Self}`",
    note = "add a method marked `#[visitor]` with the parameters `(&self, ctx: &mut Context<'_, Self>, args: {Self})`; only a processor on an `impl` block has visitors"
)]
pub trait Visits<P: Processor>: Clone + Send + Sync + 'static {
    /// The visitor, which is called for each row.
    const VISITOR: Visitor<P, Self>;
    /// The name of the visitor in errors. An empty string stands for the name of the processor.
    const NAME: &'static str = "";
    /// What happens if the visitor fails at a row: fail, skip or retry. A visit has no record, so a visit cannot write
    /// dead letters.
    const ON_ERROR: OnError = OnError::FAIL;
}
