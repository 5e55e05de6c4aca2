//! Transactions, as librdkafka has them. rdkafka's own calls flush before, for up to 100 ms each
//! time, and do not show as whom the group knows a member.

use std::{ffi::CStr, ptr::NonNull, time::Duration};

use rdkafka::{TopicPartitionList, bindings::*, client::Client, error::RDKafkaErrorCode};

use super::raw::{milliseconds, text};
use crate::kafka::client::log::ClientLog;

/// Why a step of a transaction was not taken, or is not known to be.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
    /// The same call may be made again.
    pub(crate) is_retriable: bool,
    /// The transaction has failed, and can be aborted.
    pub(crate) is_abortable: bool,
}

/// Gives the producer its place among those of its transactional id: whoever had it before can
/// commit nothing any more, and what it had begun is aborted.
pub(crate) fn init_transactions(client: &Client<ClientLog>, wait: Duration) -> Result<(), Problem> {
    // SAFETY: the client is alive; the error is ours.
    check(unsafe { rd_kafka_init_transactions(client.native_ptr(), milliseconds(wait)) })
}

pub(crate) fn begin_transaction(client: &Client<ClientLog>) -> Result<(), Problem> {
    // SAFETY: as above.
    check(unsafe { rd_kafka_begin_transaction(client.native_ptr()) })
}

/// Adds offsets to the transaction, in the name of a member.
pub(crate) fn send_offsets(
    client: &Client<ClientLog>,
    offsets: &TopicPartitionList,
    membership: &Membership,
    wait: Duration,
) -> Result<(), Problem> {
    // SAFETY: as above; list and membership are alive, and are copied.
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
    // SAFETY: as above.
    check(unsafe { rd_kafka_commit_transaction(client.native_ptr(), milliseconds(wait)) })
}

/// Somebody has to take delivery reports meanwhile.
pub(crate) fn abort_transaction(client: &Client<ClientLog>, wait: Duration) -> Result<(), Problem> {
    // SAFETY: as above.
    check(unsafe { rd_kafka_abort_transaction(client.native_ptr(), milliseconds(wait)) })
}

/// As whom the group knows a consumer, at one moment.
pub(crate) struct Membership(NonNull<rd_kafka_consumer_group_metadata_t>);

// SAFETY: it is plain data, and nobody else has it.
unsafe impl Send for Membership {}

impl Membership {
    /// `None`: the client is in no group.
    pub(crate) fn of(client: &Client<ClientLog>) -> Option<Self> {
        // SAFETY: the client is alive; what it gives is ours.
        let metadata = unsafe { rd_kafka_consumer_group_metadata(client.native_ptr()) };
        NonNull::new(metadata).map(Membership)
    }

    /// Whether it names a member. If not, a broker would take offsets from anybody in its name.
    pub(crate) fn is_member(&self) -> bool {
        // SAFETY: it is alive, and so is the text that it lends.
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
        // SAFETY: owned.
        unsafe { rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

fn check(error: *mut rd_kafka_error_t) -> Result<(), Problem> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: it is alive until it is destroyed here, and so is its text.
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
