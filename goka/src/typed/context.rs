//! What a handler may do with the record at hand. What it writes stays in [`Effects`] until it
//! returns `Ok`. Must not know Kafka or where rows are kept.

use std::{cell::Cell, time::SystemTime};

use crate::{
    base::{
        defer::Deferred,
        error::{Error, Result},
        kind::Kind,
        record::{Headers, Meta, Record, from_ms},
    },
    engine::{
        effects::{Effects, Row},
        program::Reads,
        replica::tables::Tables,
        table::rows::Rows,
    },
    typed::{
        codec::Codec,
        edge::{Emits, Joins, Lookups, Loops, Persists},
        graph::slot,
        key::Key,
        processor::Processor,
        topic::Topic,
    },
};

/// The borrowed form of a topic's key: `str` for `String`.
pub(crate) type KeyOf<T> = <<T as Topic>::Key as Key>::Ref;
/// The value of a topic.
pub(crate) type ValueOf<T> = <T as Topic>::Value;

/// The record at hand, and the edges that its processor declares.
///
/// What a handler does takes effect when it returns `Ok`, and then as a whole: an error drops it.
/// Helpers that several processors share name the edges they need:
///
/// ```
/// use goka::{Context, Processor, graph::{Emits, Persists}};
///
/// #[goka::table(group = "click-count", value = i64)]
/// struct Clicks;
/// #[goka::stream("user-warnings", value = String)]
/// struct Warnings;
///
/// fn bump<P>(ctx: &mut Context<'_, P>) -> goka::Result
/// where
///     P: Processor<Key = String> + Persists<Clicks> + Emits<Warnings>,
/// {
///     let clicks = ctx.value()?.unwrap_or(0) + 1;
///     if clicks == 1_000 {
///         ctx.emit::<Warnings>(ctx.key(), &"enough".to_owned())?;
///     }
///     ctx.set_value(&clicks)
/// }
/// ```
pub struct Context<'a, P: Processor> {
    key: &'a <P::Key as Key>::Ref,
    effects: &'a mut Effects,
    at_hand: &'a dyn UsedOnlyInsideItsHandler,
}

/// The record that is handled, the rows of its partition, and the tables of other groups.
pub(crate) struct AtHand<'a> {
    record: Record<'a>,
    reads: Reads<'a>,
    is_broken: Cell<bool>,
}

impl<'a> AtHand<'a> {
    pub(crate) fn new(record: Record<'a>, reads: Reads<'a>) -> Self {
        AtHand {
            record,
            reads,
            is_broken: Cell::new(false),
        }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.record.value
    }

    /// Whether goka could not read its own local copies for this handler: another record would fail as well. Noted
    /// where it happens, because a handler may fail with the same variants of [`Error`], which it got from an
    /// `Emitter` or a `View` of its own.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }
}

/// [`AtHand`], which stays on its thread: this name is what rustc says to who sends a context to
/// another, in one error. (Without it each part that cannot be sent would be one, by its own name.)
trait UsedOnlyInsideItsHandler {
    fn record(&self) -> &Record<'_>;
    fn rows(&self) -> &Rows;
    fn tables(&self) -> &Tables;
    fn is_broken(&self) -> &Cell<bool>;
}

impl UsedOnlyInsideItsHandler for AtHand<'_> {
    fn record(&self) -> &Record<'_> {
        &self.record
    }
    fn rows(&self) -> &Rows {
        self.reads.rows
    }
    fn tables(&self) -> &Tables {
        self.reads.tables
    }
    fn is_broken(&self) -> &Cell<bool> {
        &self.is_broken
    }
}

/// The record. What is borrowed from it outlives the borrow of the context, so that
/// `ctx.emit::<S>(ctx.key(), ..)` compiles.
impl<'a, P: Processor> Context<'a, P> {
    pub(crate) fn new(
        at_hand: &'a AtHand<'_>,
        key: &'a <P::Key as Key>::Ref,
        effects: &'a mut Effects,
    ) -> Self {
        Context {
            key,
            effects,
            at_hand,
        }
    }

    /// The name of the group.
    pub fn group(&self) -> &'static str {
        P::GROUP
    }

    /// The key of the record, or of the row that is visited.
    pub fn key(&self) -> &'a <P::Key as Key>::Ref {
        self.key
    }

    /// The logical name of the topic that the record came from; that of the table in a visitor.
    pub fn topic(&self) -> &'static str {
        P::GRAPH
            .get(self.at_hand.record().edge)
            .map_or("", |edge| edge.topic.name)
    }

    /// The partition of the record.
    pub fn partition(&self) -> i32 {
        self.at_hand.record().partition
    }

    /// The offset of the record in its partition; -1 in a visitor.
    pub fn offset(&self) -> i64 {
        self.at_hand.record().offset
    }

    /// When the record was made, as its producer or its broker says; 1970 if neither does. In a
    /// visitor, the time of the visit.
    pub fn timestamp(&self) -> SystemTime {
        from_ms(self.at_hand.record().timestamp)
    }

    /// The headers of the record.
    pub fn headers(&self) -> Headers<'a> {
        self.at_hand.record().headers
    }

    pub(crate) fn payload(&self) -> Option<&'a [u8]> {
        self.at_hand.record().value
    }
}

impl<P: Processor> Context<'_, P> {
    /// The row of the group table at the key of the record, as this handler has left it.
    ///
    /// # Errors
    /// The row does not decode, or the local copy cannot be read.
    pub fn value<T: Topic>(&self) -> Result<Option<ValueOf<T>>>
    where
        P: Persists<T>,
    {
        let decode = |row: Option<&[u8]>| row.map(T::Codec::decode).transpose();
        let decoded = match self.effects.row() {
            Row::Untouched => self.noted(self.at_hand.rows().read(self.row_key(), decode))?,
            Row::Put(range) => decode(Some(self.effects.bytes(range))),
            Row::Delete => Ok(None),
        };
        decoded.map_err(Error::decode(P::TOPIC.name))
    }

    /// Writes the row of the group table at the key of the record.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn set_value<T: Topic>(&mut self, value: &ValueOf<T>) -> Result
    where
        P: Persists<T>,
    {
        let encoded = self.effects.encode(|out| T::Codec::encode(value, out));
        let row = encoded.map_err(Error::encode(P::TOPIC.name))?;
        self.effects.set_row(Row::Put(row));
        Ok(())
    }

    /// Deletes the row of the group table at the key of the record; there may be none.
    ///
    /// # Errors
    /// None so far.
    pub fn delete<T: Topic>(&mut self) -> Result
    where
        P: Persists<T>,
    {
        self.effects.set_row(Row::Delete);
        Ok(())
    }

    /// The row of `T` at the key of the record, in this process's copy of the table: newer than or
    /// as new as it was when the processor started, and maybe newer at the next call. It is not part
    /// of what is committed with the record.
    ///
    /// # Errors
    /// The row does not decode, or the copy cannot be read or is no longer kept up to date.
    pub fn join<T: Topic>(&self) -> Result<Option<ValueOf<T>>>
    where
        P: Joins<T>,
    {
        let edge = const { slot::<P>(Kind::Join, P::TOPIC.name) };
        let (tables, partition) = (self.at_hand.tables(), self.at_hand.record().partition);
        let decode = |row: Option<&[u8]>| row.map(T::Codec::decode).transpose();
        let decoded = self.noted(tables.read(edge, partition, self.row_key(), decode))?;
        decoded.map_err(Error::decode(P::TOPIC.name))
    }

    /// The row of `T` at any key, in this process's copy of the whole table: as
    /// [`join`](Self::join) otherwise.
    ///
    /// # Errors
    /// As `join`.
    pub fn lookup<T: Topic>(&self, key: &KeyOf<T>) -> Result<Option<ValueOf<T>>>
    where
        P: Lookups<T>,
    {
        let edge = const { slot::<P>(Kind::Lookup, P::TOPIC.name) };
        let mut bytes = Vec::new();
        T::Key::encode(key, &mut bytes);
        let tables = self.at_hand.tables();
        let partition = T::PARTITIONER.partition(&bytes, tables.partitions(edge));
        let decode = |row: Option<&[u8]>| row.map(T::Codec::decode).transpose();
        let decoded = self.noted(tables.read(edge, partition, &bytes, decode))?;
        decoded.map_err(Error::decode(P::TOPIC.name))
    }

    /// Holds back what this handler does, and everything behind it in its partition, until the
    /// guard is [`done`](Deferred::done): for work that goes on elsewhere, for example a message
    /// to another system. Nothing of it has reached Kafka or the local copy before, so a crash or a
    /// restart handles the record again, and no later one twice. Later records of the partition are
    /// handled meanwhile, and see what this one wrote; how many is bounded.
    ///
    /// A guard that is dropped without `done` fails the record, as an error of its handler does. Unless
    /// that [ends the processor](crate::Policy::FAIL), what is behind the record is handled again.
    /// At-least-once only: under exactly-once the record fails, since all partitions of a worker are
    /// committed together there.
    pub fn defer(&mut self) -> Deferred {
        self.effects.defer()
    }

    /// Sends a message to a declared output, with the timestamp of the record at hand.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn emit<S: Topic>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result
    where
        P: Emits<S>,
    {
        self.emit_with::<S>(key, value, Meta::new())
    }

    /// [`emit`](Self::emit), with headers, a timestamp or a partition of its own.
    ///
    /// # Errors
    /// As `emit`.
    pub fn emit_with<S: Topic>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>, meta: Meta) -> Result
    where
        P: Emits<S>,
    {
        let edge = const { slot::<P>(Kind::Output, P::TOPIC.name) };
        self.send::<S>(edge, P::TOPIC.name, key, Some(value), meta)
    }

    /// Says on a declared output that there is no value for the key any more: handlers of it that take
    /// an `Option` get `None`, and a compacted topic forgets the key.
    ///
    /// # Errors
    /// None so far.
    pub fn emit_tombstone<S: Topic>(&mut self, key: &KeyOf<S>) -> Result
    where
        P: Emits<S>,
    {
        let edge = const { slot::<P>(Kind::Output, P::TOPIC.name) };
        self.send::<S>(edge, P::TOPIC.name, key, None, Meta::new())
    }

    /// Sends a message to any key of this very group, with the timestamp of the record at hand.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn loopback<S: Topic>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result
    where
        P: Loops<S>,
    {
        self.loopback_with::<S>(key, value, Meta::new())
    }

    /// [`loopback`](Self::loopback), with headers, a timestamp or a partition of its own.
    ///
    /// # Errors
    /// As `loopback`.
    pub fn loopback_with<S: Topic>(
        &mut self,
        key: &KeyOf<S>,
        value: &ValueOf<S>,
        meta: Meta,
    ) -> Result
    where
        P: Loops<S>,
    {
        let edge = const { slot::<P>(Kind::Loop, P::TOPIC.name) };
        self.send::<S>(edge, P::TOPIC.name, key, Some(value), meta)
    }

    fn send<S: Topic>(
        &mut self,
        edge: usize,
        topic: &str,
        key: &KeyOf<S>,
        value: Option<&ValueOf<S>>,
        meta: Meta,
    ) -> Result {
        let encoded = self.effects.encode(|out| {
            S::Key::encode(key, out);
            Ok::<(), Error>(())
        })?;
        let key = (!S::Key::IS_NULL).then_some(encoded);
        let mut encode = |value| self.effects.encode(|out| S::Codec::encode(value, out));
        let encoded = value.map(&mut encode).transpose();
        let value = encoded.map_err(Error::encode(topic))?;
        self.effects.emit(edge, key, value, meta);
        Ok(())
    }

    /// Notes whether a read of goka's own local copies failed, see [`AtHand::is_broken`].
    fn noted<R>(&self, read: Result<R>) -> Result<R> {
        if read.is_err() {
            self.at_hand.is_broken().set(true);
        }
        read
    }

    /// Where the row is: the bytes of the key, as they came.
    fn row_key(&self) -> &[u8] {
        self.at_hand.record().key.unwrap_or_default()
    }
}
