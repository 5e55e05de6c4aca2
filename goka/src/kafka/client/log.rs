//! librdkafka's log and errors, into `tracing`, and the answer to a rebalance while closing.
//!
//! The same complaint is not repeated endlessly: a broker that is away is worth a warning every half
//! minute, not one at each attempt to reach it.

use std::{
    collections::BTreeMap,
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
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

use crate::kafka::embedded::EmbeddedBroker;

const QUIET_FOR: Duration = Duration::from_secs(30);

/// Who a client is, for the log.
pub(crate) struct ClientLog {
    client: String,
    last: Mutex<Last>,
    /// Whether a rebalance was answered while closing.
    answered: AtomicBool,
    /// A broker inside this process lives as long as its clients.
    _broker: Option<EmbeddedBroker>,
}

#[derive(Default)]
struct Last {
    /// When what was complained about was last shown.
    shown: BTreeMap<String, Instant>,
    /// The latest complaint, for an error that has to say why nobody answers.
    problem: Option<String>,
}

impl ClientLog {
    /// `client` says whose connection it is, for example "worker 0 of group `clicks`".
    pub(crate) fn new(client: impl Into<String>, broker: Option<EmbeddedBroker>) -> Self {
        ClientLog {
            client: client.into(),
            last: Mutex::default(),
            answered: AtomicBool::new(false),
            _broker: broker,
        }
    }

    /// The latest complaint of the client about its brokers.
    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// A line of librdkafka's log, with syslog's level: up to 4 are warnings, 7 is debugging.
    pub(crate) fn line(&self, level: i32, facility: &str, line: &str) {
        let client = &*self.client;
        let meant = match facility {
            // These come as errors, too.
            "FAIL" | "ERROR" => true,
            // Keys for consumers and producers alike are given to both.
            "CONFWARN" => line.contains("property and will be ignored"),
            _ => false,
        };
        match level {
            ..=4 if !meant => self.complain(facility, line),
            ..=6 => tracing::debug!(target: "goka::kafka", client, facility, "{line}"),
            _ => tracing::trace!(target: "goka::kafka", client, facility, "{line}"),
        }
    }

    /// An error that librdkafka goes on after.
    pub(crate) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        use RDKafkaErrorCode::*;
        match code {
            // Said by another error, with the reason.
            AllBrokersDown => {
                let client = &*self.client;
                tracing::debug!(target: "goka::kafka", client, "{reason}");
            }
            BrokerTransportFailure | Resolve | OperationTimedOut => {
                self.complain("a broker cannot be reached", reason);
            }
            code => self.complain(&code.to_string(), reason),
        }
    }

    fn complain(&self, about: &str, why: &str) {
        let client = &*self.client;
        let now = Instant::now();
        let mut last = self.lock();
        last.problem = Some(why.to_owned());
        last.shown
            .retain(|_, at| now.duration_since(*at) < QUIET_FOR);
        let again = last.shown.contains_key(about);
        if !again {
            last.shown.insert(about.to_owned(), now);
        }
        // Logged without the lock: who logs may do anything.
        drop(last);
        if again {
            tracing::debug!(target: "goka::kafka", client, about, "{why}");
        } else {
            tracing::warn!(target: "goka::kafka", client, about, "{why}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        // What is under the lock is whole at every moment, so a panic elsewhere does not matter.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.line(level as i32, facility, line);
    }

    /// Only called while the client closes: before that, events are read by `native/`.
    fn error(&self, error: KafkaError, reason: &str) {
        let client = &*self.client;
        tracing::debug!(target: "goka::kafka", client, %error, "while closing: {reason}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let client = &*self.client;
        let statistics = String::from_utf8_lossy(statistics);
        tracing::debug!(target: "goka::kafka", client, "{statistics}");
    }
}

impl ConsumerContext for ClientLog {
    /// Only called while the consumer closes: before that, events are read by `native/`.
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

impl ProducerContext for ClientLog {
    type DeliveryOpaque = usize;

    /// Only called while a producer is dropped with records in it; its owner has logged how many.
    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}
