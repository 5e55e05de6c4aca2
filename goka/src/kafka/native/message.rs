//! Records in librdkafka's memory, read without copying them. Must not know what is in a record.

use std::{
    ffi::CString,
    ptr::{self, NonNull},
};

use rdkafka::{bindings::*, error::RDKafkaErrorCode};

use super::raw::{bytes, text};
use crate::base::{error::Error, record::HeaderSource};

/// A record in librdkafka's memory. It was fetched, or its delivery is reported.
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
        // SAFETY: the pointer is null, or points to librdkafka's memory of this length, which lives as long as the
        // event.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(crate) fn value(&self) -> Option<&'e [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// The record's timestamp, in milliseconds since 1970; -1 if the record has no timestamp.
    pub(crate) fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; null means that the caller does not want to know the kind of the timestamp.
        unsafe { rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    /// The number with which the record was sent, if this is a delivery report.
    pub(crate) fn opaque(&self) -> usize {
        self.0._private as usize
    }

    /// Why the record was not delivered, if this is a delivery report; `None` if the record was delivered.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.0.err;
        (error != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    fn headers(&self) -> *mut rd_kafka_headers_t {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive, and owns the headers, which are parsed at the first call.
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
        // SAFETY: the headers belong to a message that is alive.
        unsafe { rd_kafka_header_cnt(headers) }
    }

    /// The name is empty if the header's name is not UTF-8, which Kafka's protocol forbids.
    fn get(&self, index: usize) -> (&str, Option<&[u8]>) {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        let headers = self.headers();
        // SAFETY: the headers belong to a message that is alive; name and value live as long as the message.
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
        // SAFETY: guaranteed by the caller. librdkafka copies the name; null means the default configuration.
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
        // SAFETY: the topic is owned, and the client is alive.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}
