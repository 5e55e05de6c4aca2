//! A producer to a fixed list of topics, for a worker or an emitter. Must not know who sends.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    client::Client,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _, PurgeConfig},
};

use super::lanes::{Lanes, Left, Lone, Way};
use crate::{
    base::{
        error::Error,
        record::{OwnedHeaders, wire_size},
    },
    engine::port::{SendError, Undelivered},
    kafka::{
        client::{
            clock::boot_time,
            connection::Connection,
            log::ClientLog,
            metadata::partitions,
            settings::{self, Role},
        },
        native::{
            event::{Deliveries, Kind, Polled},
            message::TopicHandle,
            produce::Produced,
        },
    },
};

pub(crate) struct Producer {
    // Declared before the client, which must be dropped last (fields are dropped in the order of their declaration).
    targets: Vec<Target>,
    /// Number of records that were taken from the sender and are not reported yet, including those that wait in
    /// `lanes`.
    in_flight: AtomicUsize,
    /// Records that wait until earlier records of their partition are acknowledged.
    lanes: Mutex<Lanes>,
    /// Opaque numbers of records that were given up before librdkafka had them, and are still to be reported as
    /// failed.
    given_up: Mutex<Vec<usize>>,
    /// How long a record may wait in `lanes`, in addition to librdkafka's own timeout.
    wait_max: Duration,
    /// The setting `message.max.bytes`: the largest size of a record, in bytes.
    bytes_max: usize,
    is_transactional: bool,
    fatal: Mutex<Option<String>>,
    /// Whether `fatal` was set. This flag is cheaper to read than `fatal`, and is read at every event.
    is_fatal: AtomicBool,
    client: Polled<BaseProducer<ClientLog>>,
}

struct Target {
    topic: TopicHandle,
    physical: String,
    partitions: i32,
}

/// A record to be produced to a target.
pub(crate) struct ToSend<'a> {
    pub(crate) target: usize,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// The record's timestamp, in milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
    /// A number that the sender chooses and that the record's delivery report repeats.
    pub(crate) opaque: usize,
}

/// A delivery report: the offset of the record, or why the record was not delivered.
pub(crate) struct Delivered {
    pub(crate) opaque: usize,
    pub(crate) partition: i32,
    pub(crate) result: Result<i64, Undelivered>,
}

impl Producer {
    /// Opens a producer to these topics (logical names), which must exist. With a transactional id, the producer takes
    /// records only after its first transaction has begun.
    pub(crate) fn open(
        connection: &Connection,
        role: Role,
        client: impl Into<String>,
        targets: &[String],
        transactional_id: Option<&str>,
    ) -> Result<Self, Error> {
        let opened: BaseProducer<_> = connection.open(role, client, |settings| {
            if let Some(id) = transactional_id {
                settings.set("transactional.id", id);
            }
        })?;
        let client = Polled::producer(opened)?;
        let mut topics = Vec::with_capacity(targets.len());
        for logical in targets {
            let physical = connection.names.topic(logical)?;
            let native = client.client().client();
            // Fetched now, because otherwise the first record would wait for this metadata.
            let partitions = partitions(native, &physical)?;
            // SAFETY: the client is alive. It becomes a field that is dropped after its topics.
            let topic = unsafe { TopicHandle::new(native.native_ptr(), &physical)? };
            topics.push(Target {
                topic,
                physical,
                partitions,
            });
        }
        let bounds = settings::queue_max(&connection.config, role)?;
        let lanes = Lanes::new(
            topics.iter().map(|target| target.partitions),
            bounds.records,
            bounds.bytes,
        );
        Ok(Producer {
            targets: topics,
            in_flight: AtomicUsize::new(0),
            lanes: Mutex::new(lanes),
            given_up: Mutex::default(),
            wait_max: settings::wait_max(&connection.config, role)?,
            bytes_max: settings::message_bytes_max(&connection.config, role)?,
            is_transactional: transactional_id.is_some(),
            fatal: Mutex::default(),
            is_fatal: AtomicBool::new(false),
            client,
        })
    }

    pub(crate) fn partitions(&self, target: usize) -> i32 {
        self.targets[target].partitions
    }

    /// Size of the largest record that `send` takes, in bytes.
    pub(crate) fn record_max(&self) -> usize {
        self.bytes_max
    }

    pub(crate) fn physical(&self, target: usize) -> &str {
        &self.targets[target].physical
    }

    /// Takes a record. Hands it to librdkafka, or lets it wait in `lanes` while earlier records of its partition are
    /// in flight.
    pub(crate) fn send(&self, record: &ToSend<'_>) -> Result<(), SendError> {
        let (target, partition) = (record.target, record.partition);
        if wire_size(record.key, record.value, record.headers) > self.bytes_max {
            let code = RDKafkaErrorCode::MessageSizeTooLarge;
            return Err(SendError::Refused(self.refused(record, code)));
        }
        // librdkafka would choose a partition itself if the number were negative.
        if !(0..self.targets[target].partitions).contains(&partition) {
            let code = RDKafkaErrorCode::UnknownPartition;
            return Err(SendError::Refused(self.refused(record, code)));
        }
        let lone = Lone {
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            headers: record.headers,
            opaque: record.opaque,
        };
        let mut lanes = lock(&self.lanes);
        match lanes.send(target, partition, &lone, boot_time) {
            Way::Free => {}
            Way::Full => return Err(SendError::Full),
            Way::Waits => {
                self.in_flight.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        // Counted before the record is sent, because another thread may get its report immediately.
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let Err(code) = self.produce(target, partition, &lone) else {
            lanes.sent(target, partition);
            return Ok(());
        };
        if self.is_transactional && is_of_transaction(code) {
            // The cause is the transaction, which has failed, and not this record. Report this record as failed, like
            // the other records of the transaction.
            lock(&self.given_up).push(record.opaque);
            return Ok(());
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        match code {
            RDKafkaErrorCode::QueueFull => Err(SendError::Full),
            code => Err(SendError::Refused(self.refused(record, code))),
        }
    }

    fn produce(
        &self,
        target: usize,
        partition: i32,
        record: &Lone<'_>,
    ) -> Result<(), RDKafkaErrorCode> {
        self.client.produce(&Produced {
            topic: &self.targets[target].topic,
            partition,
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            headers: record.headers,
            opaque: record.opaque,
        })
    }

    fn refused(&self, record: &ToSend<'_>, code: RDKafkaErrorCode) -> Error {
        let target = &self.targets[record.target];
        let doing = format!(
            "write to topic `{}`, partition {}",
            target.physical, record.partition
        );
        let why = match code {
            RDKafkaErrorCode::MessageSizeTooLarge => {
                let size = wire_size(record.key, record.value, record.headers);
                format!(
                    "the record has {size} bytes, more than `message.max.bytes` allows: raise `message.max.bytes` \
                     (`Config::set_producer`), and `max.message.bytes` of the topic"
                )
            }
            RDKafkaErrorCode::Fatal => match self.client.client().client().fatal_error() {
                Some((code, reason)) => format!("{code}: {reason}"),
                None => code.to_string(),
            },
            RDKafkaErrorCode::UnknownPartition => {
                format!("the topic has only {} partitions", target.partitions)
            }
            _ => code.to_string(),
        };
        Error::kafka(doing, why)
    }

    /// Hands librdkafka the records that waited until no record of their partition was in flight, and reports records
    /// that were given up.
    fn let_go(&self, on: &mut dyn FnMut(Delivered)) {
        let mut failed = std::mem::take(&mut *lock(&self.given_up));
        let mut reports = Vec::new();
        lock(&self.lanes).let_go(
            boot_time,
            self.wait_max,
            &mut |target, partition, record, is_old| {
                let sent = match is_old {
                    true => Err(RDKafkaErrorCode::MessageTimedOut),
                    false => self.produce(target, partition, record),
                };
                match sent {
                    Ok(()) => Left::Sent,
                    Err(RDKafkaErrorCode::QueueFull) => Left::Full,
                    Err(code) => {
                        // The transaction has failed for another reason, and this record is given up with it.
                        let code = match self.is_transactional && is_of_transaction(code) {
                            true => RDKafkaErrorCode::PurgeQueue,
                            false => code,
                        };
                        let result = Err(self.undelivered(Some(target), code));
                        reports.push(Delivered {
                            opaque: record.opaque,
                            partition,
                            result,
                        });
                        Left::Failed
                    }
                }
            },
        );
        let given_up = failed.drain(..).map(|opaque| Delivered {
            opaque,
            partition: -1,
            result: Err(self.undelivered(None, RDKafkaErrorCode::PurgeQueue)),
        });
        for report in reports.into_iter().chain(given_up) {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            on(report);
        }
    }

    /// Waits up to `wait` for delivery reports, and passes all reports that have come to `on`.
    pub(crate) fn serve(&self, wait: Duration, on: &mut dyn FnMut(Delivered)) {
        // Reading the clock costs as much as handling a record, so the clock is read only if `wait` is not zero.
        let until = (!wait.is_zero()).then(|| Instant::now() + wait);
        let mut wait = wait;
        while let Some(event) = self.client.poll(wait) {
            match event.kind() {
                Kind::Delivered(messages) => {
                    self.reported(messages, on);
                    wait = Duration::ZERO;
                    continue;
                }
                Kind::Failed(failure) => {
                    let context = self.client.client().context();
                    context.error(failure.code, &failure.reason);
                    if failure.fatal {
                        let why = format!("{}: {}", failure.code, failure.reason);
                        *lock(&self.fatal) = Some(why);
                        self.is_fatal.store(true, Ordering::Release);
                    }
                }
                _ => {}
            }
            if let Some(until) = until
                && !wait.is_zero()
            {
                wait = until.saturating_duration_since(Instant::now());
            }
        }
        self.let_go(on);
    }

    fn undelivered(&self, target: Option<usize>, code: RDKafkaErrorCode) -> Undelivered {
        let cure = cure(code);
        let reason = match target {
            Some(target) => format!("topic `{}`: {code}{cure}", self.targets[target].physical),
            None => format!("{code}{cure}"),
        };
        Undelivered {
            reason: reason.into(),
            may_pass: may_pass(code),
        }
    }

    /// Passes the reports of one event to `on`. Most of these reports are about one partition, so a lane is updated
    /// once for each run of reports about its partition.
    fn reported(&self, messages: Deliveries<'_>, on: &mut dyn FnMut(Delivered)) {
        let tell = |lane: Option<(usize, i32)>, records: usize| {
            self.in_flight.fetch_sub(records, Ordering::Relaxed);
            if let Some((target, partition)) = lane {
                lock(&self.lanes).reported(target, partition, records);
            }
        };
        let (mut lane, mut records) = (None, 0);
        for message in messages {
            let partition = message.partition();
            let is_of = |target: &Target| message.is_of(&target.topic);
            let is_next = lane.is_some_and(|(target, of): (usize, i32)| {
                of == partition && is_of(&self.targets[target])
            });
            if !is_next {
                tell(lane, records);
                let target = self.targets.iter().position(is_of);
                (lane, records) = (target.map(|target| (target, partition)), 0);
            }
            records += 1;
            let result = match message.error() {
                None => Ok(message.offset()),
                Some(code) => Err(self.undelivered(lane.map(|(target, _)| target), code)),
            };
            on(Delivered {
                opaque: message.opaque(),
                partition,
                result,
            });
        }
        tell(lane, records);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The error after which this producer cannot write any more records; `None` if there is none. Returned only once.
    pub(crate) fn fatal(&self) -> Option<Error> {
        if !self.is_fatal.load(Ordering::Acquire) {
            return None;
        }
        let why = lock(&self.fatal).take()?;
        Some(Error::kafka(
            "write any more records with this producer",
            why,
        ))
    }

    /// Gives up all records that wait or are in flight. They are then reported as failed.
    pub(crate) fn purge(&self) {
        self.give_up_waiting();
        let client = self.client.client();
        client.purge(PurgeConfig::default().queue().inflight());
    }

    /// Gives up the records that were not handed to librdkafka yet. They are then reported as failed.
    pub(crate) fn give_up_waiting(&self) {
        let mut given_up = lock(&self.given_up);
        lock(&self.lanes).clear(|opaque| given_up.push(opaque));
    }

    /// Notes that the sender owned its partitions at the time `at`, see [`Lanes::proven`].
    pub(crate) fn proven(&self, at: Duration) {
        lock(&self.lanes).proven(at);
    }

    /// Makes records that are sent from now on wait until [`Producer::release`].
    pub(crate) fn hold(&self) {
        lock(&self.lanes).hold();
    }

    /// Whether the sender should send no more records before [`Producer::release`].
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.lanes).is_full_behind_line()
    }

    /// Sends the records that have been held since [`Producer::hold`]. Call this only when the delivery of every record
    /// that was sent before the hold has been reported.
    pub(crate) fn release(&self) {
        lock(&self.lanes).release();
    }

    pub(crate) fn client(&self) -> &Client<ClientLog> {
        self.client.client().client()
    }
}

/// Whether this code means that a record was rejected because its transaction, or its producer, had already failed.
fn is_of_transaction(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        State | Fatal | Fenced | ProducerFenced | InvalidProducerEpoch
    )
}

impl Drop for Producer {
    fn drop(&mut self) {
        let left = self.in_flight();
        if left > 0 {
            tracing::warn!(
                target: "goka::kafka",
                records = left,
                "a producer was closed before all its records were acknowledged"
            );
        }
    }
}

/// Takes a lock and ignores poisoning: the values under these locks are consistent at every moment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a record that failed with this code could be delivered later without any change.
fn may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        MessageTimedOut
            | RequestTimedOut
            | OperationTimedOut
            | BrokerTransportFailure
            | AllBrokersDown
            | NetworkException
            | LeaderNotAvailable
            | NotLeaderForPartition
            | NotEnoughReplicas
            | NotEnoughReplicasAfterAppend
            | KafkaStorageError
            | PurgeQueue
            | PurgeInflight
    )
}

/// The end of an error's text: what to do about a record that was not delivered, or why the record was not delivered.
fn cure(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            ": raise `max.message.bytes` of the topic"
        }
        RDKafkaErrorCode::MessageTimedOut => {
            ": the broker did not acknowledge the record within `message.timeout.ms`"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => ": grant the ACL `Write` on the topic",
        RDKafkaErrorCode::InvalidRecord => {
            ": the topic rejected the record as invalid; if the topic is compacted, give the record a key"
        }
        RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => {
            ": goka stopped delivering the record"
        }
        _ => "",
    }
}
