//! The embedded broker: librdkafka's mock cluster inside this process, so that examples, tests and development need no
//! Kafka. The mock cluster does not describe topics, so this file remembers how each topic was created. Must not know
//! groups or tables.

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

/// Prefix of the ids of mock clusters. Other processes recognize an embedded broker by this prefix.
pub(crate) const CLUSTER_ID: &str = "mockCluster";

/// Number of partitions of a topic that a client in another process creates on this broker.
pub(crate) const DEFAULT_PARTITIONS: i32 = 4;

/// A Kafka broker in this process, for examples, tests and development.
///
/// With `brokers = "embedded"`, all parts of a process share one broker. This type starts a separate broker, which
/// other programs can reach at [`EmbeddedBroker::address`] as long as the `EmbeddedBroker` lives:
///
/// ```
/// let broker = goka::EmbeddedBroker::start()?;
/// broker.create_topic("user-clicks", 4)?;
/// let config = goka::Config::new().brokers(broker.address());
/// # Ok::<(), goka::Error>(())
/// ```
///
/// The embedded broker takes records from producers, serves them to consumers, and coordinates groups, with these
/// limits:
/// - It keeps at most 5 MB of records per partition, in memory. Beyond that, it drops the oldest records.
/// - It does not compact topics, so a table cannot be restored once the first rows of its changelog have been dropped.
/// - Only this process can choose the number of partitions of a topic. A topic that another process creates has four
///   partitions.
/// - While members join or leave a group, which can take 5 s, it rejects commits, so records may be handled twice.
/// - Records of aborted transactions stay readable.
#[derive(Clone)]
pub struct EmbeddedBroker(Arc<Broker>);

struct Broker {
    address: String,
    /// The topics that this process created, by name: the number of partitions, and whether the topic is compacted.
    topics: Mutex<BTreeMap<String, (i32, bool)>>,
    /// The client that owns the mock cluster.
    client: BaseProducer<DefaultProducerContext>,
}

/// The brokers that run in this process.
struct Living {
    /// The broker of `brokers = "embedded"`.
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
        // SAFETY: the client is alive, and was made with a mock cluster, which lives as long as the client.
        unsafe {
            let cluster = rd_kafka_handle_mock_cluster(client.client().native_ptr());
            // 300 ms is less than the default of 3 s, so that a first run begins without delay. It is long enough for
            // all workers of a process to join together: a rebalance that adds a worker later takes 5 s.
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

    /// The address for clients: `host:port`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Creates a topic. A topic that exists is left unchanged.
    ///
    /// # Errors
    /// [`Error::Kafka`] if Kafka does not allow the name.
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

    /// Whether a topic was created as compacted; `None` if this process did not create it.
    pub(crate) fn compacted(&self, name: &str) -> Option<bool> {
        lock(&self.0.topics)
            .get(name)
            .map(|(_, compacted)| *compacted)
    }

    /// Returns the broker of `brokers = "embedded"`, and starts it if it is not running.
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

    /// The broker in this process that has this address.
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

/// Takes a lock and ignores poisoning: the values under these locks are consistent at every moment.
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
