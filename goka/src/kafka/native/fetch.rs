//! A consumer that takes records from librdkafka in batches.
//!
//! librdkafka's event queue returns one record per call, and each call reads the clock twice, locks four times and
//! updates a histogram. All this is a third of the cost of reading a record. So records go to a separate queue, which
//! returns them in batches. Everything else that librdkafka reports remains an event. An event wakes a thread that
//! waits for records. Must not know groups, assignments or names.

use std::{
    cell::{Cell, RefCell},
    ffi::{CString, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    bindings::*,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{
    event::{Event, Failure, Kind, Polled},
    message::Message,
    raw::{milliseconds, text},
};
use crate::{base::error::Error, engine::port::Keys, kafka::client::log::ClientLog};

/// The largest number of records that are taken from librdkafka at a time.
const BATCH: usize = 128;

/// A consumer with its events, and with the records of the partitions that were [`assign`](Self::assign)ed.
pub(crate) struct FetchingConsumer {
    taken: RefCell<Taken>,
    /// Whether [`FetchingConsumer::ahead`] still has to pass on the keys of the last batch.
    is_new: Cell<bool>,
    /// Whether to look for events before the next record of the batch is returned.
    look: Cell<bool>,
    // Declared before the client (in `events`), which is dropped last.
    records: NonNull<rd_kafka_queue_t>,
    events: Polled<BaseConsumer<ClientLog>>,
}

// SAFETY: librdkafka's queues and messages may be used and destroyed by any thread.
unsafe impl Send for FetchingConsumer {}

/// The batch of records that were taken from librdkafka, in reverse order: the last element is the next record to
/// return.
#[derive(Default)]
struct Taken(Vec<NonNull<rd_kafka_message_t>>);

/// What a poll of a consumer returns.
pub(crate) enum Happened<'c> {
    Fetched(Fetched<'c>),
    Event(Event<'c>),
}

/// A record of a partition, the end of the partition, or an error in reading it.
pub(crate) struct Fetched<'c> {
    message: NonNull<rd_kafka_message_t>,
    client: PhantomData<&'c ()>,
}

impl FetchingConsumer {
    pub(crate) fn new(client: BaseConsumer<ClientLog>) -> Result<Self, Error> {
        let events = Polled::consumer(client)?;
        // SAFETY: the client is alive and outlives the queue (see `drop`).
        let records = unsafe { rd_kafka_queue_new(events.client().client().native_ptr()) };
        let records = NonNull::new(records)
            .ok_or_else(|| Error::kafka("open a client", "librdkafka made no queue for records"))?;
        // SAFETY: both queues are alive until `drop`, which removes the callback first.
        unsafe {
            let queue = records.as_ptr().cast();
            rd_kafka_queue_cb_event_enable(events.queue.as_ptr(), Some(wake), queue);
        }
        Ok(FetchingConsumer {
            taken: RefCell::default(),
            is_new: Cell::new(false),
            look: Cell::new(true),
            records,
            events,
        })
    }

    pub(crate) fn client(&self) -> &BaseConsumer<ClientLog> {
        self.events.client()
    }

    /// Starts to read these partitions, whose topics must exist. Drops records that were taken earlier from partitions
    /// with these numbers.
    pub(crate) fn assign(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        let partitions: Vec<_> = list.elements().iter().map(|at| at.partition()).collect();
        self.forget(&partitions);
        // The records are routed before the call to `incremental_assign`, so that no record becomes an event. They are
        // routed again after the call, because librdkafka removes the forwarding when its thread processes the end of
        // an earlier assignment, which it does before it processes this call. The second routing also forwards the
        // records that came in between.
        self.route(list)?;
        self.client().incremental_assign(list)?;
        self.route(list)
    }

    pub(crate) fn unassign(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        self.client().incremental_unassign(list)
    }

    /// Forwards the records of these partitions to the queue of records.
    fn route(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        let client = self.client().client().native_ptr();
        for at in list.elements() {
            let name = CString::new(at.topic())?;
            // SAFETY: the client is alive, and the name is copied. The partition's queue is ours to destroy, and
            // librdkafka keeps the queue that it forwards to.
            unsafe {
                let queue = rd_kafka_queue_get_partition(client, name.as_ptr(), at.partition());
                if queue.is_null() {
                    return Err(KafkaError::Subscription(format!(
                        "librdkafka has no queue for partition {} of topic `{}`",
                        at.partition(),
                        at.topic()
                    )));
                }
                rd_kafka_queue_forward(queue, self.records.as_ptr());
                rd_kafka_queue_destroy(queue);
            }
        }
        Ok(())
    }

    fn forget(&self, partitions: &[i32]) {
        self.taken.borrow_mut().drop_if(|message| {
            // SAFETY: a message in the batch is alive.
            partitions.contains(&unsafe { message.as_ref() }.partition)
        });
    }

    /// Drops the rest of the batch.
    pub(crate) fn forget_all(&self) {
        self.taken.borrow_mut().drop_if(|_| true);
    }

    /// The next event, if one has already come. Never returns a record.
    pub(crate) fn event(&self) -> Option<Event<'_>> {
        self.events.poll(Duration::ZERO)
    }

    /// Waits up to `wait` for the next record or event.
    pub(crate) fn poll(&self, wait: Duration) -> Option<Happened<'_>> {
        // Reading the clock costs as much as handling a record, so the clock is read only if `wait` is not zero.
        let until = (!wait.is_zero()).then(|| Instant::now() + wait);
        let mut wait = wait;
        loop {
            if self.look.take()
                && let Some(event) = self.event()
            {
                self.look.set(true);
                return Some(Happened::Event(event));
            }
            if let Some(message) = self.taken.borrow_mut().0.pop() {
                return Some(Happened::Fetched(Fetched {
                    message,
                    client: PhantomData,
                }));
            }
            self.look.set(true);
            if self.take(wait) == 0 && wait.is_zero() {
                return None;
            }
            wait = until.map_or(wait, |until| {
                until.saturating_duration_since(Instant::now())
            });
        }
    }

    /// Passes the keys of the batch to `on`, in one call for each run of records of one partition. Does so once per
    /// batch.
    pub(crate) fn ahead(&self, on: &mut dyn FnMut(i32, &mut Keys<'_>)) {
        if !self.is_new.take() {
            return;
        }
        // SAFETY: messages in the batch are alive as long as the batch is borrowed.
        let message = |taken: &NonNull<rd_kafka_message_t>| unsafe { taken.as_ref() };
        let taken = self.taken.borrow();
        for run in taken
            .0
            .chunk_by(|one, next| message(one).partition == message(next).partition)
        {
            let records = run.iter().rev().map(message).filter(|m| is_record(m));
            let mut keys = records.filter_map(|m| Message::new(m).key());
            on(message(&run[0]).partition, &mut keys);
        }
    }

    /// Waits up to `wait` for records; an event ends the wait. Returns the number of records in the batch.
    fn take(&self, wait: Duration) -> usize {
        let taken = &mut self.taken.borrow_mut().0;
        let mut messages = [ptr::null_mut(); BATCH];
        // librdkafka waits until it has as many records as it was asked for. So wait for one record, and afterwards
        // take the others that have come, without waiting.
        let mut count = match wait.is_zero() {
            true => 0,
            false => self.consume(wait, &mut messages[..1]),
        };
        if count > 0 || wait.is_zero() {
            count += self.consume(Duration::ZERO, &mut messages[count..]);
        }
        let messages = messages[..count].iter().rev();
        taken.extend(messages.filter_map(|message| NonNull::new(*message)));
        self.is_new.set(count > 1);
        taken.len()
    }

    /// Writes records to `into` and returns their number. The caller must destroy the records.
    fn consume(&self, wait: Duration, into: &mut [*mut rd_kafka_message_t]) -> usize {
        let (queue, wait) = (self.records.as_ptr(), milliseconds(wait));
        // SAFETY: the queue is alive, and `into` has room for `into.len()` records.
        let count =
            unsafe { rd_kafka_consume_batch_queue(queue, wait, into.as_mut_ptr(), into.len()) };
        usize::try_from(count).unwrap_or(0)
    }
}

/// Ends a wait for records. A thread of librdkafka calls this function when an event comes into an empty event queue.
unsafe extern "C" fn wake(_client: *mut rd_kafka_t, queue: *mut c_void) {
    // SAFETY: `queue` is the queue of records, which outlives the callback.
    unsafe { rd_kafka_queue_yield(queue.cast()) }
}

impl Drop for FetchingConsumer {
    fn drop(&mut self) {
        self.forget_all();
        // SAFETY: no callback runs after the first call returns. The queue of records is not used after the second
        // call, and the client, which is a field, is dropped later.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.events.queue.as_ptr(), None, ptr::null_mut());
            rd_kafka_queue_destroy(self.records.as_ptr());
        }
    }
}

impl Taken {
    fn drop_if(&mut self, gone: impl Fn(&NonNull<rd_kafka_message_t>) -> bool) {
        for message in self.0.extract_if(.., |message| gone(message)) {
            // SAFETY: the message was owned by the batch, and is removed from it.
            unsafe { rd_kafka_message_destroy(message.as_ptr()) }
        }
    }
}

impl Happened<'_> {
    pub(crate) fn kind(&self) -> Kind<'_> {
        match self {
            Happened::Fetched(fetched) => fetched.kind(),
            Happened::Event(event) => event.kind(),
        }
    }
}

impl Fetched<'_> {
    fn kind(&self) -> Kind<'_> {
        // SAFETY: the message is alive as long as `self`.
        let message = unsafe { self.message.as_ref() };
        if is_record(message) {
            return Kind::Record(Message::new(message));
        }
        // SAFETY: the message is alive, and so are its texts, which are copied. A topic that is null has no name.
        let (reason, topic) = unsafe {
            let topic = match message.rkt.is_null() {
                true => None,
                false => Some(text(rd_kafka_topic_name(message.rkt)).to_owned()),
            };
            (text(rd_kafka_message_errstr(message)).to_owned(), topic)
        };
        Kind::Failed(Failure {
            code: message.err.into(),
            reason,
            fatal: false,
            partition: topic.map(|topic| (topic, message.partition)),
            offset: message.offset,
        })
    }
}

/// Whether a message is a record, and not an error or the end of a partition.
fn is_record(message: &rd_kafka_message_t) -> bool {
    message.err == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

impl Drop for Fetched<'_> {
    fn drop(&mut self) {
        // SAFETY: the message is owned, and nothing that it lends is in use any more.
        unsafe { rd_kafka_message_destroy(self.message.as_ptr()) }
    }
}
