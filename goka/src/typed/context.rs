//! The context of a handler: the current record, the table, and what the handler may write. Writes stay in [`Effects`]
//! until the handler returns `Ok`. Must not know Kafka, nor where rows are kept.

use std::{cell::Cell, time::SystemTime};

use crate::{
    base::{
        defer::Deferred,
        error::{Error, Result},
        index::EdgeIx,
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

/// The borrowed form of a topic's key, for example `str` for `String`.
pub(crate) type KeyOf<T> = <<T as Topic>::Key as Key>::Ref;
/// The type of a topic's values.
pub(crate) type ValueOf<T> = <T as Topic>::Value;

/// The context of a handler: the current record, the rows that the handler can read, and what it can write.
///
/// | to | call | declared by |
/// |---|---|---|
/// | see the record | [`key`](Self::key), [`timestamp`](Self::timestamp), [`headers`](Self::headers), [`topic`](Self::topic), [`partition`](Self::partition), [`offset`](Self::offset) | |
/// | read and write the row of the group table | [`value`](Self::value), [`set_value`](Self::set_value), [`delete`](Self::delete) | `table = T` |
/// | write to a stream | [`emit`](Self::emit), [`emit_with`](Self::emit_with), [`emit_tombstone`](Self::emit_tombstone) | `output(S)` |
/// | send to another key of this group | [`loopback`](Self::loopback), [`loopback_with`](Self::loopback_with) | `#[loopback]` |
/// | read tables of other groups | [`join`](Self::join), [`lookup`](Self::lookup) | `join(T)`, `lookup(T)` |
/// | finish the record later | [`defer`](Self::defer) | |
///
/// A method compiles only if the processor declares the edge in the last column. All writes of a handler take effect
/// together when the handler returns `Ok`; if the handler fails, goka drops them all.
///
/// A function that several processors share names the edges that it needs:
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

/// What a handler can read: the current record, the rows of the record's partition, and the tables of other groups.
pub(crate) struct AtHand<'a> {
    /// The logical name of the record's topic. `None` in a visitor: the record then stands for a row of the group
    /// table.
    topic: Option<&'static str>,
    record: Record<'a>,
    reads: Reads<'a>,
    is_broken: Cell<bool>,
}

impl<'a> AtHand<'a> {
    /// Makes the state for one call. `topic` is the logical name of the topic that the record is from, or `None` if
    /// the record stands for the row of a visitor.
    pub(crate) fn new(topic: Option<&'static str>, record: Record<'a>, reads: Reads<'a>) -> Self {
        AtHand {
            topic,
            record,
            reads,
            is_broken: Cell::new(false),
        }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.record.value
    }

    /// Whether goka failed to read its own local copies for this handler, so that another record would fail as well.
    /// The read that fails notes this, because the error that the handler returns does not show it: a handler may
    /// return the same variants of [`Error`] from an `Emitter` or a `View` that it uses.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }
}

/// Hides [`AtHand`] behind a name that explains an error: rustc prints the name of this trait when a program sends a
/// context to another thread. Without this trait, rustc would report each part of the context that is not `Send`,
/// under the name of that part.
trait UsedOnlyInsideItsHandler {
    fn topic(&self) -> Option<&'static str>;
    fn record(&self) -> &Record<'_>;
    fn rows(&self) -> &Rows;
    fn tables(&self) -> &Tables;
    fn is_broken(&self) -> &Cell<bool>;
}

impl UsedOnlyInsideItsHandler for AtHand<'_> {
    fn topic(&self) -> Option<&'static str> {
        self.topic
    }
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

/// Methods that read the current record. The values that they return borrow from the record and not from the context,
/// so `ctx.emit::<S>(ctx.key(), ..)` compiles.
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

    /// The key of the record; in a visitor, the key of the row.
    pub fn key(&self) -> &'a <P::Key as Key>::Ref {
        self.key
    }

    /// The logical name of the topic that the record is from; in a visitor, the logical name of the changelog.
    pub fn topic(&self) -> &'static str {
        let table = || P::GRAPH.iter().find(|edge| edge.kind == Kind::Table);
        let topic = self.at_hand.topic();
        topic.unwrap_or_else(|| table().map_or("", |edge| edge.topic.name))
    }

    /// The partition of the record; in a visitor, the partition of the row.
    pub fn partition(&self) -> i32 {
        self.at_hand.record().partition
    }

    /// The offset of the record in its partition; in a visitor, -1.
    pub fn offset(&self) -> i64 {
        self.at_hand.record().offset
    }

    /// The timestamp of the record, in milliseconds, set by the producer or by the broker, depending on how the topic
    /// is configured. For a record without a timestamp, this method returns the start of 1970; in a visitor, the time
    /// of the visit.
    pub fn timestamp(&self) -> SystemTime {
        from_ms(self.at_hand.record().timestamp)
    }

    /// The headers of the record; none in a visitor.
    pub fn headers(&self) -> Headers<'a> {
        self.at_hand.record().headers
    }

    pub(crate) fn payload(&self) -> Option<&'a [u8]> {
        self.at_hand.record().value
    }
}

impl<P: Processor> Context<'_, P> {
    /// Reads the row of the group table at the key of the record. Returns what this handler has already written, or
    /// otherwise what earlier handlers wrote; `None` if there is no row.
    ///
    /// # Errors
    /// The codec cannot decode the row, or goka cannot read the local copy.
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

    /// Writes the row of the group table at the key of the record: to the changelog, and to the local copy. A later
    /// call in the same handler replaces the value.
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

    /// Deletes the row of the group table at the key of the record, and writes a tombstone to the changelog. The row
    /// need not exist.
    ///
    /// # Errors
    /// Currently infallible; returns `Result` for forward compatibility.
    pub fn delete<T: Topic>(&mut self) -> Result
    where
        P: Persists<T>,
    {
        self.effects.set_row(Row::Delete);
        Ok(())
    }

    /// Reads the row of the joined table `T` at the key of the record, from this process's local copy of `T`. `None`
    /// if there is no row.
    ///
    /// The local copy follows the changelog of `T`, so two calls may return different values. The copy holds at least
    /// the rows that `T` had when the record's partition started. What the handler reads from the copy is not part of
    /// the transaction of the record.
    ///
    /// # Errors
    /// The codec cannot decode the row, goka cannot read the local copy, or goka no longer updates the local copy
    /// ([`Error::Stale`](crate::Error::Stale)).
    pub fn join<T: Topic>(&self) -> Result<Option<ValueOf<T>>>
    where
        P: Joins<T>,
    {
        let edge = const { EdgeIx::new(slot::<P>(Kind::Join, P::TOPIC.name)) };
        let (tables, partition) = (self.at_hand.tables(), self.at_hand.record().partition);
        let decode = |row: Option<&[u8]>| row.map(T::Codec::decode).transpose();
        let decoded = self.noted(tables.read(edge, partition, self.row_key(), decode))?;
        decoded.map_err(Error::decode(P::TOPIC.name))
    }

    /// Reads the row of the table `T` at `key`, which can be any key, from this process's local copy of the whole
    /// table. The copy is as up to date as the local copy that [`join`](Self::join) reads. `None` if there is no row.
    ///
    /// # Errors
    /// The errors of [`join`](Self::join).
    pub fn lookup<T: Topic>(&self, key: &KeyOf<T>) -> Result<Option<ValueOf<T>>>
    where
        P: Lookups<T>,
    {
        let edge = const { EdgeIx::new(slot::<P>(Kind::Lookup, P::TOPIC.name)) };
        let mut bytes = Vec::new();
        T::Key::encode(key, &mut bytes);
        let tables = self.at_hand.tables();
        let partition = T::PARTITIONER.partition(&bytes, tables.partitions(edge));
        let decode = |row: Option<&[u8]>| row.map(T::Codec::decode).transpose();
        let decoded = self.noted(tables.read(edge, partition, &bytes, decode))?;
        decoded.map_err(Error::decode(P::TOPIC.name))
    }

    /// Defers the record: goka commits it only after a call of [`Deferred::done`]. Use `defer` for work that continues
    /// outside the handler, such as a request to another system.
    ///
    /// Until `done` is called, goka holds back the writes of this handler and the writes of the handlers of later
    /// records of the partition: none of these writes is in Kafka or in the local copy. The handlers of the later
    /// records run meanwhile, and see what this handler wrote; goka bounds how many records wait. After a crash or a
    /// restart, goka handles the deferred record and the later records again; the earlier writes of their handlers had
    /// no effect.
    ///
    /// If the guard is dropped without a call of `done`, the record fails as if its handler had returned an error, and
    /// the policy for the handler applies. Unless this policy [ends the processor](crate::Policy::FAIL), goka handles
    /// the later records again.
    ///
    /// Deferring works only under at-least-once. Under exactly-once the record fails, because the partitions of a
    /// worker commit together.
    pub fn defer(&mut self) -> Deferred {
        self.effects.defer()
    }

    /// Writes a message to the output `S`, with the timestamp of the current record. Goka sends the message after the
    /// handler has returned `Ok`.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn emit<S: Topic>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result
    where
        P: Emits<S>,
    {
        self.emit_with::<S>(key, value, Meta::new())
    }

    /// Writes a message like [`emit`](Self::emit), with headers, a timestamp or a partition that [`Meta`] sets.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn emit_with<S: Topic>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>, meta: Meta) -> Result
    where
        P: Emits<S>,
    {
        let edge = const { EdgeIx::new(slot::<P>(Kind::Output, P::TOPIC.name)) };
        self.send::<S>(edge, P::TOPIC.name, key, Some(value), meta)
    }

    /// Writes a tombstone to the output `S`: a record with a key and no value. Handlers of the stream that take an
    /// `Option` get `None`. A compacted topic deletes the key.
    ///
    /// # Errors
    /// Currently infallible; returns `Result` for forward compatibility.
    pub fn emit_tombstone<S: Topic>(&mut self, key: &KeyOf<S>) -> Result
    where
        P: Emits<S>,
    {
        let edge = const { EdgeIx::new(slot::<P>(Kind::Output, P::TOPIC.name)) };
        self.send::<S>(edge, P::TOPIC.name, key, None, Meta::new())
    }

    /// Sends a message to another key of this group, through the topic `<group>-loop`, with the timestamp of the
    /// current record. The handler that is marked `#[loopback]` gets the message.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn loopback<S: Topic>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result
    where
        P: Loops<S>,
    {
        self.loopback_with::<S>(key, value, Meta::new())
    }

    /// Sends a message like [`loopback`](Self::loopback), with headers, a timestamp or a partition that [`Meta`] sets.
    ///
    /// # Errors
    /// The codec cannot encode the value.
    pub fn loopback_with<S: Topic>(
        &mut self,
        key: &KeyOf<S>,
        value: &ValueOf<S>,
        meta: Meta,
    ) -> Result
    where
        P: Loops<S>,
    {
        let edge = const { EdgeIx::new(slot::<P>(Kind::Loop, P::TOPIC.name)) };
        self.send::<S>(edge, P::TOPIC.name, key, Some(value), meta)
    }

    fn send<S: Topic>(
        &mut self,
        edge: EdgeIx,
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

    /// Returns `read`, the result of a read of goka's own local copies, and notes whether the read failed (see
    /// [`AtHand::is_broken`]).
    fn noted<R>(&self, read: Result<R>) -> Result<R> {
        if read.is_err() {
            self.at_hand.is_broken().set(true);
        }
        read
    }

    /// The key of the row: the bytes of the record's key.
    fn row_key(&self) -> &[u8] {
        self.at_hand.record().key.unwrap_or_default()
    }
}
