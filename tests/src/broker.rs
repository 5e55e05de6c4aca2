//! The broker that tests run on: the real Kafka at the address in `GOKA_TEST_BROKERS`, or, without this variable, the
//! mock cluster of librdkafka. goka's embedded broker is built on the same mock cluster; here, the mock cluster is
//! started without goka.

use std::{
    env, process,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    ClientConfig,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
        TopicReplication,
    },
    bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms},
    client::DefaultClientContext,
    mocking::MockCluster,
    producer::{BaseProducer, DefaultProducerContext, Producer},
};

use crate::DEADLINE;

/// The longest time that a running broker may take for its first answer.
const ANSWER: Duration = Duration::from_secs(15);

/// How long a group on the mock cluster waits for members before its first rebalance, in milliseconds. The mock
/// cluster's default is 3 s. A member that joins later takes 5 s to join, so all members of a process should join
/// within this time.
const FIRST_REBALANCE_MS: i32 = 300;

type MockProducer = BaseProducer<DefaultProducerContext>;

/// A broker, on which tests create and alter topics.
pub struct Broker {
    address: String,
    /// The client that owns the mock cluster; `None` for a real Kafka.
    mock: Option<MockProducer>,
}

/// The broker of this process. Panics if `GOKA_TEST_BROKERS` names a Kafka that does not answer.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| match env::var("GOKA_TEST_BROKERS") {
        Ok(address) => Broker::kafka(&address),
        Err(_) => Broker::mock(),
    })
}

/// Fails a test that needs a real Kafka if `GOKA_TEST_BROKERS` is not set. Such a test is marked
/// `#[ignore = "needs a real Kafka"]`, so that a run without Kafka reports the test as ignored, and not as passed.
#[track_caller]
pub fn needs_kafka() {
    assert!(
        env::var_os("GOKA_TEST_BROKERS").is_some(),
        "this test needs a real Kafka, but GOKA_TEST_BROKERS is not set. Start a Kafka with `scripts/kafka.sh start \
         DIR any`, and set GOKA_TEST_BROKERS to the address that the script prints"
    );
}

/// A name that is used by no other test, and by no earlier test run on the same broker.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{}-{count}", since_1970.as_secs(), process::id())
}

impl Broker {
    /// A real Kafka that is already running at `address`. Panics if Kafka does not answer.
    pub fn kafka(address: &str) -> Broker {
        let broker = Broker {
            address: address.to_owned(),
            mock: None,
        };
        if let Err(error) = broker.admin().inner().fetch_metadata(None, ANSWER) {
            panic!(
                "no Kafka answers at `{address}` (the address is from GOKA_TEST_BROKERS or from the test): {error}"
            );
        }
        broker
    }

    fn mock() -> Broker {
        let producer: MockProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .create()
            .expect("the client must have a mock cluster");
        let address = mock_cluster(&producer).bootstrap_servers();
        // SAFETY: the client is alive and was configured to have a mock cluster, so the pointer is valid. The call only
        // stores a number in the cluster, under the cluster's own lock.
        unsafe {
            let cluster = rd_kafka_handle_mock_cluster(producer.client().native_ptr());
            rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, FIRST_REBALANCE_MS);
        }
        Broker {
            address,
            mock: Some(producer),
        }
    }

    /// The address that clients connect to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether this broker is a real Kafka. Unlike the mock cluster, a real Kafka compacts topics, has topic settings,
    /// and repeats no records around rebalances.
    pub fn is_kafka(&self) -> bool {
        self.mock.is_none()
    }

    /// Creates a topic. The topic must not exist yet.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// Creates a topic like [`create_topic`](Self::create_topic), but with topic settings. A mock cluster ignores them.
    pub fn create_topic_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        if let Some(producer) = &self.mock {
            let created = mock_cluster(producer).create_topic(topic, partitions, 1);
            created.unwrap_or_else(|error| panic!("cannot create `{topic}`: {error}"));
            return;
        }
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let admin = self.admin();
        let created = futures_executor::block_on(admin.create_topics([&new], &AdminOptions::new()));
        check("create", topic, created);
        self.wait_for_partitions(&admin, topic, partitions);
    }

    /// Adds partitions to a topic until it has `partitions`. Works only on a real Kafka.
    pub fn add_partitions(&self, topic: &str, partitions: i32) {
        let total = usize::try_from(partitions).expect("the number of partitions must be positive");
        let admin = self.admin();
        let new = NewPartitions::new(topic, total);
        let added =
            futures_executor::block_on(admin.create_partitions([&new], &AdminOptions::new()));
        check("add partitions to", topic, added);
        self.wait_for_partitions(&admin, topic, partitions);
    }

    /// The total number of offsets in all partitions of a topic; `None` if the topic does not exist. Works only on a
    /// real Kafka.
    pub fn count_offsets(&self, topic: &str) -> Option<u64> {
        let admin = self.admin();
        let metadata = admin
            .inner()
            .fetch_metadata(None, DEADLINE)
            .unwrap_or_else(|error| panic!("cannot query the topics: {error}"));
        let mut topics = metadata.topics().iter();
        let found = topics.find(|found| found.name() == topic)?;
        let counts = found.partitions().iter().map(|partition| {
            let ends = admin
                .inner()
                .fetch_watermarks(topic, partition.id(), DEADLINE);
            let (low, high) = ends
                .unwrap_or_else(|error| panic!("cannot query the offsets of `{topic}`: {error}"));
            (high - low).cast_unsigned()
        });
        Some(counts.sum())
    }

    /// Deletes a topic. Works only on a real Kafka.
    pub fn delete_topic(&self, topic: &str) {
        let admin = self.admin();
        let deleted =
            futures_executor::block_on(admin.delete_topics(&[topic], &AdminOptions::new()));
        check("delete", topic, deleted);
    }

    /// Changes one setting of a topic, and resets all its other settings to their defaults. Works only on a real Kafka.
    pub fn alter_topic(&self, topic: &str, name: &str, value: &str) {
        let admin = self.admin();
        let altered = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let answer = admin.alter_configs([&altered], &AdminOptions::new());
        let results = futures_executor::block_on(answer);
        let results = results.unwrap_or_else(|error| panic!("cannot alter `{topic}`: {error}"));
        for result in results {
            result.unwrap_or_else(|(_, error)| panic!("cannot alter `{topic}`: {error}"));
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.address)
            .create()
            .expect("an admin client needs no other setting")
    }

    /// Waits until all partitions of a topic have a leader: the controller answers before the broker serves new
    /// partitions.
    fn wait_for_partitions(
        &self,
        admin: &AdminClient<DefaultClientContext>,
        topic: &str,
        partitions: i32,
    ) {
        let started = Instant::now();
        loop {
            let metadata = admin
                .inner()
                .fetch_metadata(Some(topic), DEADLINE)
                .unwrap_or_else(|error| panic!("cannot query `{topic}`: {error}"));
            let topics = metadata.topics();
            let led = topics.iter().flat_map(|topic| topic.partitions());
            let led = led.filter(|partition| partition.leader() >= 0).count();
            if i32::try_from(led) == Ok(partitions) {
                return;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "`{topic}` has {led} of {partitions} partitions with a leader after {DEADLINE:?}"
            );
        }
    }
}

fn mock_cluster(producer: &MockProducer) -> MockCluster<'_, DefaultProducerContext> {
    let cluster = producer.client().mock_cluster();
    cluster.expect("the producer was configured to have one")
}

fn check(
    doing: &str,
    topic: &str,
    answer: rdkafka::error::KafkaResult<Vec<rdkafka::admin::TopicResult>>,
) {
    let results = answer.unwrap_or_else(|error| panic!("cannot {doing} `{topic}`: {error}"));
    for result in results {
        if let Err((_, error)) = result {
            panic!("cannot {doing} `{topic}`: {error}");
        }
    }
}
