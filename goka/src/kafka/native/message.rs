//! Records in librdkafka's memory: read without a copy, and produced by the handle of their topic.

use std::{
    ffi::{CString, c_int, c_void},
    ptr::{self, NonNull},
    slice,
};

use rdkafka::{
    bindings::*,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _},
};

use super::{ClientLog, Polled, text};
use crate::base::{
    error::Error,
    record::{HeaderSource, OwnedHeaders},
};

/// A record that came or was sent, in librdkafka's memory.
#[derive(Clone, Copy)]
pub(in crate::kafka) struct Message<'e>(&'e rd_kafka_message_t);

impl<'e> Message<'e> {
    pub(super) fn new(message: &'e rd_kafka_message_t) -> Self {
        Message(message)
    }

    /// Which topic it is of, to be compared.
    pub(in crate::kafka) fn is_of(&self, topic: &TopicHandle) -> bool {
        ptr::eq(self.0.rkt, topic.0.as_ptr())
    }

    pub(in crate::kafka) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(in crate::kafka) fn offset(&self) -> i64 {
        self.0.offset
    }

    pub(in crate::kafka) fn key(&self) -> Option<&'e [u8]> {
        // SAFETY: librdkafka's memory of that length, alive as long as the event.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(in crate::kafka) fn value(&self) -> Option<&'e [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Milliseconds since 1970; -1 if it has none.
    pub(in crate::kafka) fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; the kind of timestamp is not asked for.
        unsafe { rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    /// Of a delivery report: what was given when it was sent.
    pub(in crate::kafka) fn opaque(&self) -> usize {
        self.0._private as usize
    }

    /// Of a delivery report: why it was not delivered.
    pub(in crate::kafka) fn error(&self) -> Option<RDKafkaErrorCode> {
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
pub(in crate::kafka) struct TopicHandle(NonNull<rd_kafka_topic_t>);

// SAFETY: librdkafka's topics may be used by any thread.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

impl TopicHandle {
    /// # Safety
    /// `client` is alive, and is destroyed after the topic is dropped.
    pub(in crate::kafka) unsafe fn new(client: *mut rd_kafka_t, name: &str) -> Result<Self, Error> {
        let text = CString::new(name).map_err(|nul| Error::kafka("name a topic", nul))?;
        // SAFETY: by the caller; the name is copied, a null configuration is the default one.
        let topic = unsafe { rd_kafka_topic_new(client, text.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(TopicHandle).ok_or_else(|| {
            Error::kafka(
                format!("open topic `{name}`"),
                "librdkafka refuses its name",
            )
        })
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: owned, and its client is alive.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// A record to be produced.
pub(in crate::kafka) struct Produced<'a> {
    pub(in crate::kafka) topic: &'a TopicHandle,
    pub(in crate::kafka) partition: i32,
    pub(in crate::kafka) key: Option<&'a [u8]>,
    pub(in crate::kafka) value: Option<&'a [u8]>,
    pub(in crate::kafka) timestamp: i64,
    pub(in crate::kafka) headers: &'a OwnedHeaders,
    /// Comes back in its delivery report.
    pub(in crate::kafka) opaque: usize,
}

impl Polled<BaseProducer<ClientLog>> {
    /// Copies the record into the producer's queue.
    pub(in crate::kafka) fn produce(&self, record: &Produced<'_>) -> Result<(), RDKafkaErrorCode> {
        let (key, key_len) = raw(record.key);
        let (value, value_len) = raw(record.value);
        let headers = headers(record.headers);
        // SAFETY: every tag is followed by the arguments that librdkafka's header names for it, of
        // these very types; key and value are copied (F_COPY); the headers are taken if it succeeds.
        let error = unsafe {
            rd_kafka_producev(
                self.client().client().native_ptr(),
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
