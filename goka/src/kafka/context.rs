//! librdkafka's log and errors, into `tracing`, and the answer to a rebalance while closing.
//!
//! The same complaint is not repeated endlessly: a broker that is away is worth a warning every half
//! minute, not one at each attempt to reach it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    bindings::rd_kafka_resp_err_t,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    message::DeliveryResult,
    producer::ProducerContext,
};

use super::EmbeddedBroker;

const QUIET_FOR: Duration = Duration::from_secs(30);

/// Who a client is, for the log.
pub(super) struct Context {
    client: String,
    last: Mutex<Last>,
    /// Whether a rebalance was answered while closing.
    answered: AtomicBool,
    /// A broker inside this process lives as long as its clients.
    _broker: Option<EmbeddedBroker>,
}

#[derive(Default)]
struct Last {
    /// What was complained about, and when that was last shown.
    shown: Option<(String, Instant)>,
    /// The latest complaint, for an error that has to say why nobody answers.
    problem: Option<String>,
}

impl Context {
    /// `client` says whose connection it is, for example "worker 0 of group `clicks`".
    pub(super) fn new(client: impl Into<String>, broker: Option<EmbeddedBroker>) -> Self {
        Context {
            client: client.into(),
            last: Mutex::default(),
            answered: AtomicBool::new(false),
            _broker: broker,
        }
    }

    /// The latest complaint of the client about its brokers.
    pub(super) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// A line of librdkafka's log, with syslog's level: up to 4 are warnings, 7 is debugging.
    pub(super) fn line(&self, level: i32, facility: &str, line: &str) {
        let client = &*self.client;
        // Keys for consumers and producers alike are given to both: that is meant.
        let meant = facility == "CONFWARN" && line.contains("property and will be ignored");
        match level {
            ..=4 if !meant => self.complain(facility, line),
            ..=6 => tracing::debug!(target: "goka::kafka", client, facility, "{line}"),
            _ => tracing::trace!(target: "goka::kafka", client, facility, "{line}"),
        }
    }

    /// An error that librdkafka goes on after, for example a broker that cannot be reached.
    pub(super) fn complain(&self, about: &str, why: &str) {
        let client = &*self.client;
        let mut last = self.lock();
        last.problem = Some(why.to_owned());
        let again =
            matches!(&last.shown, Some((what, at)) if what == about && at.elapsed() < QUIET_FOR);
        if again {
            tracing::debug!(target: "goka::kafka", client, about, "{why}");
        } else {
            last.shown = Some((about.to_owned(), Instant::now()));
            tracing::warn!(target: "goka::kafka", client, about, "{why}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        // What is under the lock is whole at every moment, so a panic elsewhere does not matter.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complain(&error.to_string(), reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let client = &*self.client;
        let statistics = String::from_utf8_lossy(statistics);
        tracing::debug!(target: "goka::kafka", client, "{statistics}");
    }
}

impl ConsumerContext for Context {
    /// Only called while the consumer closes: before that, events are read by `native.rs`.
    ///
    /// librdkafka takes the first answer for all that it waits for, and may be gone before it replies
    /// to another: so one is given, whatever it is that comes first.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        _: rd_kafka_resp_err_t,
        _: &mut TopicPartitionList,
    ) {
        if self.answered.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = consumer.incremental_unassign(&TopicPartitionList::new()) {
            let client = &*self.client;
            tracing::debug!(target: "goka::kafka", client, %error, "rebalance while closing");
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    /// Only called while a producer is dropped with records in it; its owner has logged how many.
    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}
