//! Reads and writes topics with a plain client, without goka.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, Headers as _, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

use crate::{DEADLINE, broker};

/// A record that was read from a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's partition.
    pub partition: i32,
    /// The record's offset in its partition.
    pub offset: i64,
    /// Timestamp in milliseconds since 1970; `None` if the record has none.
    pub timestamp: Option<i64>,
    /// The key; `None` is a null key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers in their order. The value of a header may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The key as text.
    pub fn key_text(&self) -> &str {
        text("key", self.key.as_deref())
    }

    /// The value as text.
    pub fn value_text(&self) -> &str {
        text("value", self.value.as_deref())
    }
}

/// A timestamp one hour ago, in milliseconds since 1970. It must be within `retention.ms`: half a minute after its
/// start, the broker deletes records that are older.
pub fn an_hour_ago() -> i64 {
    let then = SystemTime::now() - Duration::from_secs(3600);
    let since_1970 = then.duration_since(SystemTime::UNIX_EPOCH);
    since_1970
        .expect("the clock must be after 1970")
        .as_millis() as i64
}

fn text<'a>(what: &str, bytes: Option<&'a [u8]>) -> &'a str {
    let bytes = bytes.unwrap_or_else(|| panic!("the {what} is null"));
    std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("the {what} {bytes:?} is not UTF-8"))
}

/// A record to be written.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The key; `None` is a null key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The partition. If it is `None`, the record goes to the partition that Kafka's Java clients choose for its key
    /// (murmur2).
    pub partition: Option<i32>,
    /// Timestamp in milliseconds since 1970; `None` is the current time.
    pub timestamp: Option<i64>,
    /// The headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A record with a key and a value, and defaults for everything else.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Message {
        Message {
            key: Some(key.into()),
            value: Some(value.into()),
            ..Message::default()
        }
    }

    /// A tombstone for a key.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Message {
        Message {
            key: Some(key.into()),
            ..Message::default()
        }
    }
}

/// Writes records, and returns once the broker has acknowledged all of them. Records with the same key keep their
/// order.
pub fn produce(address: &str, topic: &str, messages: impl IntoIterator<Item = Message>) {
    let delivered = Delivered::default();
    let taken = Arc::clone(&delivered.0);
    let producer: ThreadedProducer<Delivered> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create_with_context(delivered)
        .unwrap_or_else(|error| panic!("cannot connect to `{address}`: {error}"));
    let mut sent = 0;
    for message in messages {
        let mut record = message.record(topic);
        while let Err((error, back)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(full, "cannot write to `{topic}`: {error}");
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        sent += 1;
    }
    let flushed = producer.flush(DEADLINE);
    flushed.unwrap_or_else(|error| panic!("cannot write to `{topic}`: {error}"));
    assert_eq!(
        taken.load(Ordering::Relaxed),
        sent,
        "the broker acknowledges all records for `{topic}`"
    );
}

impl Message {
    fn record<'a>(&'a self, topic: &'a str) -> BaseRecord<'a, [u8], [u8]> {
        let mut record = BaseRecord::to(topic);
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record.partition = self.partition;
        record.timestamp = self.timestamp;
        if !self.headers.is_empty() {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &self.headers {
                let value = Some(value);
                headers = headers.insert(Header { key, value });
            }
            record.headers = Some(headers);
        }
        record
    }
}

#[derive(Clone, Default)]
struct Delivered(Arc<AtomicUsize>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sets a group's committed offset in partition 0 of a topic, as an operator would do it. The group must have no
/// members.
pub fn commit_offset(address: &str, group: &str, topic: &str, offset: i64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", group)
        .create()
        .unwrap_or_else(|error| panic!("cannot connect to `{address}`: {error}"));
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, 0, Offset::Offset(offset))
        .unwrap_or_else(|error| panic!("{offset} is not a valid offset: {error}"));
    let committed = consumer.commit(&offsets, CommitMode::Sync);
    committed.unwrap_or_else(|error| panic!("cannot set the offset of `{group}`: {error}"));
}

/// Returns all committed records that a topic holds now, sorted by partition and offset. Panics if the topic does not
/// exist.
pub fn read_topic(address: &str, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    visit_topic(address, topic, |record| records.push(record));
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Reads a topic like [`read_topic`], but passes the records to `visit` one by one. This is for topics that are larger
/// than memory. Records of the same partition are passed in the order of their offsets.
pub fn visit_topic(address: &str, topic: &str, mut visit: impl FnMut(Record)) {
    let (consumer, partitions) = reader(address, topic);
    let mut ended = HashSet::new();
    read(&consumer, topic, |event| {
        match event {
            Event::Record(record) => visit(record),
            Event::End(partition) => {
                ended.insert(partition);
            }
        }
        ended.len() == partitions
    });
}

/// Reads a topic from its start, and continues while the topic grows, until `last` returns true for a record. Returns
/// all records that were read. Records of different partitions may come in any order.
pub fn read_until(
    address: &str,
    topic: &str,
    mut last: impl FnMut(&Record) -> bool,
) -> Vec<Record> {
    let (consumer, _) = reader(address, topic);
    let mut records = Vec::new();
    read(&consumer, topic, |event| match event {
        Event::End(_) => false,
        Event::Record(record) => {
            let done = last(&record);
            records.push(record);
            done
        }
    });
    records
}

/// Waits until a topic of the broker under test has this number of records, and returns all its records. Reads the
/// topic on another thread, because handlers may need the caller's runtime at the same time.
pub async fn wait_for_records(topic: String, records: usize) -> Vec<Record> {
    let mut seen = 0;
    let enough = move |_: &Record| {
        seen += 1;
        seen >= records
    };
    wait_until(topic, enough).await
}

/// Waits until each of these keys has had the expected value in a topic of the broker under test, and returns all
/// records of the topic. This is for rows that may be repeated, so that the number of records is not known.
pub async fn wait_for_values(topic: String, mut expected: BTreeMap<String, String>) -> Vec<Record> {
    let all_seen = move |record: &Record| {
        let value = expected.get(record.key_text());
        // The undo of a first row is a tombstone.
        if value.is_some_and(|value| record.value.as_deref() == Some(value.as_bytes())) {
            expected.remove(record.key_text());
        }
        expected.is_empty()
    };
    wait_until(topic, all_seen).await
}

async fn wait_until(
    topic: String,
    last: impl FnMut(&Record) -> bool + Send + 'static,
) -> Vec<Record> {
    let read = move || {
        let address = broker().address();
        read_until(address, &topic, last);
        read_topic(address, &topic)
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.expect("the consumer has a topic")
}

enum Event {
    Record(Record),
    /// The end of the partition with this number was reached.
    End(i32),
}

fn reader(address: &str, topic: &str) -> (BaseConsumer, usize) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        // librdkafka requires a group id, but no offset is committed for this group.
        .set("group.id", "goka-tests-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("fetch.queue.backoff.ms", "2")
        .create()
        .unwrap_or_else(|error| panic!("cannot connect to `{address}`: {error}"));
    let metadata = consumer
        .fetch_metadata(Some(topic), DEADLINE)
        .unwrap_or_else(|error| panic!("cannot query `{topic}`: {error}"));
    let mut all = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("the start offset must be a number");
    }
    assert!(
        all.count() > 0,
        "there is no topic `{topic}` at `{address}`"
    );
    consumer
        .assign(&all)
        .unwrap_or_else(|error| panic!("cannot read `{topic}`: {error}"));
    (consumer, all.count())
}

/// Passes events to `done` until `done` returns true. Panics if no record arrives within the deadline.
fn read(consumer: &BaseConsumer, topic: &str, mut done: impl FnMut(Event) -> bool) {
    let mut last_record = Instant::now();
    loop {
        let left = DEADLINE.saturating_sub(last_record.elapsed());
        assert!(
            !left.is_zero(),
            "waited {DEADLINE:?} for another record of `{topic}`"
        );
        let event = match consumer.poll(left) {
            None => continue,
            Some(Ok(message)) => {
                last_record = Instant::now();
                Event::Record(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp: message.timestamp().to_millis(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers(&message),
                })
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Event::End(partition),
            // librdkafka reports a lost connection, and reconnects by itself. The deadline limits how long reconnecting
            // may take.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_passing) => continue,
            Some(Err(error)) => panic!("cannot read `{topic}`: {error}"),
        };
        if done(event) {
            return;
        }
    }
}

/// Whether the error will pass: a connection was lost, or a broker has just started.
fn is_passing(error: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, LeaderNotAvailable, NotLeaderForPartition,
        OperationTimedOut, RequestTimedOut, UnknownPartition, UnknownTopicOrPartition,
    };
    matches!(
        error,
        AllBrokersDown
            | BrokerTransportFailure
            | LeaderNotAvailable
            | NotLeaderForPartition
            | OperationTimedOut
            | RequestTimedOut
            | UnknownPartition
            | UnknownTopicOrPartition
    )
}

fn headers(message: &rdkafka::message::BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    headers
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect()
}
