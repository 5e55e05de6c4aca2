//! The brokers: whether they answer, which topics they have, who is in a group; and where members
//! and readers come from. Must not know what topics are for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::admin::AdminClient;

use super::{
    client::{connection::Connection, log::ClientLog, names::Names, settings::Role},
    embedded,
    member::{spec::MemberSpec, worker::WorkerConnection},
    native::event::{Kind, Polled},
    reader::TopicReader,
};
use crate::{
    base::{
        config::{Config, Guarantee},
        error::Error,
    },
    engine::port::{Kafka, Reader},
};

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

    pub(crate) fn admin(&self) -> &Polled<AdminClient<ClientLog>> {
        &self.0.admin
    }

    pub(crate) fn connection(&self) -> &Connection {
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

    /// A member of a group, which it joins with its first poll. May be made on one thread and used on another.
    pub(crate) fn member(&self, spec: &MemberSpec) -> Result<Box<dyn Kafka + Send>, Error> {
        let table = spec.table.as_deref();
        let table = table.map(|table| self.topic_reader(table)).transpose()?;
        let mut connection = self.0.connection.clone();
        connection.config.guarantee = spec.guarantee;
        Ok(Box::new(WorkerConnection::open(&connection, spec, table)?))
    }

    /// Reads a topic in no group.
    pub(crate) fn reader(&self, topic: &str) -> Result<Box<dyn Reader + Send>, Error> {
        Ok(Box::new(self.topic_reader(topic)?))
    }

    fn topic_reader(&self, topic: &str) -> Result<TopicReader, Error> {
        TopicReader::open(&self.0.connection, topic)
    }

    /// Passes librdkafka's log of the admin client on to `tracing`; nobody else reads it.
    pub(crate) fn drain(&self) {
        drain(&self.0.admin);
    }
}

/// librdkafka's log of this connection, which nobody else reads.
fn drain(admin: &Polled<AdminClient<ClientLog>>) {
    while let Some(event) = admin.poll(Duration::ZERO) {
        if let Kind::Failed(failure) = event.kind() {
            let context: &ClientLog = admin.client().inner().context();
            context.error(failure.code, &failure.reason);
        }
    }
}
