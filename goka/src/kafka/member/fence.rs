//! Ends the transaction of a former owner that stands in the way of the next one.
//!
//! Whoever commits a position writes its transactional id beside it. To initialise that id aborts
//! what it had begun, at once, instead of after `transaction.timeout.ms`. Must not know why it is in
//! the way.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{BaseProducer, Producer as _},
};

use crate::{
    base::error::Error,
    engine::port::OURS,
    kafka::{
        client::{connection::Connection, log::ClientLog, settings::Role},
        native::transaction::init_transactions,
    },
};

/// How long each of its requests may take.
const WAIT: Duration = Duration::from_secs(5);

/// What is to be fenced.
pub(crate) struct Fence {
    pub(crate) connection: Connection,
    /// Physical name.
    pub(crate) group: String,
    /// The transactional id of this worker.
    pub(crate) own: String,
    /// The partition, of every source.
    pub(crate) offsets: TopicPartitionList,
}

impl Fence {
    /// Waits for the brokers: not for the thread of a worker.
    pub(crate) fn raise(self) {
        let group = &self.group;
        match self.owners() {
            Err(error) => {
                tracing::warn!(target: "goka::kafka", "who owned a partition of `{group}`: {error}");
            }
            Ok(owners) => {
                for id in owners {
                    match self.end(&id) {
                        Ok(()) => tracing::info!(
                            target: "goka::kafka",
                            "ended what `{id}` had left open, and that kept a partition of group `{group}` waiting"
                        ),
                        Err(error) => tracing::warn!(target: "goka::kafka", "{error}"),
                    }
                }
            }
        }
    }

    /// Transactional ids of those who committed last.
    fn owners(&self) -> Result<BTreeSet<String>, Error> {
        let failed = |error: KafkaError| Error::kafka("ask who committed last", error);
        let client = format!("reader of offsets of group `{}`", self.group);
        let reader: BaseConsumer<ClientLog> =
            self.connection.open(Role::Reader, client, |settings| {
                settings.set("group.id", &self.group);
                // Those that are not decided are what is in the way.
                settings.set("isolation.level", "read_uncommitted");
            })?;
        let committed = reader.committed_offsets(self.offsets.clone(), WAIT);
        let committed = committed.map_err(failed)?;
        let ours = format!("{}-", self.group);
        let ids = committed.elements().into_iter().filter_map(|element| {
            let id = element.metadata().strip_prefix(OURS)?.to_owned();
            (id.starts_with(&ours) && id != self.own).then_some(id)
        });
        Ok(ids.collect())
    }

    fn end(&self, id: &str) -> Result<(), Error> {
        let client = format!("fence of `{id}`");
        let producer: BaseProducer<ClientLog> =
            self.connection.open(Role::Worker, client, |settings| {
                settings.set("transactional.id", id);
            })?;
        init_transactions(producer.client(), WAIT)
            .map_err(|problem| Error::kafka(format!("end what `{id}` had begun"), problem.reason))
    }
}
