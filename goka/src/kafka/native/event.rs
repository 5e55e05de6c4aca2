//! The event queue of a client. Must not know groups or names.

use std::{
    marker::PhantomData,
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    admin::AdminClient,
    bindings::*,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _},
};

use super::{
    message::Message,
    raw::{elements, milliseconds, text},
};
use crate::{base::error::Error, kafka::client::log::ClientLog};

/// A client and its event queue. Log lines go to the client's [`ClientLog`] and are not returned as events.
pub(crate) struct Polled<T> {
    pub(super) queue: NonNull<rd_kafka_queue_t>,
    context: Arc<ClientLog>,
    client: T,
}

// SAFETY: librdkafka's handles may be used and destroyed by any thread.
unsafe impl<T: Send> Send for Polled<T> {}
// SAFETY: librdkafka locks its queues; an event belongs to the thread that polled it.
unsafe impl<T: Sync> Sync for Polled<T> {}

impl Polled<BaseConsumer<ClientLog>> {
    pub(crate) fn consumer(client: BaseConsumer<ClientLog>) -> Result<Self, Error> {
        // SAFETY: the client is alive and outlives its queue (see `drop`).
        let queue = unsafe { rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        Self::new(client.context().clone(), client, queue)
    }
}

impl Polled<BaseProducer<ClientLog>> {
    pub(crate) fn producer(client: BaseProducer<ClientLog>) -> Result<Self, Error> {
        // SAFETY: the client is alive and outlives its queue (see `drop`).
        let queue = unsafe { rd_kafka_queue_get_main(client.client().native_ptr()) };
        Self::new(client.context().clone(), client, queue)
    }
}

impl Polled<AdminClient<ClientLog>> {
    pub(crate) fn admin(client: AdminClient<ClientLog>) -> Result<Self, Error> {
        // SAFETY: the client is alive and outlives its queue (see `drop`).
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
        let queue = NonNull::new(queue).ok_or_else(|| {
            Error::kafka(
                "open a client",
                "librdkafka has no event queue for the client",
            )
        })?;
        Ok(Polled {
            queue,
            context,
            client,
        })
    }

    pub(crate) fn client(&self) -> &T {
        &self.client
    }

    /// Waits up to `wait`, rounded up to whole milliseconds, for the next event.
    pub(crate) fn poll(&self, wait: Duration) -> Option<Event<'_>> {
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

impl<T> Drop for Polled<T> {
    fn drop(&mut self) {
        // SAFETY: the queue is not used after this call, and the client, which is a field, is dropped later.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// An event of a client. Data that the event lends lives as long as the event.
pub(crate) struct Event<'c> {
    pub(super) event: NonNull<rd_kafka_event_t>,
    pub(super) client: PhantomData<&'c ()>,
}

/// The content of an event, by kind.
pub(crate) enum Kind<'e> {
    Record(Message<'e>),
    /// Delivery reports. Each message carries the opaque number with which its record was sent.
    Delivered(Deliveries<'e>),
    /// The group gives partitions to the member.
    Assigned(Vec<i32>),
    /// The group revokes partitions from the member.
    Revoked(Vec<i32>),
    Failed(Failure),
    Other,
}

/// An error of a client or of one partition.
pub(crate) struct Failure {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
    pub(crate) fatal: bool,
    /// Physical name of the topic, and the partition; `None` if the error is not one of a partition.
    pub(crate) partition: Option<(String, i32)>,
    /// Offset in the partition; negative if the offset is unknown.
    pub(crate) offset: i64,
}

impl Event<'_> {
    pub(crate) fn kind(&self) -> Kind<'_> {
        let event = self.event.as_ptr();
        // SAFETY: the event, and the data that it lends, are alive as long as `self`. Each getter is called only on an
        // event of the kind that the getter is for.
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
        // SAFETY: the event is alive and owns the texts.
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
        // SAFETY: the event is owned, and nothing that it lends is in use any more.
        unsafe { rd_kafka_event_destroy(self.event.as_ptr()) }
    }
}

/// The delivery reports of one event.
pub(crate) struct Deliveries<'e>(&'e Event<'e>);

impl<'e> Iterator for Deliveries<'e> {
    type Item = Message<'e>;

    fn next(&mut self) -> Option<Message<'e>> {
        // SAFETY: the event is alive and holds delivery reports. Its messages live as long as the event.
        unsafe { rd_kafka_event_message_next(self.0.event.as_ptr()).as_ref() }.map(Message::new)
    }
}

/// # Safety
/// `event` is alive and an error event.
unsafe fn topic_partition(event: *mut rd_kafka_event_t) -> Option<((String, i32), i64)> {
    // SAFETY: guaranteed by the caller. The returned partition belongs to this function, which destroys it once.
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
