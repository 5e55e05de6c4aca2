//! librdkafka's calls for transactions. rdkafka's own calls are not used, because each of them first flushes, for up
//! to 100 ms, and none exposes the identity of a group member. Must not know what is in a transaction.

use std::{ffi::CStr, ptr::NonNull, time::Duration};

use rdkafka::{TopicPartitionList, bindings::*, client::Client, error::RDKafkaErrorCode};

use super::raw::{milliseconds, text};
use crate::kafka::client::log::ClientLog;

/// Why a step of a transaction failed, or why the outcome of the step is unknown.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
    /// Whether the call may be repeated.
    pub(crate) is_retriable: bool,
    /// Whether the transaction has failed but can be aborted.
    pub(crate) is_abortable: bool,
}

/// Initializes the producer's transactional id. This fences the previous producer of that id and aborts its open
/// transaction.
pub(crate) fn init_transactions(client: &Client<ClientLog>, wait: Duration) -> Result<(), Problem> {
    // SAFETY: the client is alive. `check` destroys the error.
    check(unsafe { rd_kafka_init_transactions(client.native_ptr(), milliseconds(wait)) })
}

pub(crate) fn begin_transaction(client: &Client<ClientLog>) -> Result<(), Problem> {
    // SAFETY: the client is alive. `check` destroys the error.
    check(unsafe { rd_kafka_begin_transaction(client.native_ptr()) })
}

/// Adds offsets to the transaction, on behalf of a group member.
pub(crate) fn send_offsets(
    client: &Client<ClientLog>,
    offsets: &TopicPartitionList,
    membership: &Membership,
    wait: Duration,
) -> Result<(), Problem> {
    // SAFETY: the client is alive. `check` destroys the error. List and membership are alive, and librdkafka copies
    // them.
    check(unsafe {
        rd_kafka_send_offsets_to_transaction(
            client.native_ptr(),
            offsets.ptr(),
            membership.0.as_ptr(),
            milliseconds(wait),
        )
    })
}

pub(crate) fn commit_transaction(
    client: &Client<ClientLog>,
    wait: Duration,
) -> Result<(), Problem> {
    // SAFETY: the client is alive. `check` destroys the error.
    check(unsafe { rd_kafka_commit_transaction(client.native_ptr(), milliseconds(wait)) })
}

/// Aborts the transaction. Meanwhile, another thread has to take the producer's delivery reports.
pub(crate) fn abort_transaction(client: &Client<ClientLog>, wait: Duration) -> Result<(), Problem> {
    // SAFETY: the client is alive. `check` destroys the error.
    check(unsafe { rd_kafka_abort_transaction(client.native_ptr(), milliseconds(wait)) })
}

/// The identity of a group member (member id and generation) at one moment.
pub(crate) struct Membership(NonNull<rd_kafka_consumer_group_metadata_t>);

// SAFETY: the metadata is plain data, and this value owns it.
unsafe impl Send for Membership {}

impl Membership {
    /// The identity of a consumer; `None` if the consumer has no group.
    pub(crate) fn of(client: &Client<ClientLog>) -> Option<Self> {
        // SAFETY: the client is alive, and the result is ours.
        let metadata = unsafe { rd_kafka_consumer_group_metadata(client.native_ptr()) };
        NonNull::new(metadata).map(Membership)
    }

    /// Whether this is the identity of a member. A broker would accept offsets from any client if they came with an
    /// identity that names no member.
    pub(crate) fn is_member(&self) -> bool {
        // SAFETY: the metadata is alive, and lends the text.
        unsafe {
            let metadata = self.0.as_ptr();
            let id = rd_kafka_consumer_group_metadata_member_id(metadata);
            let generation = rd_kafka_consumer_group_metadata_generation_id(metadata);
            generation >= 0 && !id.is_null() && !CStr::from_ptr(id).is_empty()
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: this value owns the metadata.
        unsafe { rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

fn check(error: *mut rd_kafka_error_t) -> Result<(), Problem> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error and its text are alive until the error is destroyed here.
    unsafe {
        let problem = Problem {
            code: rd_kafka_error_code(error).into(),
            reason: text(rd_kafka_error_string(error)).to_owned(),
            is_retriable: rd_kafka_error_is_retriable(error) != 0,
            is_abortable: rd_kafka_error_txn_requires_abort(error) != 0,
        };
        rd_kafka_error_destroy(error);
        Err(problem)
    }
}
