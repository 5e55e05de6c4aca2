//! A producer to a fixed list of topics: of a member, or of an emitter. Must not know who sends.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _, PurgeConfig},
};

use super::{
    SendError,
    cluster::{ANSWER, Connection},
    native::{Kind, Polled, Produced, Topic},
    settings::Role,
};
use crate::{Error, record::OwnedHeaders};

pub(super) struct Producer {
    // Before the client, which must be dropped last.
    targets: Vec<Target>,
    in_flight: AtomicUsize,
    fatal: Mutex<Option<String>>,
    client: Polled<BaseProducer<super::context::Context>>,
}

struct Target {
    topic: Topic,
    physical: String,
    partitions: i32,
}

/// A record to be produced to a target.
pub(super) struct ToSend<'a> {
    pub(super) target: usize,
    pub(super) partition: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
    pub(super) headers: &'a OwnedHeaders,
    /// Comes back in its report.
    pub(super) opaque: usize,
}

/// What became of a record: its offset, or why it was not delivered.
pub(super) struct Delivered {
    pub(super) opaque: usize,
    pub(super) partition: i32,
    pub(super) result: Result<i64, Box<str>>,
}

impl Producer {
    /// Opens a producer to these topics (logical names), which must exist.
    pub(super) fn open(
        connection: &Connection,
        role: Role,
        client: impl Into<String>,
        targets: &[String],
    ) -> Result<Self, Error> {
        let opened: BaseProducer<_> = connection.open(role, client, |_| {})?;
        let client = Polled::producer(opened)?;
        let mut topics = Vec::with_capacity(targets.len());
        for logical in targets {
            let physical = connection.names.topic(logical)?;
            let native = client.client().client();
            // Asked for now: the first record would wait for it.
            let partitions = partitions(native, &physical)?;
            // SAFETY: the client is alive, and a field that is dropped after its topics.
            let topic = unsafe { Topic::new(native.native_ptr(), &physical)? };
            topics.push(Target {
                topic,
                physical,
                partitions,
            });
        }
        Ok(Producer {
            targets: topics,
            in_flight: AtomicUsize::new(0),
            fatal: Mutex::default(),
            client,
        })
    }

    pub(super) fn partitions(&self, target: usize) -> i32 {
        self.targets[target].partitions
    }

    pub(super) fn physical(&self, target: usize) -> &str {
        &self.targets[target].physical
    }

    pub(super) fn send(&self, record: &ToSend<'_>) -> Result<(), SendError> {
        let target = &self.targets[record.target];
        // Before it is sent: its report may come on another thread at once.
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let sent = match record.partition {
            // For librdkafka, a negative one is its own choice.
            ..0 => Err(RDKafkaErrorCode::UnknownPartition),
            _ => self.client.produce(&Produced {
                topic: &target.topic,
                partition: record.partition,
                key: record.key,
                value: record.value,
                timestamp: record.timestamp,
                headers: record.headers,
                opaque: record.opaque,
            }),
        };
        let Err(code) = sent else {
            return Ok(());
        };
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if code == RDKafkaErrorCode::QueueFull {
            return Err(SendError::Full);
        }
        let physical = &target.physical;
        let doing = format!(
            "write to topic `{physical}`, partition {}",
            record.partition
        );
        let why = match code {
            RDKafkaErrorCode::MessageSizeTooLarge => {
                let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
                let size = len(record.key) + len(record.value);
                format!(
                    "the record has {size} bytes, more than `message.max.bytes` allows: raise it \
                     (`Config::set_producer`), and `max.message.bytes` of the topic with it"
                )
            }
            RDKafkaErrorCode::Fatal => match self.client.client().client().fatal_error() {
                Some((code, reason)) => format!("{code}: {reason}"),
                None => code.to_string(),
            },
            RDKafkaErrorCode::UnknownPartition => {
                format!("the topic has {} partitions only", target.partitions)
            }
            _ => code.to_string(),
        };
        Err(SendError::Refused(Error::kafka(doing, why)))
    }

    /// Waits at most `wait` for delivery reports, and gives all there are to `on`.
    pub(super) fn serve(&self, wait: Duration, on: &mut dyn FnMut(Delivered)) {
        let until = Instant::now() + wait;
        let mut wait = wait;
        while let Some(event) = self.client.poll(wait) {
            match event.kind() {
                Kind::Delivered(messages) => {
                    for message in messages {
                        self.in_flight.fetch_sub(1, Ordering::Relaxed);
                        let result = match message.error() {
                            None => Ok(message.offset()),
                            Some(code) => Err(undelivered(code)),
                        };
                        on(Delivered {
                            opaque: message.opaque(),
                            partition: message.partition(),
                            result,
                        });
                    }
                    wait = Duration::ZERO;
                    continue;
                }
                Kind::Failed(failure) => {
                    let context = self.client.client().context();
                    context.complain(&failure.code.to_string(), &failure.reason);
                    if failure.fatal {
                        let why = format!("{}: {}", failure.code, failure.reason);
                        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    }
                }
                _ => {}
            }
            if !wait.is_zero() {
                wait = until.saturating_duration_since(Instant::now());
            }
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Why this producer can write nothing any more. Told once.
    pub(super) fn fatal(&self) -> Option<Error> {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        let why = fatal.take()?;
        Some(Error::kafka("write any record with this producer", why))
    }

    pub(super) fn purge(&self) {
        let client = self.client.client();
        client.purge(PurgeConfig::default().queue().inflight());
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let left = self.in_flight();
        if left > 0 {
            tracing::warn!(
                target: "goka::kafka",
                "a producer was closed before {left} records were acknowledged"
            );
        }
    }
}

/// Partitions of a topic that must exist.
pub(super) fn partitions(
    client: &rdkafka::client::Client<super::context::Context>,
    physical: &str,
) -> Result<i32, Error> {
    let doing = || format!("ask for topic `{physical}`");
    let metadata = client
        .fetch_metadata(Some(physical), ANSWER)
        .map_err(|error| Error::kafka(doing(), error))?;
    let missing = || {
        Error::Topic(format!(
            "topic `{physical}` does not exist: create it, or let goka do so with \
             `Config::create_stream`"
        ))
    };
    let topic = metadata.topics().first().ok_or_else(missing)?;
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {
            i32::try_from(topic.partitions().len()).map_err(|error| Error::kafka(doing(), error))
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(missing())
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(Error::kafka(
            doing(),
            format!("the broker denies it; grant the right Describe on topic `{physical}`"),
        )),
        Some(code) => Err(Error::kafka(doing(), code)),
    }
}

fn undelivered(code: RDKafkaErrorCode) -> Box<str> {
    let cure = match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            "raise `max.message.bytes` of the topic"
        }
        RDKafkaErrorCode::MessageTimedOut => "the broker did not take it in `message.timeout.ms`",
        RDKafkaErrorCode::TopicAuthorizationFailed => "grant the right Write on the topic",
        RDKafkaErrorCode::InvalidRecord => {
            "the topic refuses it; one that is compacted takes no record without a key"
        }
        RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => "it was given up",
        _ => return code.to_string().into(),
    };
    format!("{code}: {cure}").into()
}
