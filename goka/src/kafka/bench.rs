//! A broker for tests: an embedded broker, or the Kafka whose addresses are in GOKA_TEST_BROKERS.

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{Cluster, EmbeddedBroker};
use crate::base::{
    config::{Config, Membership},
    record::to_ms,
};

/// How long a test waits for an event that must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const STEP: Duration = Duration::from_millis(20);

/// Timestamp of a test's records, in milliseconds since 1970: one hour ago. This time is within `retention.ms`.
/// Otherwise a broker would delete the records at its first check, half a minute after its start.
pub(crate) static SENT_AT: LazyLock<i64> =
    LazyLock::new(|| to_ms(SystemTime::now() - Duration::from_secs(3600)));

/// A broker, and a prefix of topic names, for one test.
pub(crate) struct Bench {
    pub(crate) config: Config,
    _broker: Option<EmbeddedBroker>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let prefix = format!("goka-test-{since}-{}-{count}-", std::process::id());
        let (brokers, broker) = match env::var("GOKA_TEST_BROKERS") {
            Ok(brokers) => (brokers, None),
            Err(_) => {
                let broker = EmbeddedBroker::start().unwrap();
                (broker.address().to_owned(), Some(broker))
            }
        };
        let config = Config::new()
            .brokers(brokers)
            .prefix(prefix)
            .membership(Membership::Dynamic);
        Bench {
            config,
            _broker: broker,
        }
    }

    /// Fails the calling test, which needs a real Kafka, if GOKA_TEST_BROKERS names none.
    #[track_caller]
    pub(crate) fn needs_kafka() {
        assert!(
            Self::on_kafka(),
            "this test needs a real Kafka, but GOKA_TEST_BROKERS is not set. Start a Kafka with `scripts/kafka.sh \
             start DIR any`, and set GOKA_TEST_BROKERS to the address that the script prints"
        );
    }

    pub(crate) fn on_kafka() -> bool {
        env::var_os("GOKA_TEST_BROKERS").is_some()
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::connect(&self.config).unwrap()
    }
}

/// Calls `step` until it returns `true`.
pub(crate) fn until(what: &str, mut step: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !step() {
        assert!(Instant::now() < deadline, "not within the deadline: {what}");
    }
}
