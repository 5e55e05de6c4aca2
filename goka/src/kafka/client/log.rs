//! librdkafka's log and errors as `tracing` events, and the answer to a rebalance while a consumer closes.
//!
//! Repeated warnings are rate-limited: a broker that cannot be reached causes one warning per half minute, not one per
//! attempt to connect. Must not know what a client is for.

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

/// The log of one client.
pub(crate) struct ClientLog {
    client: String,
    last: Mutex<Last>,
    /// Whether a rebalance has been answered since the consumer began to close.
    answered: AtomicBool,
    /// Keeps the embedded broker, if it runs in this process, alive as long as this client.
    _broker: Option<EmbeddedBroker>,
}

#[derive(Default)]
struct Last {
    /// Maps the subject of a warning to the time at which a warning about this subject was last logged.
    shown: BTreeMap<String, Instant>,
    /// The latest warning. The error about a broker that does not answer quotes it as the reason.
    problem: Option<String>,
}

impl ClientLog {
    /// `client` is the description of the client in the log, for example "consumer of worker 0 of group `clicks`".
    pub(crate) fn new(client: impl Into<String>, broker: Option<EmbeddedBroker>) -> Self {
        ClientLog {
            client: client.into(),
            last: Mutex::default(),
            answered: AtomicBool::new(false),
            _broker: broker,
        }
    }

    /// The latest warning of the client.
    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// Logs a line of librdkafka. `level` is a syslog level: up to 4 for warnings, 7 for debugging.
    pub(crate) fn line(&self, level: i32, facility: &str, line: &str) {
        let client = &*self.client;
        let is_expected = match facility {
            // librdkafka reports what these lines say as errors, too.
            "FAIL" | "ERROR" => true,
            // Settings for all clients go to consumers and producers alike, although some of them apply only to one of
            // the two.
            "CONFWARN" => line.contains("property and will be ignored"),
            _ => false,
        };
        match level {
            ..=4 if !is_expected => self.warn(&format!("librdkafka warns ({facility})"), line),
            ..=6 => tracing::debug!(target: "goka::kafka", client, facility, "{line}"),
            _ => tracing::trace!(target: "goka::kafka", client, facility, "{line}"),
        }
    }

    /// Logs an error from which librdkafka recovers by itself.
    pub(crate) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        use RDKafkaErrorCode::*;
        match code {
            // Another error tells why the brokers are down.
            AllBrokersDown => {
                let client = &*self.client;
                tracing::debug!(target: "goka::kafka", client, "{reason}");
            }
            BrokerTransportFailure | Resolve | OperationTimedOut => {
                self.warn("cannot reach a broker", reason);
            }
            code => self.warn(&code.to_string(), reason),
        }
    }

    fn warn(&self, about: &str, why: &str) {
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
        // The lock is released before logging, because a subscriber may do anything.
        drop(last);
        if again {
            tracing::debug!(target: "goka::kafka", client, reason = why, "{about}");
        } else {
            tracing::warn!(target: "goka::kafka", client, reason = why, "{about}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        // Ignores poisoning: the value is consistent at every moment.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.line(level as i32, facility, line);
    }

    /// Called only while the client closes. Until then, errors arrive as events, which `native/` reads.
    fn error(&self, error: KafkaError, reason: &str) {
        let client = &*self.client;
        tracing::debug!(target: "goka::kafka", client, %error, reason, "error while closing");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let client = &*self.client;
        let statistics = String::from_utf8_lossy(statistics);
        tracing::debug!(target: "goka::kafka", client, "{statistics}");
    }
}

impl ConsumerContext for ClientLog {
    /// Called only while the consumer closes. Until then, rebalances arrive as events, which `native/` reads.
    ///
    /// librdkafka takes the first answer as the answer to everything that it waits for, and may be gone before it
    /// replies to a second answer. So only the first rebalance is answered.
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
            tracing::debug!(target: "goka::kafka", client, %error, "cannot answer a rebalance while closing");
        }
    }
}

impl ProducerContext for ClientLog {
    type DeliveryOpaque = usize;

    /// Called only while a producer that still has records is dropped. The producer's owner has logged the number of
    /// these records.
    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}
