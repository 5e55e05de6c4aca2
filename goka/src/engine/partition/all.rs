//! The partitions of a worker, and the ledger of their records in flight. All records are sent through this module, so
//! that the ledger counts each of them. Must not know why a record is sent.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ledger::{Ledger, Sent},
    state::Partition,
};
use crate::{
    base::{error::Error, record::NO_HEADERS},
    engine::{
        env::Env,
        port::{Outgoing, SendError},
    },
};

/// All partitions of a worker, by partition number.
#[derive(Default)]
pub(crate) struct Partitions {
    all: BTreeMap<i32, Partition>,
    ledger: Ledger,
}

impl Partitions {
    /// Adds a partition, unless the worker already has it.
    pub(crate) fn add(&mut self, number: i32) {
        self.all.entry(number).or_default();
    }

    pub(crate) fn remove(&mut self, number: i32) -> Option<Partition> {
        self.all.remove(&number)
    }

    pub(crate) fn get(&self, number: i32) -> Option<&Partition> {
        self.all.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: i32) -> Option<&mut Partition> {
        self.all.get_mut(&number)
    }

    /// The partition with this number, if the worker has it and it runs.
    pub(crate) fn running(&self, number: i32) -> Option<&Partition> {
        self.get(number).filter(|partition| partition.is_running())
    }

    /// The partition with this number, if the worker has it and it runs.
    pub(crate) fn running_mut(&mut self, number: i32) -> Option<&mut Partition> {
        let partition = self.get_mut(number);
        partition.filter(|partition| partition.is_running())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, &Partition)> {
        self.all
            .iter()
            .map(|(number, partition)| (*number, partition))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (i32, &mut Partition)> {
        let all = self.all.iter_mut();
        all.map(|(number, partition)| (*number, partition))
    }

    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.all.keys().copied().collect()
    }

    /// The numbers of the partitions for which `which` returns `true`.
    pub(crate) fn which(&self, which: impl Fn(&Partition) -> bool) -> Vec<i32> {
        let picked = self.iter().filter(|(_, partition)| which(partition));
        picked.map(|(number, _)| number).collect()
    }

    /// The lowest partition number, from `from` on, for which `which` returns `true`. For loops that change partitions
    /// while they go through them.
    pub(crate) fn next(&self, from: i32, which: impl Fn(&Partition) -> bool) -> Option<i32> {
        let mut rest = self.all.range(from..);
        let found = rest.find(|(_, partition)| which(partition));
        found.map(|(number, _)| *number)
    }

    /// Whether any partition runs.
    pub(crate) fn any_running(&self) -> bool {
        self.all.values().any(Partition::is_running)
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Enters the available delivery reports in the ledger. Waits at most `wait` for the first report.
    pub(crate) fn serve(&mut self, env: &Env<'_>, wait: Duration) {
        let ledger = &mut self.ledger;
        env.kafka.serve(wait, &mut |report| ledger.report(report));
    }

    /// Sends a record. Waits while the producer's queue is full (back-pressure).
    ///
    /// # Errors
    /// The producer will never take the record.
    pub(crate) fn send(&mut self, env: &Env<'_>, record: &Outgoing<'_>) -> Result<(), Error> {
        loop {
            match env.kafka.send(record) {
                Ok(()) => {
                    self.ledger.sent(record.tag);
                    return Ok(());
                }
                Err(SendError::Full) => self.serve(env, Duration::from_millis(1)),
                Err(SendError::Refused(error)) => return Err(error),
            }
        }
    }

    /// Sends a row of a partition to the changelog, and counts it in the given half of the partition's account in the
    /// ledger (each half counts the records of one commit interval). Does nothing for a group without a table.
    ///
    /// # Errors
    /// The producer will never take the record.
    pub(crate) fn send_row(
        &mut self,
        env: &Env<'_>,
        (partition, half, sent): (i32, usize, Sent),
        (key, value): (&[u8], Option<&[u8]>),
        timestamp: i64,
    ) -> Result<(), Error> {
        let Some(target) = env.edges.table() else {
            return Ok(());
        };
        let record = Outgoing {
            target,
            partition,
            key: Some(key),
            value,
            timestamp,
            headers: &NO_HEADERS,
            tag: Ledger::tag(partition, half, sent),
        };
        self.send(env, &record)
    }
}
