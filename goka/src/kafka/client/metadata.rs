//! What any client can ask about a topic: its partitions, and their offsets. Must not know what the topic is for.

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

/// Log start offset and end offset of a partition, as the isolation level of this client sees them.
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
