//! The brokers: whether they answer, which topics they have, who is in a group; and where members
//! and readers come from. Must not know what topics are for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext,
    error::RDKafkaErrorCode,
};

use super::{
    Kafka, Reader,
    context::Context,
    embedded::{self, EmbeddedBroker},
    member::Member,
    names::Names,
    native::{Polled, topic_id},
    reader::TopicReader,
    settings::{self, Role},
};
use crate::{Config, Error, block::block_on};

/// How long a broker may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// A connection to the brokers of one configuration. Clones share it.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    admin: Polled<AdminClient<Context>>,
    connection: Connection,
    cluster_id: String,
}

/// What it takes to connect to the same brokers again.
pub(super) struct Connection {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) brokers: String,
    /// The broker, if it is inside this process.
    embedded: Option<EmbeddedBroker>,
}

/// A topic as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicInfo {
    pub(crate) partitions: i32,
    /// Another one after the topic was deleted and created again; empty if it is not known.
    pub(crate) id: String,
    /// `None` if the broker does not tell.
    pub(crate) cleanup_policy: Option<String>,
    pub(crate) delete_retention_ms: Option<i64>,
}

/// What a worker connects with. Topics and group are logical names.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec {
    pub(crate) group: String,
    /// The instance's id and the number of its worker: together the static member.
    pub(crate) instance: String,
    pub(crate) worker: usize,
    /// The one topic that is subscribed, for the numbers of its partitions.
    pub(crate) leader: String,
    /// Inputs, then the loop, as [`Kafka`] numbers them.
    pub(crate) sources: Vec<String>,
    /// What is produced to, as [`Kafka`] numbers it.
    pub(crate) targets: Vec<String>,
    /// The group table's topic.
    pub(crate) table: Option<String>,
}

/// A living member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupMember {
    pub(crate) id: String,
    pub(crate) client: String,
    /// Physical names of the topics that it subscribes.
    pub(crate) topics: Vec<String>,
}

impl Connection {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        settings::check(config)?;
        let brokers = config.brokers.trim();
        let embedded = match brokers {
            "embedded" => Some(EmbeddedBroker::shared()?),
            address => EmbeddedBroker::at(address),
        };
        let address = embedded.as_ref().map_or(brokers, EmbeddedBroker::address);
        Ok(Connection {
            config: config.clone(),
            names: Names::new(config)?,
            brokers: address.to_owned(),
            embedded,
        })
    }

    /// Opens a client; `change` has the last word on its settings.
    pub(super) fn open<T: FromClientConfigAndContext<Context>>(
        &self,
        role: Role,
        client: impl Into<String>,
        change: impl FnOnce(&mut rdkafka::ClientConfig),
    ) -> Result<T, Error> {
        let client = client.into();
        let mut settings = settings::of(&self.config, role)?;
        settings.set("bootstrap.servers", &self.brokers);
        change(&mut settings);
        let opened =
            settings.create_with_context(Context::new(client.clone(), self.embedded.clone()));
        opened.map_err(|error| Error::kafka(format!("open the {client}"), error))
    }
}

impl Cluster {
    /// Waits until a broker answers.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that are wrong, [`Error::Kafka`] if no broker answers within
    /// 10 s.
    pub(crate) fn connect(config: &Config) -> Result<Self, Error> {
        let connection = Connection::new(config)?;
        let admin: AdminClient<Context> =
            connection.open(Role::Admin, "connection for questions about topics", |_| {})?;
        let admin = Polled::admin(admin)?;
        let deadline = Instant::now() + ANSWER;
        let cluster_id = loop {
            let inner = admin.client().inner();
            if let Some(id) = inner.fetch_cluster_id(Duration::from_millis(200)) {
                break id;
            }
            drain(&admin);
            if Instant::now() > deadline {
                let brokers = &connection.brokers;
                let why = inner.context().problem();
                let why = why.as_deref().unwrap_or("nobody answers");
                return Err(Error::kafka(
                    format!("reach a Kafka broker at `{brokers}` within 10 s"),
                    format!(
                        "{why}; check the address (`Config::brokers`, GOKA_BROKERS), that the \
                         broker runs, and `security.protocol` if it wants TLS or a login"
                    ),
                ));
            }
        };
        Ok(Cluster(Arc::new(Inner {
            admin,
            connection,
            cluster_id,
        })))
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.0.cluster_id
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.connection.names
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Whether it is the mock cluster, of this process or another: it answers no questions about
    /// settings.
    pub(crate) fn is_embedded(&self) -> bool {
        self.0.cluster_id.starts_with(embedded::CLUSTER_ID)
    }

    /// What there is of these topics (logical names), in their order; `None` for a missing one.
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
            }));
        }
        for (name, topic) in names.iter().zip(&mut topics) {
            if let Some(topic) = topic {
                self.describe(&self.names().topic(name)?, topic)?;
            }
        }
        drain(&self.0.admin);
        Ok(topics)
    }

    fn partitions(&self, physical: &str) -> Result<Option<i32>, Error> {
        let asked = self.0.admin.client().inner();
        let failed = |why: String| Error::kafka(format!("ask for topic `{physical}`"), why);
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
                "the broker denies it; grant the right Describe on topic `{physical}`"
            ))),
            Some(code) => Err(failed(code.to_string())),
        }
    }

    /// Adds what only the broker's administration tells. Where that is denied, it stays unknown.
    fn describe(&self, physical: &str, topic: &mut TopicInfo) -> Result<(), Error> {
        if self.is_embedded() {
            let embedded = self.0.connection.embedded.as_ref();
            topic.cleanup_policy = embedded
                .and_then(|broker| broker.compacted(physical))
                .map(|compacted| if compacted { "compact" } else { "delete" }.to_owned());
            return Ok(());
        }
        let admin = self.0.admin.client();
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
                topic.delete_retention_ms =
                    value("delete.retention.ms").and_then(|ms| ms.parse().ok());
            }
            Some(Err(code)) => denied(physical, "DescribeConfigs", code)?,
            None => {}
        }
        Ok(())
    }

    /// Creates a topic with the broker's default number of replicas, and waits until it is known.
    /// One that exists is left as it is, whatever its partitions.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        compacted: bool,
    ) -> Result<(), Error> {
        let physical = self.names().topic(name)?;
        if let Some(broker) = &self.0.connection.embedded {
            return broker.create(&physical, partitions, compacted);
        }
        if self.is_embedded() {
            return self.create_far(&physical, partitions);
        }
        let policy = if compacted { "compact" } else { "delete" };
        let topic = NewTopic::new(&physical, partitions, TopicReplication::Fixed(-1))
            .set("cleanup.policy", policy);
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER))
            .operation_timeout(Some(ANSWER));
        let answer = block_on(self.0.admin.client().create_topics([&topic], &options));
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
                return Err(Error::Topic(format!(
                    "the broker denies the right to create topic `{physical}`: grant Create on it, \
                     or create it by hand with {partitions} partitions and cleanup.policy={policy}"
                )));
            }
            Some(Err((_, code))) => return Err(Error::kafka(doing(), code)),
        }
        self.wait_for(&physical).map(drop)
    }

    /// On an embedded broker of another process: it creates what it is asked about, but always with
    /// the same number of partitions.
    fn create_far(&self, physical: &str, partitions: i32) -> Result<(), Error> {
        if self.partitions(physical)?.is_some() {
            return Ok(());
        }
        if partitions != embedded::DEFAULT_PARTITIONS {
            return Err(Error::Topic(format!(
                "topic `{physical}` cannot be created with {partitions} partitions: the embedded \
                 broker of another process creates topics with {} only; let that process create \
                 it (`EmbeddedBroker::create_topic`), or use a real Kafka",
                embedded::DEFAULT_PARTITIONS
            )));
        }
        let creator: AdminClient<Context> =
            self.0
                .connection
                .open(Role::Admin, "connection that creates topics", |settings| {
                    settings.set("allow.auto.create.topics", "true");
                })?;
        creator
            .inner()
            .fetch_metadata(Some(physical), ANSWER)
            .map_err(|error| Error::kafka(format!("create topic `{physical}`"), error))?;
        self.wait_for(physical).map(drop)
    }

    /// Until every broker knows a topic that was just created.
    fn wait_for(&self, physical: &str) -> Result<i32, Error> {
        let deadline = Instant::now() + ANSWER;
        loop {
            if let Some(partitions) = self.partitions(physical)? {
                return Ok(partitions);
            }
            if Instant::now() > deadline {
                return Err(Error::Topic(format!(
                    "topic `{physical}` was created, but no broker knows it after 10 s"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Who is in a group now. Empty where the broker does not tell (the embedded one).
    pub(crate) fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        if self.is_embedded() {
            return Ok(Vec::new());
        }
        let physical = self.names().group(group)?;
        let groups = self
            .0
            .admin
            .client()
            .inner()
            .fetch_group_list(Some(&physical), ANSWER)
            .map_err(|error| Error::kafka(format!("describe group `{physical}`"), error))?;
        let group = groups
            .groups()
            .iter()
            .find(|group| group.name() == physical);
        let members = group.map_or(&[][..], |group| group.members());
        Ok(members
            .iter()
            .map(|member| GroupMember {
                id: member.id().to_owned(),
                client: member.client_id().to_owned(),
                topics: subscribed(member.metadata().unwrap_or(&[])).unwrap_or_default(),
            })
            .collect())
    }

    /// Joins a group. May be made on one thread and used on another.
    pub(crate) fn member(&self, spec: &MemberSpec) -> Result<Box<dyn Kafka + Send>, Error> {
        let table = spec.table.as_deref();
        let table = table.map(|table| self.topic_reader(table)).transpose()?;
        Ok(Box::new(Member::join(&self.0.connection, spec, table)?))
    }

    /// Reads a topic in no group.
    pub(crate) fn reader(&self, topic: &str) -> Result<Box<dyn Reader + Send>, Error> {
        Ok(Box::new(self.topic_reader(topic)?))
    }

    fn topic_reader(&self, topic: &str) -> Result<TopicReader, Error> {
        TopicReader::open(&self.0.connection, topic)
    }
}

/// An answer that is not allowed is no answer; anything else is an error.
fn denied(physical: &str, right: &str, code: RDKafkaErrorCode) -> Result<(), Error> {
    use RDKafkaErrorCode::*;
    match code {
        TopicAuthorizationFailed
        | ClusterAuthorizationFailed
        | UnsupportedFeature
        | UnsupportedVersion => {
            tracing::warn!(
                target: "goka::kafka",
                "topic `{physical}` cannot be checked: {code}; grant the right {right} on it"
            );
            Ok(())
        }
        _ => {
            let doing = format!("describe topic `{physical}`");
            Err(Error::kafka(doing, code))
        }
    }
}

/// librdkafka's log of this connection, which nobody else reads.
fn drain(admin: &Polled<AdminClient<Context>>) {
    while let Some(event) = admin.poll(Duration::ZERO) {
        if let super::native::Kind::Failed(failure) = event.kind() {
            let context: &Context = admin.client().inner().context();
            context.complain(&failure.code.to_string(), &failure.reason);
        }
    }
}

/// The topics in a member's subscription, as the consumer protocol writes it: a version, then
/// topics, each text with its length before it.
fn subscribed(metadata: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = metadata.split_at_checked(2)?;
    let (count, mut rest) = rest.split_first_chunk()?;
    let mut topics = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (len, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        topics.push(String::from_utf8_lossy(name).into_owned());
        rest = after;
    }
    Some(topics)
}
