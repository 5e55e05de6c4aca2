//! Aborts the open transaction of a partition's previous owner.
//!
//! A worker stores its transactional id beside each offset that it commits. Initializing the previous owner's id in
//! another producer aborts the open transaction immediately, instead of after `transaction.timeout.ms`. Must not know
//! why the transaction has to end.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{BaseProducer, Producer as _},
};

use crate::{
    base::error::Error,
    engine::port::Committed,
    kafka::{
        client::{connection::Connection, log::ClientLog, settings::Role},
        native::{listed::listed, transaction::init_transactions},
    },
};

/// How long each request may take.
const WAIT: Duration = Duration::from_secs(5);

/// A partition whose previous owner is to be fenced.
pub(crate) struct Fence {
    pub(crate) connection: Connection,
    /// Physical name of the group.
    pub(crate) group: String,
    /// The transactional id of this worker.
    pub(crate) own: String,
    /// The partition of every source, without offsets.
    pub(crate) offsets: TopicPartitionList,
    /// Transactional ids that had committed offsets of the partition earlier.
    pub(crate) before: BTreeSet<String>,
}

impl Fence {
    /// Aborts the open transactions of the partition's previous owners. Waits for the brokers, so that it must not be
    /// called on a worker's thread.
    pub(crate) fn raise(self) {
        let group = &self.group;
        match self.owners() {
            Err(error) => {
                tracing::warn!(
                    target: "goka::kafka", group, %error,
                    "cannot find the previous owner of a partition, whose open transaction blocks the partition"
                );
            }
            Ok(owners) => {
                for id in owners {
                    match self.end(&id) {
                        Ok(()) => tracing::info!(
                            target: "goka::kafka",
                            group,
                            transactional_id = id,
                            "aborted a previous owner's open transaction, which had blocked a partition"
                        ),
                        Err(error) => tracing::warn!(
                            target: "goka::kafka",
                            group, transactional_id = id, %error,
                            "cannot abort a previous owner's open transaction, which blocks a partition"
                        ),
                    }
                }
            }
        }
    }

    /// The transactional ids of the other workers that last committed offsets of the partition.
    fn owners(&self) -> Result<BTreeSet<String>, Error> {
        let failed = |error: KafkaError| {
            let doing = format!("fetch the committed offsets of group `{}`", self.group);
            Error::kafka(doing, error)
        };
        let client = format!("client for the offsets of group `{}`", self.group);
        let reader: BaseConsumer<ClientLog> =
            self.connection.open(Role::Reader, client, |settings| {
                settings.set("group.id", &self.group);
                // Without this setting, the coordinator would withhold offsets of undecided transactions.
                settings.set("isolation.level", "read_uncommitted");
            })?;
        let committed = reader.committed_offsets(self.offsets.clone(), WAIT);
        let committed = committed.map_err(failed)?;
        let ours = format!("{}-", self.group);
        let ids = listed(&committed).flat_map(|listed| {
            let ids = Committed::committers(&listed.metadata);
            ids.map(str::to_owned).collect::<Vec<_>>()
        });
        let ids = ids.chain(self.before.iter().cloned());
        let others = ids.filter(|id| id.starts_with(&ours) && *id != self.own);
        Ok(others.collect())
    }

    fn end(&self, id: &str) -> Result<(), Error> {
        let client = format!("producer that fences `{id}`");
        let producer: BaseProducer<ClientLog> =
            self.connection.open(Role::Worker, client, |settings| {
                settings.set("transactional.id", id);
            })?;
        init_transactions(producer.client(), WAIT).map_err(|problem| {
            let doing = format!("abort the open transaction of `{id}`");
            Error::kafka(doing, problem.reason)
        })
    }
}
