//! Describes and creates topics of a cluster. Must not know what the topics are for.

use std::time::{Duration, Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::RDKafkaErrorCode,
};

use crate::{
    base::{block::block_on, error::Error},
    kafka::{
        client::{connection::ANSWER, log::ClientLog, settings::Role},
        cluster::Cluster,
        embedded,
        native::request::topic_id,
    },
};

/// The broker's description of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicInfo {
    pub(crate) partitions: i32,
    /// The topic's id; a topic that is deleted and created again gets a new id. Empty if the id is unknown.
    pub(crate) id: String,
    /// The setting `cleanup.policy`; `None` if it is unknown.
    pub(crate) cleanup_policy: Option<String>,
    /// How long the topic keeps tombstones, in milliseconds. Kafka's default if the setting is unknown; `None` on the
    /// embedded broker.
    pub(crate) delete_retention_ms: Option<i64>,
    /// The setting `min.compaction.lag.ms`: how long after its timestamp a record is safe from compaction, in
    /// milliseconds. `None` if it is unknown.
    pub(crate) compaction_lag_ms: Option<i64>,
}

/// The `min.compaction.lag.ms` of a changelog that goka creates, in milliseconds. After a crash, a group undoes rows of
/// the changelog with the rows before them, so that compaction must leave these for a while.
pub(crate) const COMPACTION_LAG_MS: i64 = 3_600_000;

/// Kafka's default of `delete.retention.ms`, in milliseconds, used if the topic's setting is unknown. At worst, a
/// local copy that is older than this is restored without need. A local copy that was trusted for ever could bring
/// deleted keys back.
const DELETE_RETENTION_MS: i64 = 86_400_000;

impl Cluster {
    /// Describes topics (logical names), in the order of `names`; `None` for a topic that does not exist.
    pub(crate) fn topics(&self, names: &[&str]) -> Result<Vec<Option<TopicInfo>>, Error> {
        let mut topics = Vec::with_capacity(names.len());
        for name in names {
            let physical = self.names().topic(name)?;
            let partitions = self.partitions(&physical)?;
            topics.push(partitions.map(|partitions| TopicInfo {
                partitions,
                id: String::new(),
                cleanup_policy: None,
                delete_retention_ms: None,
                compaction_lag_ms: None,
            }));
        }
        for (name, topic) in names.iter().zip(&mut topics) {
            if let Some(topic) = topic {
                self.describe(&self.names().topic(name)?, topic)?;
            }
        }
        self.drain();
        Ok(topics)
    }

    fn partitions(&self, physical: &str) -> Result<Option<i32>, Error> {
        let asked = self.admin().client().inner();
        let failed =
            |why: String| Error::kafka(format!("fetch metadata of topic `{physical}`"), why);
        let metadata = asked
            .fetch_metadata(Some(physical), ANSWER)
            .map_err(|error| failed(error.to_string()))?;
        let Some(topic) = metadata.topics().first() else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => Ok(i32::try_from(topic.partitions().len()).ok()),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Ok(None)
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(failed(format!(
                "the broker denies access; grant the ACL `Describe` on topic `{physical}`"
            ))),
            Some(code) => Err(failed(code.to_string())),
        }
    }

    /// Adds the topic's id and settings to `topic`. Those to which the broker denies access remain unknown.
    fn describe(&self, physical: &str, topic: &mut TopicInfo) -> Result<(), Error> {
        if self.is_embedded() {
            let embedded = self.connection().embedded.as_ref();
            topic.cleanup_policy = embedded
                .and_then(|broker| broker.compacted(physical))
                .map(|compacted| if compacted { "compact" } else { "delete" }.to_owned());
            return Ok(());
        }
        topic.delete_retention_ms = retention_ms(None);
        let admin = self.admin().client();
        match topic_id(admin.inner(), physical, ANSWER) {
            Ok(id) => topic.id = id,
            Err(code) => denied(physical, "Describe", code)?,
        }
        let resource = ResourceSpecifier::Topic(physical);
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let answer = block_on(admin.describe_configs([&resource], &options))
            .map_err(|error| Error::kafka(format!("describe topic `{physical}`"), error))?;
        match answer.into_iter().next() {
            Some(Ok(settings)) => {
                let value = |key: &str| settings.get(key).and_then(|entry| entry.value.clone());
                topic.cleanup_policy = value("cleanup.policy");
                topic.delete_retention_ms = retention_ms(value("delete.retention.ms").as_deref());
                topic.compaction_lag_ms =
                    value("min.compaction.lag.ms").and_then(|ms| ms.parse().ok());
            }
            Some(Err(code)) => denied(physical, "DescribeConfigs", code)?,
            None => {}
        }
        Ok(())
    }

    /// Creates a topic with the broker's default replication factor, and waits until a broker knows the topic. A topic
    /// that already exists is left unchanged, whatever its number of partitions.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        compacted: bool,
    ) -> Result<(), Error> {
        let physical = self.names().topic(name)?;
        if let Some(broker) = &self.connection().embedded {
            return broker.create(&physical, partitions, compacted);
        }
        if self.is_embedded() {
            return self.create_far(&physical, partitions);
        }
        let policy = if compacted { "compact" } else { "delete" };
        let lag = COMPACTION_LAG_MS.to_string();
        let mut topic = NewTopic::new(&physical, partitions, TopicReplication::Fixed(-1))
            .set("cleanup.policy", policy);
        if compacted {
            topic = topic.set("min.compaction.lag.ms", &lag);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER))
            .operation_timeout(Some(ANSWER));
        let answer = block_on(self.admin().client().create_topics([&topic], &options));
        let doing = || format!("create topic `{physical}`");
        match answer
            .map_err(|error| Error::kafka(doing(), error))?
            .into_iter()
            .next()
        {
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
            Some(Err((
                _,
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ))) => {
                let lag = match compacted {
                    true => format!(" and min.compaction.lag.ms={lag}"),
                    false => String::new(),
                };
                return Err(Error::Topic(format!(
                    "the broker denies creating topic `{physical}`: grant the ACL `Create` on it, or create it with \
                     {partitions} partitions and cleanup.policy={policy}{lag}"
                )));
            }
            Some(Err((_, code))) => return Err(Error::kafka(doing(), code)),
        }
        self.wait_for(&physical).map(drop)
    }

    /// Creates a topic on the embedded broker of another process. That broker creates a topic when a client asks for
    /// the topic's metadata, and always gives it the same number of partitions.
    fn create_far(&self, physical: &str, partitions: i32) -> Result<(), Error> {
        if self.partitions(physical)?.is_some() {
            return Ok(());
        }
        if partitions != embedded::DEFAULT_PARTITIONS {
            return Err(Error::Topic(format!(
                "cannot create topic `{physical}` with {partitions} partitions: a topic that another process creates on \
                 an embedded broker always has {} partitions; create the topic in the broker's process \
                 (`EmbeddedBroker::create_topic`), or use a real Kafka",
                embedded::DEFAULT_PARTITIONS
            )));
        }
        let creator: AdminClient<ClientLog> =
            self.connection()
                .open(Role::Admin, "client that creates topics", |settings| {
                    settings.set("allow.auto.create.topics", "true");
                })?;
        creator
            .inner()
            .fetch_metadata(Some(physical), ANSWER)
            .map_err(|error| Error::kafka(format!("create topic `{physical}`"), error))?;
        self.wait_for(physical).map(drop)
    }

    /// Waits until the broker knows a topic that was just created, and returns its number of partitions.
    fn wait_for(&self, physical: &str) -> Result<i32, Error> {
        let deadline = Instant::now() + ANSWER;
        loop {
            if let Some(partitions) = self.partitions(physical)? {
                return Ok(partitions);
            }
            if Instant::now() > deadline {
                return Err(Error::Topic(format!(
                    "topic `{physical}` was created, but the broker does not know it after 10 s: check the cluster"
                )));
            }
            // No broker tells when it knows a topic; it can only be asked again, until the deadline.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How long a real Kafka keeps the tombstones of a topic, in milliseconds: `told`, the broker's value of
/// `delete.retention.ms`, or Kafka's default if `told` is not a number.
fn retention_ms(told: Option<&str>) -> Option<i64> {
    let told = told.and_then(|ms| ms.parse().ok());
    told.or(Some(DELETE_RETENTION_MS))
}

/// Logs that the broker denies access to a description, which then remains unknown. Returns any other code as an
/// error.
fn denied(physical: &str, right: &str, code: RDKafkaErrorCode) -> Result<(), Error> {
    use RDKafkaErrorCode::*;
    match code {
        TopicAuthorizationFailed
        | ClusterAuthorizationFailed
        | UnsupportedFeature
        | UnsupportedVersion => {
            tracing::warn!(
                target: "goka::kafka",
                topic = physical, error = %code,
                "cannot check the settings of a topic; grant the ACL `{right}` on the topic"
            );
            Ok(())
        }
        _ => {
            let doing = format!("describe topic `{physical}`");
            Err(Error::kafka(doing, code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_does_not_tell_has_the_default() {
        assert_eq!(retention_ms(Some("3600000")), Some(3_600_000));
        assert_eq!(retention_ms(None), Some(86_400_000));
        assert_eq!(retention_ms(Some("")), Some(86_400_000));
    }
}
