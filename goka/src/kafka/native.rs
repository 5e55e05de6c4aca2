//! What rdkafka keeps to itself of librdkafka: its queues of events.
//!
//! rdkafka's own loops are not used because they lose the partition of a consumer's error (which
//! partition is out of range?), allocate for every record and for every name of a topic, and wait
//! until their deadline even when everything has come. All `unsafe` of clients is in here and in the
//! files below. They must not know groups, assignments or names.

mod fetch;
mod message;
mod request;
mod transaction;

pub(super) use fetch::FetchingConsumer;
pub(super) use message::{Message, Produced, TopicHandle};
pub(super) use request::{Commit, topic_id};
pub(super) use transaction::{
    Membership, Problem, abort_transaction, begin_transaction, commit_transaction,
    init_transactions, send_offsets,
};

use std::{
    ffi::{CStr, CString, c_char, c_int},
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    admin::AdminClient,
    bindings::*,
    client::{Client, ClientContext},
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _},
};

use super::log::ClientLog;
use crate::base::error::Error;

/// A client and its queue of events. Log lines go to its context and are never seen.
pub(super) struct Polled<T> {
    queue: NonNull<rd_kafka_queue_t>,
    context: Arc<ClientLog>,
    client: T,
}

// SAFETY: librdkafka's handles may be used and destroyed by any thread.
unsafe impl<T: Send> Send for Polled<T> {}
// SAFETY: librdkafka locks its queues; an event belongs to the thread that polled it.
unsafe impl<T: Sync> Sync for Polled<T> {}

impl Polled<BaseConsumer<ClientLog>> {
    pub(super) fn consumer(client: BaseConsumer<ClientLog>) -> Result<Self, Error> {
        // SAFETY: the client is alive, and outlives its queue (see `drop`).
        let queue = unsafe { rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        Self::new(client.context().clone(), client, queue)
    }
}

impl Polled<BaseProducer<ClientLog>> {
    pub(super) fn producer(client: BaseProducer<ClientLog>) -> Result<Self, Error> {
        // SAFETY: as above.
        let queue = unsafe { rd_kafka_queue_get_main(client.client().native_ptr()) };
        Self::new(client.context().clone(), client, queue)
    }
}

impl Polled<AdminClient<ClientLog>> {
    pub(super) fn admin(client: AdminClient<ClientLog>) -> Result<Self, Error> {
        // SAFETY: as above.
        let queue = unsafe { rd_kafka_queue_get_main(client.inner().native_ptr()) };
        Self::new(client.inner().context().clone(), client, queue)
    }
}

impl<T> Polled<T> {
    fn new(
        context: Arc<ClientLog>,
        client: T,
        queue: *mut rd_kafka_queue_t,
    ) -> Result<Self, Error> {
        let queue = NonNull::new(queue)
            .ok_or_else(|| Error::kafka("open a client", "librdkafka gave it no queue"))?;
        Ok(Polled {
            queue,
            context,
            client,
        })
    }

    pub(super) fn client(&self) -> &T {
        &self.client
    }

    /// The next event. Waits for one at most `wait`, rounded up to whole milliseconds.
    pub(super) fn poll(&self, wait: Duration) -> Option<Event<'_>> {
        let mut wait = milliseconds(wait);
        loop {
            // SAFETY: the queue is alive as long as `self`; the event is owned by its wrapper.
            let event = NonNull::new(unsafe { rd_kafka_queue_poll(self.queue.as_ptr(), wait) })?;
            let event = Event {
                event,
                client: PhantomData,
            };
            let Some((level, facility, line)) = event.log_line() else {
                return Some(event);
            };
            self.context.line(level, facility, line);
            wait = 0;
        }
    }
}

fn milliseconds(wait: Duration) -> c_int {
    c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
}

impl<T> Drop for Polled<T> {
    fn drop(&mut self) {
        // SAFETY: not used after this; runs before the client, a field, is dropped.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Something that happened to a client. What it lends lives as long as it does.
pub(super) struct Event<'c> {
    event: NonNull<rd_kafka_event_t>,
    client: PhantomData<&'c ()>,
}

/// An event, by its kind.
pub(super) enum Kind<'e> {
    Record(Message<'e>),
    /// What became of records that were sent: their opaque numbers are in the messages.
    Delivered(Deliveries<'e>),
    /// The group gives partitions (or takes them).
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Failed(Failure),
    Other,
}

/// An error of a client, or of one partition.
pub(super) struct Failure {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    pub(super) fatal: bool,
    /// Physical topic and partition.
    pub(super) partition: Option<(String, i32)>,
    /// Where it happened in the partition; negative if that is not known.
    pub(super) offset: i64,
}

impl Event<'_> {
    pub(super) fn kind(&self) -> Kind<'_> {
        let event = self.event.as_ptr();
        // SAFETY: the event is alive as long as `self`, and so is what it lends; each getter is
        // called on the kinds of events that it is for.
        unsafe {
            match rd_kafka_event_type(event) {
                RD_KAFKA_EVENT_DR => Kind::Delivered(Deliveries(self)),
                RD_KAFKA_EVENT_REBALANCE => {
                    let list = elements(rd_kafka_event_topic_partition_list(event));
                    let partitions = list.iter().map(|element| element.partition).collect();
                    match rd_kafka_event_error(event) {
                        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                            Kind::Assigned(partitions)
                        }
                        _ => Kind::Revoked(partitions),
                    }
                }
                RD_KAFKA_EVENT_ERROR => {
                    let (partition, offset) = topic_partition(event).unzip();
                    Kind::Failed(Failure {
                        code: rd_kafka_event_error(event).into(),
                        reason: text(rd_kafka_event_error_string(event)).to_owned(),
                        fatal: rd_kafka_event_error_is_fatal(event) != 0,
                        partition,
                        offset: offset.unwrap_or(-1),
                    })
                }
                _ => Kind::Other,
            }
        }
    }

    fn log_line(&self) -> Option<(i32, &str, &str)> {
        let event = self.event.as_ptr();
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is alive; the texts are its own.
        unsafe {
            if rd_kafka_event_type(event) != RD_KAFKA_EVENT_LOG
                || rd_kafka_event_log(event, &mut facility, &mut line, &mut level) != 0
            {
                return None;
            }
            Some((level, text(facility).trim(), text(line).trim()))
        }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: owned, and nothing lent by it is alive.
        unsafe { rd_kafka_event_destroy(self.event.as_ptr()) }
    }
}

/// Delivery reports of one batch.
pub(super) struct Deliveries<'e>(&'e Event<'e>);

impl<'e> Iterator for Deliveries<'e> {
    type Item = Message<'e>;

    fn next(&mut self) -> Option<Message<'e>> {
        // SAFETY: the event is of this kind and alive; its messages live as long.
        unsafe { rd_kafka_event_message_next(self.0.event.as_ptr()).as_ref() }.map(Message::new)
    }
}

/// The end of a partition that is fetched, as of the last answer of its broker.
pub(super) fn last_heard_end<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut first, mut end) = (-1, -1);
    // SAFETY: the client is alive; the name is copied, and the two numbers are ours.
    let answer = unsafe {
        rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut first,
            &mut end,
        )
    };
    (answer == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0).then_some(end)
}

/// # Safety
/// `list` is null, or alive as long as `'a`.
unsafe fn elements<'a>(
    list: *const rd_kafka_topic_partition_list_t,
) -> &'a [rd_kafka_topic_partition_t] {
    // SAFETY: by the caller; a list has `cnt` elements at `elems`, which is null if it has none.
    unsafe {
        match list.as_ref() {
            Some(list) if list.cnt > 0 => slice::from_raw_parts(list.elems, list.cnt as usize),
            _ => &[],
        }
    }
}

/// # Safety
/// `event` is alive and an error.
unsafe fn topic_partition(event: *mut rd_kafka_event_t) -> Option<((String, i32), i64)> {
    // SAFETY: by the caller; what it gives is ours, and is destroyed once.
    unsafe {
        let partition = rd_kafka_event_topic_partition(event);
        let copy = partition
            .as_ref()
            .map(|at| ((text(at.topic).to_owned(), at.partition), at.offset));
        if !partition.is_null() {
            rd_kafka_topic_partition_destroy(partition);
        }
        copy
    }
}

/// # Safety
/// `start` is null, or a text that ends with a zero and lives as long as `'a`.
unsafe fn text<'a>(start: *const c_char) -> &'a str {
    if start.is_null() {
        return "";
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(start) }.to_str().unwrap_or("")
}
