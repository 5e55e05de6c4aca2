//! The brokers: whether they answer, which topics they have, who is in a group; and where members
//! and readers come from. Must not know what topics are for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{admin::AdminClient, client::Client, config::FromClientConfigAndContext};

use super::{
    embedded::{self, EmbeddedBroker},
    log::ClientLog,
    member::Member,
    names::Names,
    native::Polled,
    reader::TopicReader,
    refused,
    settings::{self, Role},
};
use crate::base::{
    config::{Config, Guarantee},
    error::Error,
};
use crate::engine::port::{Kafka, Reader};

/// How long a broker may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// The same where a worker waits for it, which asks again: meanwhile its partitions that run stand still,
/// and whoever ends it waits.
pub(super) const SOON: Duration = Duration::from_secs(3);

/// How long to try to reach one: with the last attempt, less than the 10 s that are promised.
const CONNECTED: Duration = Duration::from_secs(9);

/// A connection to the brokers of one configuration. Clones share it.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    admin: Polled<AdminClient<ClientLog>>,
    connection: Connection,
    cluster_id: String,
}

/// What it takes to connect to the same brokers again.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) brokers: String,
    /// The broker, if it is inside this process.
    pub(super) embedded: Option<EmbeddedBroker>,
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
    /// That of the group, which may be another than that of the app.
    pub(crate) guarantee: Guarantee,
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
    pub(super) fn open<T: FromClientConfigAndContext<ClientLog>>(
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
            settings.create_with_context(ClientLog::new(client.clone(), self.embedded.clone()));
        opened.map_err(|error| refused::client(&client, error))
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
        let admin: AdminClient<ClientLog> =
            connection.open(Role::Admin, "connection for questions about topics", |_| {})?;
        let admin = Polled::admin(admin)?;
        let deadline = Instant::now() + CONNECTED;
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

    /// What can be guaranteed here to a group that asks for `wanted`: on the embedded broker no more
    /// than at-least-once, since it forgets the positions of a transaction, so that a restart would
    /// begin anew.
    pub(crate) fn guarantee(&self, wanted: Guarantee) -> Guarantee {
        if self.is_embedded() {
            return Guarantee::AtLeastOnce;
        }
        wanted
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.0.cluster_id
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.connection.names
    }

    pub(super) fn admin(&self) -> &Polled<AdminClient<ClientLog>> {
        &self.0.admin
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// How often topics are looked at again.
    pub(crate) fn metadata_interval(&self) -> Duration {
        self.connection().config.metadata_interval
    }

    /// Whether it is the mock cluster, of this process or another: it answers no questions about
    /// settings.
    pub(crate) fn is_embedded(&self) -> bool {
        self.0.cluster_id.starts_with(embedded::CLUSTER_ID)
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

    /// A member of a group, which it joins with its first poll. May be made on one thread and used on another.
    pub(crate) fn member(&self, spec: &MemberSpec) -> Result<Box<dyn Kafka + Send>, Error> {
        let table = spec.table.as_deref();
        let table = table.map(|table| self.topic_reader(table)).transpose()?;
        let mut connection = self.0.connection.clone();
        connection.config.guarantee = spec.guarantee;
        Ok(Box::new(Member::open(&connection, spec, table)?))
    }

    /// Reads a topic in no group.
    pub(crate) fn reader(&self, topic: &str) -> Result<Box<dyn Reader + Send>, Error> {
        Ok(Box::new(self.topic_reader(topic)?))
    }

    fn topic_reader(&self, topic: &str) -> Result<TopicReader, Error> {
        TopicReader::open(&self.0.connection, topic)
    }
}

/// librdkafka's log of this connection, which nobody else reads.
pub(super) fn drain(admin: &Polled<AdminClient<ClientLog>>) {
    while let Some(event) = admin.poll(Duration::ZERO) {
        if let super::native::Kind::Failed(failure) = event.kind() {
            let context: &ClientLog = admin.client().inner().context();
            context.error(failure.code, &failure.reason);
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

/// First offset and end of a partition, as a client of this kind sees them.
pub(super) fn watermarks(
    client: &Client<ClientLog>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), Error> {
    client
        .fetch_watermarks(topic, partition, SOON)
        .map_err(|error| {
            let doing = format!("ask for the offsets of topic `{topic}`, partition {partition}");
            Error::kafka(doing, error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    #[test]
    fn subscriptions_are_fuzzed() {
        let two = b"\0\x01\0\0\0\x02\0\x01a\0\x02bb\xff\xff\xff\xff".to_vec();
        assert_eq!(
            subscribed(&two),
            Some(vec!["a".to_owned(), "bb".to_owned()])
        );
        fuzz("a subscription", &[two, vec![0; 30]], 256, |bytes| {
            drop(subscribed(bytes));
        });
    }
}
