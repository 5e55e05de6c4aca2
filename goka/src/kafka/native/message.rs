//! Records in librdkafka's memory, read without a copy. Must not know what is in a record.

use std::{
    ffi::CString,
    ptr::{self, NonNull},
};

use rdkafka::{bindings::*, error::RDKafkaErrorCode};

use super::raw::{bytes, text};
use crate::base::{error::Error, record::HeaderSource};

/// A record that was fetched, or whose delivery is reported, in librdkafka's memory.
#[derive(Clone, Copy)]
pub(crate) struct Message<'e>(&'e rd_kafka_message_t);

impl<'e> Message<'e> {
    pub(crate) fn new(message: &'e rd_kafka_message_t) -> Self {
        Message(message)
    }

    /// Whether the record is of this topic.
    pub(crate) fn is_of(&self, topic: &TopicHandle) -> bool {
        ptr::eq(self.0.rkt, topic.0.as_ptr())
    }

    pub(crate) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.0.offset
    }

    pub(crate) fn key(&self) -> Option<&'e [u8]> {
        // SAFETY: librdkafka's memory of that length, which lives as long as the event.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(crate) fn value(&self) -> Option<&'e [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Milliseconds since 1970; -1 without a timestamp.
    pub(crate) fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; null means that the kind of timestamp is not wanted.
        unsafe { rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    /// Of a delivery report: the number that the record was sent with.
    pub(crate) fn opaque(&self) -> usize {
        self.0._private as usize
    }

    /// Of a delivery report: why the record was not delivered.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.0.err;
        (error != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    fn headers(&self) -> *mut rd_kafka_headers_t {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive, and owns the headers that it parses at the first call.
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

    /// A header whose name is not UTF-8, which Kafka's protocol forbids, has an empty name.
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

/// A client's handle of a topic. Must be dropped before the client.
pub(crate) struct TopicHandle(pub(super) NonNull<rd_kafka_topic_t>);

// SAFETY: librdkafka's topics may be used by any thread.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

impl TopicHandle {
    /// # Safety
    /// `client` is alive, and is destroyed after the handle is dropped.
    pub(crate) unsafe fn new(client: *mut rd_kafka_t, name: &str) -> Result<Self, Error> {
        let text = CString::new(name).map_err(|nul| Error::kafka("open a topic", nul))?;
        // SAFETY: by the caller. librdkafka copies the name; null means the default configuration.
        let topic = unsafe { rd_kafka_topic_new(client, text.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(TopicHandle).ok_or_else(|| {
            Error::kafka(
                format!("open topic `{name}`"),
                "librdkafka rejects the topic's name",
            )
        })
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: owned, and the client is alive.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}
