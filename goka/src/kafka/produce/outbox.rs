//! The inside of an emitter: a producer that many threads share, and the outcome of each record. Must not know types or
//! partitioners.
//!
//! One thread per outbox waits for delivery reports. The settings of librdkafka's queue limit the number and the bytes
//! of the records in flight.

mod state;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Poll, Waker},
    thread::{self, ThreadId},
    time::Duration,
};

use self::state::{Outcome, State};
use super::producer::{Delivered, Producer, ToSend};
use crate::{
    base::{error::Error, record::OwnedHeaders},
    engine::port::SendError,
    kafka::{
        client::settings::{self, Role},
        cluster::Cluster,
    },
};

/// How long the outbox's thread waits for delivery reports before it checks whether the outbox was dropped. A report
/// ends the wait.
const IDLE: Duration = Duration::from_millis(500);

/// Roughly the memory, in bytes, that a record takes in addition to its key and value.
const RECORD_BYTES: usize = 200;

/// How long the drop of an outbox waits for records in flight. It waits because the process may end right after the
/// drop.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// A producer of one topic that many threads share. Its drop waits up to [`LAST_WAIT`] for records in flight; records
/// that remain are delivered in the background.
pub(crate) struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    carrier: Carrier,
    state: Mutex<State>,
    room: Condvar,
    /// The id of the thread that takes the delivery reports.
    thread: OnceLock<ThreadId>,
    records_max: usize,
    bytes_max: usize,
}

/// What the outbox hands its records to.
#[allow(
    clippy::large_enum_variant,
    reason = "each emitter has only one carrier"
)]
enum Carrier {
    Kafka(Producer),
    /// A tester collects the records, which count as delivered immediately.
    #[cfg(any(test, feature = "tester"))]
    Memory(Arc<dyn Collect>),
}

/// Collects the records of an emitter in memory, without a broker.
#[cfg(any(test, feature = "tester"))]
pub(crate) trait Collect: Send + Sync {
    /// The topic of the emitter.
    fn topic(&self) -> &str;

    /// Number of partitions of the topic.
    fn partitions(&self) -> i32;

    /// Takes a record and returns its offset.
    fn put(&self, letter: &Letter<'_>) -> Result<i64, SendError>;
}

/// A record to be sent.
pub(crate) struct Letter<'a> {
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// The record's timestamp, in milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
}

/// The future outcome of one record, to be polled until the outcome is ready. If the receipt is dropped before that
/// and the record fails, the failure is logged, and the next flush returns it.
pub(crate) struct Receipt {
    shared: Arc<Shared>,
    slot: Option<usize>,
}

impl Outbox {
    /// Opens a producer to a topic (logical name), which must exist.
    pub(crate) fn open(cluster: &Cluster, topic: &str) -> Result<Self, Error> {
        let connection = cluster.connection();
        let producer = Producer::open(
            connection,
            Role::Emitter,
            format!("emitter of topic `{}`", connection.names.topic(topic)?),
            &[topic.to_owned()],
            None,
        )?;
        let max = settings::queue_max(&connection.config, Role::Emitter)?;
        let shared = Arc::new(Shared {
            carrier: Carrier::Kafka(producer),
            state: Mutex::default(),
            room: Condvar::new(),
            thread: OnceLock::new(),
            records_max: max.records,
            bytes_max: max.bytes,
        });
        let serving = shared.clone();
        let thread = thread::Builder::new()
            .name("goka-emitter".to_owned())
            .spawn(move || match &serving.carrier {
                Carrier::Kafka(producer) => serving.serve(producer),
                #[cfg(any(test, feature = "tester"))]
                Carrier::Memory(_) => {}
            })
            .map_err(|error| Error::system("start the thread of an emitter", error))?;
        // The id is set once, before any thread can read it.
        let _ = shared.thread.set(thread.thread().id());
        Ok(Outbox { shared })
    }

    /// Makes an outbox whose records a tester collects.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn in_memory(mailbox: Arc<dyn Collect>) -> Self {
        let shared = Shared {
            carrier: Carrier::Memory(mailbox),
            state: Mutex::default(),
            room: Condvar::new(),
            thread: OnceLock::new(),
            records_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        Outbox {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn partitions(&self) -> i32 {
        match &self.shared.carrier {
            Carrier::Kafka(producer) => producer.partitions(0),
            #[cfg(any(test, feature = "tester"))]
            Carrier::Memory(mailbox) => mailbox.partitions(),
        }
    }

    pub(crate) fn physical(&self) -> &str {
        self.shared.topic()
    }

    /// Takes a record. Blocks the calling thread while there is no room for the record.
    pub(crate) fn send(&self, letter: &Letter<'_>) -> Result<Receipt, Error> {
        let shared = &self.shared;
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let bytes = RECORD_BYTES + len(letter.key) + len(letter.value);
        let mut state = shared.lock();
        while !state.closed && !shared.has_room(&state) {
            state = shared.wait(state);
        }
        if state.closed {
            return Err(Error::Closed("the emitter"));
        }
        let slot = state.sent(bytes);
        drop(state);
        loop {
            match shared.carry(letter, slot) {
                Ok(()) => break,
                // librdkafka's queue can be full although `has_room` returned true, because librdkafka counts
                // differently. The next report makes room. The thread that takes reports needs the lock to announce a
                // report, so this thread, which holds the lock until it waits, misses none.
                Err(SendError::Full) => {
                    let state = shared.lock();
                    if shared.in_flight() > 0 {
                        drop(shared.wait(state));
                    }
                }
                Err(SendError::Refused(error)) => {
                    let mut state = shared.lock();
                    state.not_sent(slot);
                    shared.wake(state);
                    return Err(error);
                }
            }
        }
        Ok(Receipt {
            shared: shared.clone(),
            slot: Some(slot),
        })
    }

    /// Ready when there is the producer's queue has room; until then, `waker` is called when another poll may succeed.
    pub(crate) fn poll_ready(&self, waker: &Waker) -> Poll<Result<(), Error>> {
        let mut state = self.shared.lock();
        if state.closed {
            Poll::Ready(Err(Error::Closed("the emitter")))
        } else if self.shared.has_room(&state) {
            Poll::Ready(Ok(()))
        } else {
            state.call(waker);
            Poll::Pending
        }
    }

    /// Makes the outbox refuse further records.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.wake(state);
    }

    /// Marks the end of the records that were sent so far, for [`Outbox::poll_flushed`].
    pub(crate) fn mark(&self) -> u64 {
        self.shared.lock().flushes.end_epoch()
    }

    /// Ready when all records before `mark` are delivered or have failed. Returns an error if any record whose outcome
    /// nobody took has failed.
    pub(crate) fn poll_flushed(&self, mark: u64, waker: &Waker) -> Poll<Result<(), Error>> {
        let mut state = self.shared.lock();
        if !state.flushes.is_over(mark) {
            state.call(waker);
            return Poll::Pending;
        }
        let failed = std::mem::take(&mut state.failed);
        Poll::Ready(match state.first_failure.take() {
            None => Ok(()),
            Some(first) => Err(Error::kafka(
                format!("deliver {failed} records to topic `{}`", self.physical()),
                format!("the first error is: {first}"),
            )),
        })
    }
}

#[cfg(test)]
impl Outbox {
    pub(crate) fn on_their_way(&self) -> usize {
        self.shared.lock().records
    }

    pub(crate) fn purge(&self) {
        if let Carrier::Kafka(producer) = &self.shared.carrier {
            producer.purge();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.left = true;
        // The thread that takes the reports must not wait for reports here.
        if state.records == 0 || self.shared.thread.get() == Some(&thread::current().id()) {
            return;
        }
        let is_left = |state: &mut State| state.records > 0;
        let waited = self
            .shared
            .room
            .wait_timeout_while(state, LAST_WAIT, is_left);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.records > 0 {
            tracing::warn!(
                target: "goka::kafka",
                records = state.records,
                topic = self.shared.topic(),
                "an emitter was dropped with records in flight, which are lost if the process ends now; await \
                 `Emitter::close` first"
            );
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No caller's code runs under the lock, so the state is consistent even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State) -> bool {
        // If no record is in flight, the next record is taken, however large it is.
        state.records == 0 || (state.records < self.records_max && state.bytes < self.bytes_max)
    }

    /// Waits until the next report, or until the outbox is closed.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.room.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everyone who waits for room, for a flush, or in a drop for the last record.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.room.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn carry(&self, letter: &Letter<'_>, slot: usize) -> Result<(), SendError> {
        match &self.carrier {
            Carrier::Kafka(producer) => producer.send(&ToSend {
                target: 0,
                partition: letter.partition,
                key: letter.key,
                value: letter.value,
                timestamp: letter.timestamp,
                headers: letter.headers,
                opaque: slot,
            }),
            #[cfg(any(test, feature = "tester"))]
            Carrier::Memory(mailbox) => {
                let place = (letter.partition, mailbox.put(letter)?);
                self.lock().reported(slot, Ok(place));
                Ok(())
            }
        }
    }

    fn in_flight(&self) -> usize {
        match &self.carrier {
            Carrier::Kafka(producer) => producer.in_flight(),
            #[cfg(any(test, feature = "tester"))]
            Carrier::Memory(_) => 0,
        }
    }

    /// Takes reports until the outbox is dropped and all records are reported. Runs on the outbox's thread.
    fn serve(&self, producer: &Producer) {
        let mut reports = Vec::new();
        let (mut wakers, mut failures) = (Vec::new(), Vec::new());
        loop {
            producer.serve(IDLE, &mut |report| reports.push(report));
            if let Some(error) = producer.fatal() {
                tracing::error!(target: "goka::kafka", topic = self.topic(), %error, "the producer of an emitter has a fatal error; open another emitter");
            }
            let mut state = self.lock();
            if reports.is_empty() {
                if state.left && state.records == 0 {
                    return;
                }
                continue;
            }
            for report in reports.drain(..) {
                let (slot, outcome) = (report.opaque, self.outcome(report));
                let (waker, unasked) = state.reported(slot, outcome);
                wakers.extend(waker);
                failures.extend(unasked);
            }
            // The wakers are called without the lock, because a waker may emit.
            self.wake(state);
            wakers.drain(..).for_each(Waker::wake);
            // One log line for all failures, because an outage causes thousands of them.
            if let Some(error) = failures.first() {
                log(error, failures.len());
                failures.clear();
            }
        }
    }

    fn outcome(&self, report: Delivered) -> Outcome {
        let Delivered {
            partition, result, ..
        } = report;
        result.map(|offset| (partition, offset)).map_err(|why| {
            let topic = self.topic();
            Error::kafka(
                format!("deliver a record to topic `{topic}`, partition {partition}"),
                why.reason.into_string(),
            )
        })
    }

    fn topic(&self) -> &str {
        match &self.carrier {
            Carrier::Kafka(producer) => producer.physical(0),
            #[cfg(any(test, feature = "tester"))]
            Carrier::Memory(mailbox) => mailbox.topic(),
        }
    }
}

/// Logs that records have failed whose outcome nobody takes: their number, and the first of their errors.
fn log(unasked: &Error, records: usize) {
    tracing::error!(target: "goka::kafka", records, first_error = %unasked, "an emitter did not deliver records");
}

impl Receipt {
    /// Returns partition and offset of the record, or why the record was not delivered.
    ///
    /// # Panics
    /// If an earlier call has already returned the outcome.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Outcome> {
        let slot = self
            .slot
            .expect("a delivery must not be polled after it has returned its outcome");
        match self.shared.lock().ask(slot, waker) {
            None => Poll::Pending,
            Some(outcome) => {
                self.slot = None;
                Poll::Ready(outcome)
            }
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let Some(slot) = self.slot else {
            return;
        };
        let unasked = self.shared.lock().forget(slot);
        if let Some(error) = unasked {
            log(&error, 1);
        }
    }
}
