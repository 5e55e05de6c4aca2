//! A request for the committed offsets of a group, by a client that is no member of the group, without waiting for the
//! answer. Must not know why a caller asks.

use std::{ffi::CString, ptr, slice, time::Duration};

use rdkafka::{TopicPartitionList, bindings::*, client::Client, error::RDKafkaErrorCode};

use super::{
    listed::{Listed, listed_at},
    request::{Asked, check},
};
use crate::kafka::client::log::ClientLog;

/// A request that is in flight to the group's coordinator. Dropping this value discards the answer.
pub(crate) struct GroupOffsetsRequest(Asked);

impl GroupOffsetsRequest {
    /// Sends the request, and does not wait for the answer, which comes within `wait`. `partitions`: `None` asks for
    /// all offsets of the group.
    ///
    /// # Safety
    ///
    /// The client outlives the request.
    pub(crate) unsafe fn begin(
        client: &Client<ClientLog>,
        group: &str,
        partitions: Option<&TopicPartitionList>,
        wait: Duration,
    ) -> Result<Self, RDKafkaErrorCode> {
        let group = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
        // SAFETY: by the caller.
        let asked = unsafe { Asked::new(client) };
        let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let partitions = partitions.map_or(ptr::null_mut(), TopicPartitionList::ptr);
        // SAFETY: client, name, list and queue are alive. This block destroys what it creates, after the request has
        // copied it.
        unsafe {
            let options = asked.options(client, operation, wait);
            let mut group = rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), partitions);
            rd_kafka_ListConsumerGroupOffsets(
                client.native_ptr(),
                &mut group,
                1,
                options,
                asked.queue,
            );
            rd_kafka_ListConsumerGroupOffsets_destroy(group);
            rd_kafka_AdminOptions_destroy(options);
        }
        Ok(GroupOffsetsRequest(asked))
    }

    /// Waits up to `wait` for the answer, and passes each of its partitions to `on`. Returns the answer once; `None` if
    /// the answer has not come.
    pub(crate) fn answer(
        &self,
        wait: Duration,
        mut on: impl FnMut(Listed<'_>),
    ) -> Option<Result<(), RDKafkaErrorCode>> {
        let answer = self.0.answer(wait)?;
        let event = answer.event.as_ptr();
        // SAFETY: the answer is alive, and has the offsets of groups unless it is an error. What the getters lend lives
        // as long as the answer.
        unsafe {
            if let Err(error) = check(rd_kafka_event_error(event)) {
                return Some(Err(error));
            }
            let result = rd_kafka_event_ListConsumerGroupOffsets_result(event);
            let mut count = 0;
            let groups = rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            let groups = match groups.is_null() {
                true => &[],
                false => slice::from_raw_parts(groups, count),
            };
            for &group in groups {
                let error = rd_kafka_group_result_error(group);
                if let Err(error) = check(rd_kafka_error_code(error)) {
                    return Some(Err(error));
                }
                listed_at(rd_kafka_group_result_partitions(group)).for_each(&mut on);
            }
        }
        Some(Ok(()))
    }
}
