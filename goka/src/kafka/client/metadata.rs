//! Requests about a topic that any client can make: its number of partitions, and the offsets of a partition. Must not
//! know what the topic is for.

use rdkafka::{client::Client, error::RDKafkaErrorCode};

use super::{
    connection::{ANSWER, SOON},
    log::ClientLog,
};
use crate::base::error::Error;

/// Number of partitions of a topic, which must exist.
pub(crate) fn partitions(client: &Client<ClientLog>, physical: &str) -> Result<i32, Error> {
    let doing = || format!("fetch metadata of topic `{physical}`");
    let metadata = client
        .fetch_metadata(Some(physical), ANSWER)
        .map_err(|error| Error::kafka(doing(), error))?;
    let missing = || {
        Error::Topic(format!(
            "topic `{physical}` does not exist: create it, or let goka create it (`Config::create_stream`)"
        ))
    };
    let topic = metadata.topics().first().ok_or_else(missing)?;
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {
            i32::try_from(topic.partitions().len()).map_err(|error| Error::kafka(doing(), error))
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(missing())
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(Error::kafka(
            doing(),
            format!("the broker denies access; grant the ACL `Describe` on topic `{physical}`"),
        )),
        Some(code) => Err(Error::kafka(doing(), code)),
    }
}

/// The log start offset and the end offset of a partition. The end offset depends on the isolation level of the
/// client.
pub(crate) fn watermarks(
    client: &Client<ClientLog>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), Error> {
    client
        .fetch_watermarks(topic, partition, SOON)
        .map_err(|error| {
            let doing = format!("fetch the offsets of topic `{topic}`, partition {partition}");
            Error::kafka(doing, error)
        })
}
