//! Requests that rdkafka does not offer: topic ids, the end offset in the broker's last response, and commits that do
//! not block. Must not know why a caller asks.

use std::{ffi::CString, marker::PhantomData, ptr, ptr::NonNull, time::Duration};

use rdkafka::{
    TopicPartitionList,
    bindings::*,
    client::{Client, ClientContext},
    error::RDKafkaErrorCode,
};

use super::{
    event::Event,
    raw::{elements, milliseconds, text},
};
use crate::kafka::client::log::ClientLog;

const NO_ERROR: rd_kafka_resp_err_t = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// A commit that is in flight to the group's coordinator. Dropping this value discards the answer; the coordinator may
/// or may not take the offsets.
pub(crate) struct Commit(Asked);

impl Commit {
    /// Sends offsets, and does not wait for the answer.
    ///
    /// rdkafka's own commit blocks as long as there is no coordinator, and does not report it if only some of the
    /// offsets were taken.
    ///
    /// # Safety
    ///
    /// The client outlives the commit.
    pub(crate) unsafe fn begin(
        client: &Client<ClientLog>,
        offsets: &TopicPartitionList,
    ) -> Result<Self, RDKafkaErrorCode> {
        // SAFETY: by the caller.
        let asked = unsafe { Asked::new(client) };
        // SAFETY: client, list and queue are alive. librdkafka copies the list. There is no callback.
        let error = unsafe {
            rd_kafka_commit_queue(
                client.native_ptr(),
                offsets.ptr(),
                asked.queue,
                None,
                ptr::null_mut(),
            )
        };
        check(error).map(|()| Commit(asked))
    }

    /// Waits up to `wait` for the broker's answer, and returns it once. Returns `None` if the answer has not come.
    pub(crate) fn answer(&self, wait: Duration) -> Option<Result<(), RDKafkaErrorCode>> {
        let answer = self.0.answer(wait)?;
        // SAFETY: the answer is alive, and lends the list.
        unsafe {
            if let Err(error) = check(rd_kafka_event_error(answer.event.as_ptr())) {
                return Some(Err(error));
            }
            let taken = rd_kafka_event_topic_partition_list(answer.event.as_ptr());
            let mut elements = elements(taken).iter();
            Some(elements.try_for_each(|element| check(element.err)))
        }
    }
}

/// Asks a broker for the id of a topic, which rdkafka's metadata does not contain.
pub(crate) fn topic_id(
    client: &Client<ClientLog>,
    topic: &str,
    wait: Duration,
) -> Result<String, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: the client is borrowed and outlives this function.
    let asked = unsafe { Asked::new(client) };
    {
        let client = client.native_ptr();
        let mut names = [name.as_ptr()];
        let mut problem = [0; 256];
        // SAFETY: client, name and queue are alive. This block destroys what it creates, after the request has copied
        // it.
        unsafe {
            let options = rd_kafka_AdminOptions_new(
                client,
                rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            );
            rd_kafka_AdminOptions_set_request_timeout(
                options,
                milliseconds(wait),
                problem.as_mut_ptr(),
                problem.len(),
            );
            let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            rd_kafka_DescribeTopics(client, topics, options, asked.queue);
            rd_kafka_TopicCollection_destroy(topics);
            rd_kafka_AdminOptions_destroy(options);
        }
    }
    let answer = asked.answer(wait);
    let answer = answer.ok_or(RDKafkaErrorCode::OperationTimedOut)?;
    // SAFETY: the answer is alive, and describes topics unless it is an error. What the getters lend lives as long as
    // the answer.
    unsafe {
        check(rd_kafka_event_error(answer.event.as_ptr()))?;
        let result = rd_kafka_event_DescribeTopics_result(answer.event.as_ptr());
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        }
        check(rd_kafka_error_code(rd_kafka_TopicDescription_error(
            *topics,
        )))?;
        let id = rd_kafka_TopicDescription_topic_id(*topics);
        Ok(text(rd_kafka_Uuid_base64str(id)).to_owned())
    }
}

/// The end offset of a partition that is being fetched, as of the broker's last response; `None` if it is unknown.
pub(crate) fn last_heard_end<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut first, mut end) = (-1, -1);
    // SAFETY: the client is alive, the name is copied, and the two numbers are local variables.
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

/// A request and the queue for its answer.
struct Asked {
    queue: *mut rd_kafka_queue_t,
}

// SAFETY: librdkafka's queues may be used and destroyed by any thread.
unsafe impl Send for Asked {}

impl Asked {
    /// # Safety
    ///
    /// The client outlives the queue.
    unsafe fn new(client: &Client<ClientLog>) -> Self {
        // SAFETY: the client is alive.
        let queue = unsafe { rd_kafka_queue_new(client.native_ptr()) };
        Asked { queue }
    }

    fn answer(&self, wait: Duration) -> Option<Event<'_>> {
        // SAFETY: the queue is alive, and the wrapper owns the event.
        let event = unsafe { rd_kafka_queue_poll(self.queue, milliseconds(wait)) };
        Some(Event {
            event: NonNull::new(event)?,
            client: PhantomData,
        })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // SAFETY: the client is alive, and the queue is not used after this. librdkafka drops an answer that comes
        // later.
        unsafe { rd_kafka_queue_destroy(self.queue) }
    }
}

fn check(error: rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    if error == NO_ERROR {
        Ok(())
    } else {
        Err(error.into())
    }
}
