//! A broker inside the process: librdkafka's mock cluster.
//!
//! For examples, tests and a laptop: no Kafka is needed to run a program. Must not know groups or
//! tables; what it cannot tell (settings of topics), it remembers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rdkafka::{
    ClientConfig,
    bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms},
    config::RDKafkaLogLevel,
    error::KafkaError,
    mocking::MockCluster,
    producer::{BaseProducer, DefaultProducerContext, Producer as _},
};

use crate::base::error::Error;

/// How ids of such clusters begin; other processes see it, too.
pub(crate) const CLUSTER_ID: &str = "mockCluster";

/// Partitions of a topic that another process makes this broker create.
pub(crate) const DEFAULT_PARTITIONS: i32 = 4;

/// A Kafka broker in this process, for examples, tests and development.
///
/// `brokers = "embedded"` shares one among all parts of a process. This type starts one of its own,
/// which other programs reach at [`EmbeddedBroker::address`], as long as the value lives:
///
/// ```
/// let broker = goka::EmbeddedBroker::start()?;
/// broker.create_topic("user-clicks", 4)?;
/// let config = goka::Config::new().brokers(broker.address());
/// # Ok::<(), goka::Error>(())
/// ```
///
/// It produces, fetches, and coordinates groups, and that is all:
/// - it keeps at most 5 MB a partition, in memory, and drops the oldest records beyond that;
/// - nothing is compacted, so a table cannot be rebuilt once its first rows were dropped;
/// - only this process can create a topic with a number of partitions of its choice; what another
///   process creates has four;
/// - it refuses commits while members join or leave, which can take 5 s, so records around that
///   moment may be handled twice;
/// - records of aborted transactions stay readable.
#[derive(Clone)]
pub struct EmbeddedBroker(Arc<Broker>);

struct Broker {
    address: String,
    /// What was created here: partitions, and whether compaction was asked for.
    topics: Mutex<BTreeMap<String, (i32, bool)>>,
    /// Owns the cluster.
    client: BaseProducer<DefaultProducerContext>,
}

/// Those that live in this process; the shared one, if it lives, is named.
struct Living {
    shared: Weak<Broker>,
    all: Vec<Weak<Broker>>,
}

static LIVING: Mutex<Living> = Mutex::new(Living {
    shared: Weak::new(),
    all: Vec::new(),
});

impl EmbeddedBroker {
    /// Starts a broker on a free port of this machine's loopback address.
    ///
    /// # Errors
    /// [`Error::Kafka`] if no port can be opened.
    pub fn start() -> Result<Self, Error> {
        let failed = |error: KafkaError| Error::kafka("start the embedded broker", error);
        let client: BaseProducer<DefaultProducerContext> = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .set("client.id", "goka-embedded-broker")
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()
            .map_err(failed)?;
        // SAFETY: the client is alive, and was made with a mock cluster, which lives as long.
        unsafe {
            let cluster = rd_kafka_handle_mock_cluster(client.client().native_ptr());
            // A first run should begin at once, so less than the default of 3 s, but the workers of a
            // process should come in one go: a rebalance that adds one later takes 5 s.
            rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 300);
        }
        let address = cluster(&client)?.bootstrap_servers();
        let broker = Arc::new(Broker {
            address,
            topics: Mutex::default(),
            client,
        });
        let mut living = lock(&LIVING);
        living.all.retain(|broker| broker.strong_count() > 0);
        living.all.push(Arc::downgrade(&broker));
        Ok(EmbeddedBroker(broker))
    }

    /// Where clients reach it: `host:port`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Creates a topic. One that exists is left as it is.
    ///
    /// # Errors
    /// [`Error::Kafka`] if the name is not one that Kafka takes.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        self.create(name, partitions, false)
    }

    pub(crate) fn create(&self, name: &str, partitions: i32, compacted: bool) -> Result<(), Error> {
        let mut topics = lock(&self.0.topics);
        if topics.contains_key(name) {
            return Ok(());
        }
        cluster(&self.0.client)?
            .create_topic(name, partitions, 1)
            .map_err(|error| Error::kafka(format!("create topic `{name}`"), error))?;
        topics.insert(name.to_owned(), (partitions, compacted));
        Ok(())
    }

    /// Whether a topic was created as a compacted one; `None` if it was not created here.
    pub(crate) fn compacted(&self, name: &str) -> Option<bool> {
        lock(&self.0.topics)
            .get(name)
            .map(|(_, compacted)| *compacted)
    }

    /// The one that all share who say `brokers = "embedded"`.
    pub(crate) fn shared() -> Result<Self, Error> {
        static STARTING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = lock(&STARTING);
        if let Some(broker) = lock(&LIVING).shared.upgrade() {
            return Ok(EmbeddedBroker(broker));
        }
        let broker = Self::start()?;
        lock(&LIVING).shared = Arc::downgrade(&broker.0);
        Ok(broker)
    }

    /// The one of this process that has this address.
    pub(crate) fn at(address: &str) -> Option<Self> {
        let living = lock(&LIVING);
        let mut living = living.all.iter().filter_map(Weak::upgrade);
        living
            .find(|broker| broker.address == address)
            .map(EmbeddedBroker)
    }
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedBroker")
            .field(&self.0.address)
            .finish()
    }
}

fn cluster<'a>(
    client: &'a BaseProducer<DefaultProducerContext>,
) -> Result<MockCluster<'a, DefaultProducerContext>, Error> {
    client.client().mock_cluster().ok_or_else(|| {
        Error::kafka(
            "start the embedded broker",
            "librdkafka could not open a port on the loopback address",
        )
    })
}

/// What is under these locks is whole at every moment, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_shared_and_others_are_their_own() {
        let shared = EmbeddedBroker::shared().unwrap();
        assert_eq!(
            shared.address(),
            EmbeddedBroker::shared().unwrap().address()
        );
        let own = EmbeddedBroker::start().unwrap();
        assert_ne!(shared.address(), own.address());
        assert!(EmbeddedBroker::at(own.address()).is_some());
        let address = own.address().to_owned();
        drop(own);
        assert!(EmbeddedBroker::at(&address).is_none());
    }

    #[test]
    fn a_topic_is_remembered_as_it_was_created() {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create("table", 3, true).unwrap();
        broker.create_topic("table", 5).unwrap();
        assert_eq!(broker.compacted("table"), Some(true));
        assert_eq!(broker.compacted("other"), None);
    }
}
