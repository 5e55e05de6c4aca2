//! A connection to a cluster, through which members and readers are opened. Must not know what topics are for.

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

/// How long to try to reach a broker. The last attempt may end later than this, but within the 10 s that
/// [`Cluster::connect`] promises.
const CONNECTED: Duration = Duration::from_secs(9);

/// A connection to the brokers of one configuration. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    admin: Polled<AdminClient<ClientLog>>,
    connection: Connection,
    cluster_id: String,
}

impl Cluster {
    /// Connects, and waits until a broker answers.
    ///
    /// # Errors
    /// [`Error::Config`] for invalid settings, [`Error::Kafka`] if no broker answers within 10 s.
    pub(crate) fn connect(config: &Config) -> Result<Self, Error> {
        let connection = Connection::new(config)?;
        let admin: AdminClient<ClientLog> = connection.open(Role::Admin, "admin client", |_| {})?;
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
                let why = why.as_deref().unwrap_or("no broker answers");
                return Err(Error::kafka(
                    format!("reach a Kafka broker at `{brokers}` within 10 s"),
                    format!(
                        "{why}; check the address (`Config::brokers`, GOKA_BROKERS), that the broker runs, and \
                         `security.protocol` if the broker requires TLS or authentication"
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

    /// The guarantee that a group gets if it asks for `wanted`. On the embedded broker, every group gets
    /// at-least-once: this broker forgets offsets that were committed in a transaction, so a restart would begin at
    /// the start of the inputs.
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

    /// The interval between two checks of the topics' metadata.
    pub(crate) fn metadata_interval(&self) -> Duration {
        self.connection().config.metadata_interval
    }

    /// Whether the cluster is an embedded broker, in this process or in another process. An embedded broker does not
    /// describe topics.
    pub(crate) fn is_embedded(&self) -> bool {
        self.0.cluster_id.starts_with(embedded::CLUSTER_ID)
    }

    /// Opens a member of a group. The member joins the group when it is first polled. One thread may open the member,
    /// and another thread may use it.
    pub(crate) fn member(&self, spec: &MemberSpec) -> Result<Box<dyn Kafka + Send>, Error> {
        let table = spec.table.as_deref();
        let table = table.map(|table| self.topic_reader(table)).transpose()?;
        let mut connection = self.0.connection.clone();
        connection.config.guarantee = spec.guarantee;
        Ok(Box::new(WorkerConnection::open(&connection, spec, table)?))
    }

    /// Opens a reader of one topic. The reader joins no group.
    pub(crate) fn reader(&self, topic: &str) -> Result<Box<dyn Reader + Send>, Error> {
        Ok(Box::new(self.topic_reader(topic)?))
    }

    fn topic_reader(&self, topic: &str) -> Result<TopicReader, Error> {
        TopicReader::open(&self.0.connection, topic)
    }

    /// Passes librdkafka's log lines and errors of the admin client on to `tracing`. Nothing else polls this client.
    pub(crate) fn drain(&self) {
        drain(&self.0.admin);
    }
}

/// Logs what librdkafka has reported about a client that nothing else polls.
fn drain(admin: &Polled<AdminClient<ClientLog>>) {
    while let Some(event) = admin.poll(Duration::ZERO) {
        if let Kind::Failed(failure) = event.kind() {
            let context: &ClientLog = admin.client().inner().context();
            context.error(failure.code, &failure.reason);
        }
    }
}
