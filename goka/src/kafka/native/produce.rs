//! Producing a record with librdkafka's topic handle, without rdkafka's allocations. Must not know who sends.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use rdkafka::{
    bindings::*,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _},
};

use super::{event::Polled, message::TopicHandle};
use crate::{base::record::OwnedHeaders, kafka::client::log::ClientLog};

/// A record to produce.
pub(crate) struct Produced<'a> {
    pub(crate) topic: &'a TopicHandle,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
    /// A number that the delivery report repeats.
    pub(crate) opaque: usize,
}

impl Polled<BaseProducer<ClientLog>> {
    /// Copies the record into the producer's queue.
    pub(crate) fn produce(&self, record: &Produced<'_>) -> Result<(), RDKafkaErrorCode> {
        let (key, key_len) = raw(record.key);
        let (value, value_len) = raw(record.value);
        let headers = headers(record.headers);
        // SAFETY: every tag is followed by the arguments that librdkafka's header file names for it, with their types.
        // librdkafka copies key and value (F_COPY), and becomes the owner of the headers if the call succeeds.
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
            // SAFETY: the call failed, so the headers are still ours.
            unsafe { rd_kafka_headers_destroy(headers) }
        }
        Err(error.into())
    }
}

/// Copies headers into librdkafka's memory. The caller owns the copy, which is null if there are no headers.
fn headers(from: &OwnedHeaders) -> *mut rd_kafka_headers_t {
    if from.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: librdkafka copies names and values by their lengths.
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

/// Bytes as librdkafka takes them: a pointer and a length. `None` becomes a null pointer; an empty slice becomes
/// another pointer, with length 0.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| {
        (bytes.as_ptr() as *mut c_void, bytes.len())
    })
}
