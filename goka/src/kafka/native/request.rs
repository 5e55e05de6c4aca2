//! Requests that rdkafka does not offer: topic ids, the end offset in the broker's last response, and commits that do
//! not block. Must not know why a caller asks.

use std::{
    ffi::{CString, c_char},
    marker::PhantomData,
    ptr,
    ptr::NonNull,
    slice,
    time::Duration,
};

use rdkafka::{
    TopicPartitionList,
    bindings::*,
    client::{Client, ClientContext},
    error::RDKafkaErrorCode,
};

use super::{
    event::Event,
    listed::listed_at,
    raw::{milliseconds, text},
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
    ///
    /// The answer is an error if the broker has refused any of the offsets. The broker may have taken the others.
    pub(crate) fn answer(&self, wait: Duration) -> Option<Result<(), Refused>> {
        let answer = self.0.answer(wait)?;
        // SAFETY: the answer is alive, and lends the list.
        unsafe {
            let all = check(rd_kafka_event_error(answer.event.as_ptr()));
            let list = rd_kafka_event_topic_partition_list(answer.event.as_ptr());
            let each = listed_at(list).filter_map(|listed| Some((listed.topic, listed.error?)));
            Some(taken(all, each))
        }
    }
}

/// Why the broker did not take a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: RDKafkaErrorCode,
    /// Physical names of the topics to which the broker denies access.
    pub(crate) denied: Vec<String>,
}

impl From<RDKafkaErrorCode> for Refused {
    fn from(code: RDKafkaErrorCode) -> Self {
        Refused {
            code,
            denied: Vec::new(),
        }
    }
}

/// The outcome of a commit: `all` is the outcome of the request, and `refused` has the partitions that were refused.
/// Missing access to a topic takes precedence over other codes, because trying again does not help.
fn taken<'t>(
    all: Result<(), RDKafkaErrorCode>,
    refused: impl Iterator<Item = (&'t str, RDKafkaErrorCode)>,
) -> Result<(), Refused> {
    let (mut code, mut denied) = (all.err(), Vec::new());
    for (topic, why) in refused {
        if why == RDKafkaErrorCode::TopicAuthorizationFailed {
            denied.push(topic.to_owned());
        }
        code = code.or(Some(why));
    }
    denied.dedup();
    match code {
        None => Ok(()),
        Some(_) if !denied.is_empty() => Err(Refused {
            code: RDKafkaErrorCode::TopicAuthorizationFailed,
            denied,
        }),
        Some(code) => Err(code.into()),
    }
}

/// A request for the ids of topics, which rdkafka's metadata does not contain.
pub(crate) struct TopicIds(Asked);

impl TopicIds {
    /// Sends the request, and does not wait for the answer, which comes within `wait`.
    ///
    /// # Safety
    ///
    /// The client outlives the request.
    pub(crate) unsafe fn begin(
        client: &Client<ClientLog>,
        topics: &[&str],
        wait: Duration,
    ) -> Result<Self, RDKafkaErrorCode> {
        let names = topics.iter().map(|topic| CString::new(*topic));
        let names: Result<Vec<_>, _> = names.collect();
        let names = names.map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: by the caller.
        let asked = unsafe { Asked::new(client) };
        let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        // SAFETY: client, names and queue are alive. This block destroys what it creates, after the request has copied
        // it.
        unsafe {
            let options = asked.options(client, operation, wait);
            let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            rd_kafka_DescribeTopics(client.native_ptr(), topics, options, asked.queue);
            rd_kafka_TopicCollection_destroy(topics);
            rd_kafka_AdminOptions_destroy(options);
        }
        Ok(TopicIds(asked))
    }

    /// Waits up to `wait` for the answer, and returns it once: the name of each topic, and its id or why the broker
    /// does not give the id. Returns `None` if the answer has not come.
    #[allow(clippy::type_complexity, reason = "a list of answers, used once")]
    pub(crate) fn answer(
        &self,
        wait: Duration,
    ) -> Option<Result<Vec<(String, Result<String, RDKafkaErrorCode>)>, RDKafkaErrorCode>> {
        let answer = self.0.answer(wait)?;
        // SAFETY: the answer is alive, and describes topics unless it is an error. What the getters lend lives as long
        // as the answer.
        unsafe {
            if let Err(error) = check(rd_kafka_event_error(answer.event.as_ptr())) {
                return Some(Err(error));
            }
            let result = rd_kafka_event_DescribeTopics_result(answer.event.as_ptr());
            let mut count = 0;
            let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
            let topics = match topics.is_null() {
                true => &[],
                false => slice::from_raw_parts(topics, count),
            };
            let described = topics.iter().map(|&topic| {
                let name = text(rd_kafka_TopicDescription_name(topic)).to_owned();
                let error = check(rd_kafka_error_code(rd_kafka_TopicDescription_error(topic)));
                let id = error.map(|()| {
                    let id = rd_kafka_TopicDescription_topic_id(topic);
                    text(rd_kafka_Uuid_base64str(id)).to_owned()
                });
                (name, id)
            });
            Some(Ok(described.collect()))
        }
    }
}

/// Asks a broker for the id of a topic.
pub(crate) fn topic_id(
    client: &Client<ClientLog>,
    topic: &str,
    wait: Duration,
) -> Result<String, RDKafkaErrorCode> {
    // SAFETY: the client is borrowed and outlives this function.
    let asked = unsafe { TopicIds::begin(client, &[topic], wait) }?;
    let answer = asked.answer(wait);
    let answer = answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))?;
    let missing = Err(RDKafkaErrorCode::UnknownTopicOrPartition);
    answer.into_iter().next().map_or(missing, |(_, id)| id)
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
pub(super) struct Asked {
    pub(super) queue: *mut rd_kafka_queue_t,
}

// SAFETY: librdkafka's queues may be used and destroyed by any thread.
unsafe impl Send for Asked {}

impl Asked {
    /// # Safety
    ///
    /// The client outlives the queue.
    pub(super) unsafe fn new(client: &Client<ClientLog>) -> Self {
        // SAFETY: the client is alive.
        let queue = unsafe { rd_kafka_queue_new(client.native_ptr()) };
        Asked { queue }
    }

    /// Options of an admin request that is answered within `wait`. The caller destroys them.
    pub(super) fn options(
        &self,
        client: &Client<ClientLog>,
        operation: rd_kafka_admin_op_t,
        wait: Duration,
    ) -> *mut rd_kafka_AdminOptions_t {
        let mut problem = [0; 256];
        let (text, size) = (problem.as_mut_ptr(), problem.len());
        // SAFETY: the client is alive, and the text outlives the call.
        unsafe {
            let options = rd_kafka_AdminOptions_new(client.native_ptr(), operation);
            rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(wait), text, size);
            options
        }
    }

    pub(super) fn answer(&self, wait: Duration) -> Option<Event<'_>> {
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

pub(super) fn check(error: rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    if error == NO_ERROR {
        Ok(())
    } else {
        Err(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_refused_if_any_partition_is_refused() {
        use RDKafkaErrorCode::*;
        let refused = |each: &[(&'static str, RDKafkaErrorCode)]| {
            taken(Ok(()), each.iter().copied()).map_err(|refused| (refused.code, refused.denied))
        };
        assert_eq!(refused(&[]), Ok(()));
        let one = refused(&[("clicks", NotCoordinator)]);
        assert_eq!(one, Err((NotCoordinator, vec![])));
        let denied = refused(&[
            ("clicks", NotCoordinator),
            ("my-group-state", TopicAuthorizationFailed),
            ("my-group-state", TopicAuthorizationFailed),
        ]);
        let topics = vec!["my-group-state".to_owned()];
        assert_eq!(denied, Err((TopicAuthorizationFailed, topics)));
        let all = taken(Err(RebalanceInProgress), std::iter::empty());
        assert_eq!(all, Err(RebalanceInProgress.into()));
    }
}
