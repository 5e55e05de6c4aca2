//! Requests that rdkafka does not have: the id of a topic, and a commit that is not waited for
//! for ever.

use std::{ffi::CString, marker::PhantomData, ptr, ptr::NonNull, time::Duration};

use rdkafka::{TopicPartitionList, bindings::*, client::Client, error::RDKafkaErrorCode};

use super::{ClientLog, Event, milliseconds, text};

const NO_ERROR: rd_kafka_resp_err_t = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// Commits offsets, and waits at most `wait` for the broker's answer. A commit that was not answered
/// in time may still be taken.
///
/// rdkafka's commit waits for as long as no coordinator is there, and does not tell if only some of
/// the offsets were taken.
pub(in crate::kafka) fn commit(
    client: &Client<ClientLog>,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let answer = ask(client, wait, |queue| {
        // SAFETY: client, list and queue are alive; the list is copied; there is no callback.
        let error = unsafe {
            rd_kafka_commit_queue(
                client.native_ptr(),
                offsets.ptr(),
                queue,
                None,
                ptr::null_mut(),
            )
        };
        check(error)
    })?;
    // SAFETY: the answer is alive, and so is the list that it lends.
    unsafe {
        check(rd_kafka_event_error(answer.event.as_ptr()))?;
        let taken = rd_kafka_event_topic_partition_list(answer.event.as_ptr());
        super::elements(taken)
            .iter()
            .try_for_each(|element| check(element.err))
    }
}

/// The broker's id of a topic, which rdkafka's metadata leaves out.
pub(in crate::kafka) fn topic_id(
    client: &Client<ClientLog>,
    topic: &str,
    wait: Duration,
) -> Result<String, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let answer = ask(client, wait, |queue| {
        let client = client.native_ptr();
        let mut names = [name.as_ptr()];
        let mut problem = [0; 256];
        // SAFETY: client, name and queue are alive; what is made here is destroyed here, after the
        // request has copied it.
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
            rd_kafka_DescribeTopics(client, topics, options, queue);
            rd_kafka_TopicCollection_destroy(topics);
            rd_kafka_AdminOptions_destroy(options);
        }
        Ok(())
    })?;
    // SAFETY: the answer is alive, and of this kind if it is no error; what the getters lend lives
    // as long.
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

/// Sends a request, and waits for the answer on a queue of its own.
fn ask<'c>(
    client: &'c Client<ClientLog>,
    wait: Duration,
    request: impl FnOnce(*mut rd_kafka_queue_t) -> Result<(), RDKafkaErrorCode>,
) -> Result<Event<'c>, RDKafkaErrorCode> {
    // SAFETY: the client is alive.
    let queue = unsafe { rd_kafka_queue_new(client.native_ptr()) };
    let asked = request(queue);
    // SAFETY: the queue is alive, and not used after this; an answer that comes later is dropped.
    let answer = unsafe {
        let answer = match asked {
            Ok(()) => rd_kafka_queue_poll(queue, milliseconds(wait)),
            Err(_) => ptr::null_mut(),
        };
        rd_kafka_queue_destroy(queue);
        answer
    };
    asked?;
    let event = NonNull::new(answer).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
    Ok(Event {
        event,
        client: PhantomData,
    })
}

fn check(error: rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    if error == NO_ERROR {
        Ok(())
    } else {
        Err(error.into())
    }
}
