//! Streams in a test: writes records, and reads what was emitted. Must not know processes.

use std::{any::Any, sync::Arc, time::SystemTime};

use crate::{
    base::{
        config::Config,
        kind::Kind,
        record::{Meta, from_ms},
    },
    emitter::Emitter,
    kafka::Outbox,
    sim::kafka::{Mailbox, TEST},
    tester::cluster::Tester,
    typed::{
        codec::{Codec, Prepare, Role},
        context::{KeyOf, ValueOf},
        key::Key,
        processor::Processor,
        topic::Stream,
    },
};

/// A record that a processor emitted, from [`Tester::emitted`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Emitted<K, V> {
    /// The key of the record.
    pub key: K,
    /// The value of the record.
    pub value: V,
    /// The headers of the record, in order; the value of a header may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The partition of the record.
    pub partition: i32,
    /// The timestamp of the record.
    pub timestamp: SystemTime,
}

impl<K, V> Emitted<K, V> {
    /// The value of the last header with this name; `None` if there is no such header, or if its value is null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter().rev();
        headers.find(|(n, _)| n == name)?.1.as_deref()
    }
}

impl Tester {
    /// Writes a message to a stream, as an [`Emitter`] does. The processors handle the message at the next query of
    /// the tester, not earlier.
    ///
    /// # Panics
    /// If no processor of this tester reads or writes the stream; if a processor declares the stream with another
    /// codec or partitioner; or if the value cannot be encoded.
    #[track_caller]
    pub fn emit<S: Stream>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>) {
        self.emit_with::<S>(key, value, Meta::new());
    }

    /// Writes a message as [`emit`](Self::emit) does, with headers, a timestamp or a partition.
    ///
    /// # Panics
    /// As [`emit`](Self::emit), and if the topic does not have the partition.
    #[track_caller]
    pub fn emit_with<S: Stream>(&mut self, key: &KeyOf<S>, value: &ValueOf<S>, meta: Meta) {
        self.topics.stream::<S>(S::NAME);
        let mut bytes = Vec::new();
        if let Err(error) = S::Codec::encode(value, &mut bytes) {
            panic!("cannot encode a value of `{}`: {error}", S::NAME);
        }
        let key = bytes_of::<S::Key>(key);
        self.append(S::NAME, key, Some(bytes), meta);
    }

    /// Writes a tombstone to a stream: a record with this key and without a value.
    ///
    /// # Panics
    /// As [`emit`](Self::emit).
    #[track_caller]
    pub fn tombstone<S: Stream>(&mut self, key: &KeyOf<S>) {
        self.topics.stream::<S>(S::NAME);
        self.append(S::NAME, bytes_of::<S::Key>(key), None, Meta::new());
    }

    /// Writes a message to an input of `P`. The input is named by its topic. This is for inputs that the processor
    /// names by a literal, because they have no type that a test could name. The codec is that of the input.
    ///
    /// # Panics
    /// If `P` is not in this tester, if `P` has no input of this name, or if the input has another value type.
    #[track_caller]
    pub fn emit_to<P: Processor>(
        &mut self,
        topic: &str,
        key: &<P::Key as Key>::Ref,
        value: &impl Any,
    ) {
        self.emit_to_with::<P>(topic, key, value, Meta::new());
    }

    /// Writes a message as [`emit_to`](Self::emit_to) does, with headers, a timestamp or a partition.
    ///
    /// # Panics
    /// As [`emit_to`](Self::emit_to), and if the topic does not have the partition.
    #[track_caller]
    pub fn emit_to_with<P: Processor>(
        &mut self,
        topic: &str,
        key: &<P::Key as Key>::Ref,
        value: &impl Any,
        meta: Meta,
    ) {
        self.group::<P>();
        let inputs = || P::GRAPH.iter().filter(|edge| edge.kind == Kind::Input);
        let Some(edge) = inputs().find(|edge| edge.topic.name == topic) else {
            let inputs: Vec<_> = inputs().map(|edge| edge.topic.name).collect();
            panic!(
                "group `{}` has no input `{topic}`. Its inputs are: `{}`",
                P::GROUP,
                inputs.join("`, `")
            );
        };
        let name = edge.topic.name;
        let value = edge.topic.typing.encode(name, value);
        let value = value.unwrap_or_else(|error| panic!("{error}"));
        self.append(name, bytes_of::<P::Key>(key), Some(value), meta);
    }

    #[track_caller]
    fn append(
        &mut self,
        topic: &'static str,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        meta: Meta,
    ) {
        let partitions = self.world.partitions(topic);
        let partition = match (meta.partition, &key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => self.topics.declared[topic]
                .partitioner
                .partition(key, partitions),
            (None, None) => {
                self.turn += 1;
                self.turn % partitions
            }
        };
        assert!(
            (0..partitions).contains(&partition),
            "topic `{topic}` has no partition {partition}, because it has {partitions} partitions, 0 to {}",
            partitions - 1
        );
        let (key, value) = (key.as_deref(), value.as_deref());
        let (timestamp, headers) = (meta.timestamp, &meta.headers);
        let written = self
            .world
            .append_with(topic, partition, (key, value), timestamp, headers);
        self.expect(written);
    }

    /// Creates an emitter of a stream, for services under test. The emitter can be used on any thread. Its deliveries
    /// are ready immediately; its messages are written to the stream at the next query of the tester.
    ///
    /// # Panics
    /// As [`emit`](Self::emit).
    #[track_caller]
    pub fn emitter<S: Stream>(&mut self) -> Emitter<S> {
        self.topics.stream::<S>(S::NAME);
        let known = self
            .mailboxes
            .iter()
            .find(|mailbox| mailbox.topic == S::NAME);
        let mailbox = match known {
            Some(mailbox) => mailbox.clone(),
            None => {
                let mailbox = Arc::new(Mailbox::new(S::NAME, self.ends(S::NAME)));
                self.mailboxes.push(mailbox.clone());
                mailbox
            }
        };
        let config = Config::new();
        let prepare = Prepare::new(S::NAME, Role::Emitting, &config);
        self.expect(prepare.by(<S::Codec as Codec<S::Value>>::prepare));
        Emitter::of(Outbox::in_memory(mailbox))
    }

    /// Writes the messages of all emitters to their streams.
    pub(super) fn collect(&mut self) {
        for mailbox in &self.mailboxes {
            let sent = mailbox.collect();
            for record in &sent {
                let bytes = (record.key.as_deref(), record.value.as_deref());
                let at = Some(record.timestamp);
                let (topic, partition) = (&mailbox.topic, record.partition);
                let written = self
                    .world
                    .append_with(topic, partition, bytes, at, &record.headers);
                self.expect(written);
            }
            mailbox.set_ends(self.ends(&mailbox.topic));
        }
    }

    fn ends(&self, topic: &str) -> Vec<i64> {
        let partitions = 0..self.world.partitions(topic);
        let end = |partition| self.expect(self.world.end(topic, partition));
        partitions.map(end).collect()
    }

    /// All records that the processors have written to a stream so far, oldest first. Records that the test wrote are
    /// left out. Runs everything first.
    ///
    /// # Panics
    /// If no processor of this tester reads or writes the stream; if a processor declares the stream with another
    /// codec or partitioner; if a handler failed; or if a record does not decode.
    #[track_caller]
    pub fn emitted<S: Stream>(&mut self) -> Vec<Emitted<S::Key, S::Value>> {
        self.topics.stream::<S>(S::NAME);
        self.run_well();
        let mut all = Vec::new();
        for partition in 0..self.world.partitions(S::NAME) {
            let records = self.expect(self.world.history(S::NAME, partition));
            all.extend(records.into_iter().map(|record| (record, partition)));
        }
        all.retain(|(record, _)| *record.by != *TEST);
        all.sort_by_key(|(record, _)| record.moment);
        let emitted = all.iter().map(|(record, partition)| {
            let place = format!(
                "`{}`, partition {partition}, offset {}",
                S::NAME,
                record.offset
            );
            let key = S::Key::decode(record.key.as_deref().unwrap_or_default());
            let value = S::Codec::decode(record.value.as_deref().unwrap_or_default());
            Emitted {
                key: key
                    .unwrap_or_else(|error| panic!("the key of {place} does not decode: {error}")),
                value: value.unwrap_or_else(|error| {
                    panic!("the value of {place} does not decode: {error}")
                }),
                headers: record.headers.clone(),
                partition: *partition,
                timestamp: from_ms(record.timestamp),
            }
        });
        emitted.collect()
    }

    /// The current virtual time. Virtual time starts at the beginning of 2026.
    pub fn now(&self) -> SystemTime {
        from_ms(self.world.wall_ms())
    }
}

/// The bytes of a key; `None` for the null key.
pub(super) fn bytes_of<K: Key>(key: &K::Ref) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    K::encode(key, &mut bytes);
    (!K::IS_NULL).then_some(bytes)
}
