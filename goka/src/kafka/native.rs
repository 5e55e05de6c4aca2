//! What rdkafka keeps to itself of librdkafka: queues of events, records without a copy, producing
//! by a topic's handle.
//!
//! rdkafka's own loops are not used because they lose the partition of a consumer's error (which
//! partition is out of range?), allocate for every record and for every name of a topic, and wait
//! until their deadline even when everything has come. All `unsafe` of clients is in this file. It
//! must not know groups, assignments or names.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    slice, str,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    admin::AdminClient,
    bindings::*,
    client::Client,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _},
};

use super::context::Context;
use crate::{
    Error,
    record::{HeaderSource, OwnedHeaders},
};

/// A client and its queue of events. Log lines go to its context and are never seen.
pub(super) struct Polled<T> {
    queue: NonNull<rd_kafka_queue_t>,
    context: Arc<Context>,
    client: T,
}

// SAFETY: librdkafka's handles may be used and destroyed by any thread.
unsafe impl<T: Send> Send for Polled<T> {}
// SAFETY: librdkafka locks its queues; an event belongs to the thread that polled it.
unsafe impl<T: Sync> Sync for Polled<T> {}

impl Polled<BaseConsumer<Context>> {
    pub(super) fn consumer(client: BaseConsumer<Context>) -> Result<Self, Error> {
        // SAFETY: the client is alive, and outlives its queue (see `drop`).
        let queue = unsafe { rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        Self::new(client.context().clone(), client, queue)
    }
}

impl Polled<BaseProducer<Context>> {
    pub(super) fn producer(client: BaseProducer<Context>) -> Result<Self, Error> {
        // SAFETY: as above.
        let queue = unsafe { rd_kafka_queue_get_main(client.client().native_ptr()) };
        Self::new(client.context().clone(), client, queue)
    }
}

impl<T> Polled<T> {
    fn new(context: Arc<Context>, client: T, queue: *mut rd_kafka_queue_t) -> Result<Self, Error> {
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
        let mut wait = c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX);
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
}

impl Event<'_> {
    pub(super) fn kind(&self) -> Kind<'_> {
        let event = self.event.as_ptr();
        // SAFETY: the event is alive as long as `self`, and so is what it lends; each getter is
        // called on the kinds of events that it is for.
        unsafe {
            match rd_kafka_event_type(event) {
                RD_KAFKA_EVENT_FETCH => match rd_kafka_event_message_next(event).as_ref() {
                    Some(message) => Kind::Record(Message(message)),
                    None => Kind::Other,
                },
                RD_KAFKA_EVENT_DR => Kind::Delivered(Deliveries(self)),
                RD_KAFKA_EVENT_REBALANCE => {
                    let partitions = partitions(rd_kafka_event_topic_partition_list(event));
                    match rd_kafka_event_error(event) {
                        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                            Kind::Assigned(partitions)
                        }
                        _ => Kind::Revoked(partitions),
                    }
                }
                RD_KAFKA_EVENT_ERROR => Kind::Failed(Failure {
                    code: rd_kafka_event_error(event).into(),
                    reason: text(rd_kafka_event_error_string(event)).to_owned(),
                    fatal: rd_kafka_event_error_is_fatal(event) != 0,
                    partition: topic_partition(event),
                }),
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
        unsafe { rd_kafka_event_message_next(self.0.event.as_ptr()).as_ref() }.map(Message)
    }
}

/// A record that came or was sent, in librdkafka's memory.
#[derive(Clone, Copy)]
pub(super) struct Message<'e>(&'e rd_kafka_message_t);

impl<'e> Message<'e> {
    /// Which topic it is of, to be compared.
    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        ptr::eq(self.0.rkt, topic.0.as_ptr())
    }

    pub(super) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.0.offset
    }

    pub(super) fn key(&self) -> Option<&'e [u8]> {
        // SAFETY: librdkafka's memory of that length, alive as long as the event.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(super) fn value(&self) -> Option<&'e [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Milliseconds since 1970; -1 if it has none.
    pub(super) fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; the kind of timestamp is not asked for.
        unsafe { rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    /// Of a delivery report: what was given when it was sent.
    pub(super) fn opaque(&self) -> usize {
        self.0._private as usize
    }

    /// Of a delivery report: why it was not delivered.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.0.err;
        (error != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    fn headers(&self) -> *mut rd_kafka_headers_t {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and keeps its headers, which it reads at the first call.
        match unsafe { rd_kafka_message_headers(self.0, &mut headers) } {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => headers,
            _ => ptr::null_mut(),
        }
    }
}

impl HeaderSource for Message<'_> {
    fn len(&self) -> usize {
        let headers = self.headers();
        if headers.is_null() {
            return 0;
        }
        // SAFETY: headers of a living message.
        unsafe { rd_kafka_header_cnt(headers) }
    }

    /// A name that is not UTF-8, which Kafka's protocol does not allow, is given as an empty one.
    fn get(&self, index: usize) -> (&str, Option<&[u8]>) {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        let headers = self.headers();
        // SAFETY: headers of a living message; name and value live as long.
        unsafe {
            if headers.is_null()
                || rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size)
                    != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return ("", None);
            }
            (text(name), bytes(value, size))
        }
    }
}

/// A topic as a client knows it. Must be dropped before the client.
pub(super) struct Topic(NonNull<rd_kafka_topic_t>);

// SAFETY: librdkafka's topics may be used by any thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Topic {
    /// # Safety
    /// `client` is alive, and is destroyed after the topic is dropped.
    pub(super) unsafe fn new(client: *mut rd_kafka_t, name: &str) -> Result<Self, Error> {
        let text = CString::new(name).map_err(|nul| Error::kafka("name a topic", nul))?;
        // SAFETY: by the caller; the name is copied, a null configuration is the default one.
        let topic = unsafe { rd_kafka_topic_new(client, text.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(Topic).ok_or_else(|| {
            Error::kafka(
                format!("open topic `{name}`"),
                "librdkafka refuses its name",
            )
        })
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: owned, and its client is alive.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// A record to be produced.
pub(super) struct Produced<'a> {
    pub(super) topic: &'a Topic,
    pub(super) partition: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) timestamp: i64,
    pub(super) headers: &'a OwnedHeaders,
    /// Comes back in its delivery report.
    pub(super) opaque: usize,
}

impl Polled<BaseProducer<Context>> {
    /// Copies the record into the producer's queue.
    pub(super) fn produce(&self, record: &Produced<'_>) -> Result<(), RDKafkaErrorCode> {
        let (key, key_len) = raw(record.key);
        let (value, value_len) = raw(record.value);
        let headers = headers(record.headers);
        // SAFETY: every tag is followed by the arguments that librdkafka's header names for it, of
        // these very types; key and value are copied (F_COPY); the headers are taken if it succeeds.
        let error = unsafe {
            rd_kafka_producev(
                self.client.client().native_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT as c_int,
                record.topic.0.as_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION as c_int,
                record.partition,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS as c_int,
                RD_KAFKA_MSG_F_COPY,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY as c_int,
                key,
                key_len,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE as c_int,
                value,
                value_len,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP as c_int,
                record.timestamp,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE as c_int,
                record.opaque as *mut c_void,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS as c_int,
                headers,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_END as c_int,
            )
        };
        if error == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: not taken, so still ours.
            unsafe { rd_kafka_headers_destroy(headers) }
        }
        Err(error.into())
    }
}

/// Headers in librdkafka's memory, owned by the caller; null if there are none.
fn headers(from: &OwnedHeaders) -> *mut rd_kafka_headers_t {
    if from.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: names and values are copied, with their lengths.
    unsafe {
        let headers = rd_kafka_headers_new(from.len());
        for (name, value) in from {
            let (value, len) = raw(value.as_deref());
            let name_len = name.len() as isize;
            rd_kafka_header_add(headers, name.as_ptr().cast(), name_len, value, len as isize);
        }
        headers
    }
}

/// Null is null; empty is a pointer to nothing.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| {
        (bytes.as_ptr() as *mut c_void, bytes.len())
    })
}

/// # Safety
/// `start` is null, or memory of that length that lives as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
}

/// # Safety
/// `start` is null, or a text that ends with a zero and lives as long as `'a`.
pub(super) unsafe fn text<'a>(start: *const c_char) -> &'a str {
    if start.is_null() {
        return "";
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(start) }.to_str().unwrap_or("")
}

/// # Safety
/// `list` is null or alive.
unsafe fn partitions(list: *mut rd_kafka_topic_partition_list_t) -> Vec<i32> {
    // SAFETY: by the caller; a list has `cnt` elements at `elems`, which is null if it has none.
    unsafe {
        match list.as_ref() {
            Some(list) if list.cnt > 0 => slice::from_raw_parts(list.elems, list.cnt as usize),
            _ => &[],
        }
    }
    .iter()
    .map(|element| element.partition)
    .collect()
}

/// # Safety
/// `event` is alive and an error.
unsafe fn topic_partition(event: *mut rd_kafka_event_t) -> Option<(String, i32)> {
    // SAFETY: by the caller; what it gives is ours, and is destroyed once.
    unsafe {
        let partition = rd_kafka_event_topic_partition(event);
        let copy = partition
            .as_ref()
            .map(|at| (text(at.topic).to_owned(), at.partition));
        if !partition.is_null() {
            rd_kafka_topic_partition_destroy(partition);
        }
        copy
    }
}

impl Polled<AdminClient<Context>> {
    pub(super) fn admin(client: AdminClient<Context>) -> Result<Self, Error> {
        // SAFETY: as above.
        let queue = unsafe { rd_kafka_queue_get_main(client.inner().native_ptr()) };
        Self::new(client.inner().context().clone(), client, queue)
    }
}

/// The broker's id of a topic, which rdkafka's metadata leaves out.
pub(super) fn topic_id(
    client: &Client<Context>,
    topic: &str,
    wait: Duration,
) -> Result<String, RDKafkaErrorCode> {
    let Ok(name) = CString::new(topic) else {
        return Err(RDKafkaErrorCode::InvalidTopic);
    };
    let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    let client = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: everything that is made here is destroyed here, in the reverse order; what is borrowed
    // from the answer is copied before that. Null options are not taken by every version.
    unsafe {
        let queue = rd_kafka_queue_new(client);
        let options = rd_kafka_AdminOptions_new(
            client,
            rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut problem = [0; 256];
        rd_kafka_AdminOptions_set_request_timeout(
            options,
            wait,
            problem.as_mut_ptr(),
            problem.len(),
        );
        let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        rd_kafka_DescribeTopics(client, topics, options, queue);
        let answer = rd_kafka_queue_poll(queue, wait);
        let id = described_id(answer);
        if !answer.is_null() {
            rd_kafka_event_destroy(answer);
        }
        rd_kafka_TopicCollection_destroy(topics);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
        id
    }
}

/// # Safety
/// `answer` is null, or alive and an answer to `DescribeTopics` of one topic.
unsafe fn described_id(answer: *mut rd_kafka_event_t) -> Result<String, RDKafkaErrorCode> {
    if answer.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    let none = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: by the caller; what the getters lend lives as long as the answer.
    unsafe {
        let error = rd_kafka_event_error(answer);
        if error != none {
            return Err(error.into());
        }
        let result = rd_kafka_event_DescribeTopics_result(answer);
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        }
        let error = rd_kafka_error_code(rd_kafka_TopicDescription_error(*topics));
        if error != none {
            return Err(error.into());
        }
        let id = rd_kafka_TopicDescription_topic_id(*topics);
        Ok(text(rd_kafka_Uuid_base64str(id)).to_owned())
    }
}
