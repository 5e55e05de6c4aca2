//! The end of a commit interval, and the rows that are written only then: those of a table with
//! `coalesce = true`, at most one a key. Handlers see what they wrote at once, as ever; the table's
//! topic gets the last value of a key. What the interval sent besides has gone before.

use crate::{
    base::error::Error,
    engine::{
        partition::ledger::{Ledger, Sent},
        port::Kafka,
        worker::Core,
    },
};

impl Core {
    /// The open interval of a partition becomes the closing one, and a new one is opened. Not now, if rows
    /// would have to be sent and the group does not say that the partition is ours; the partition may
    /// also be dropped.
    pub(crate) fn close_interval(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        if self.coalesce && !self.prove(kafka)? {
            return Ok(());
        }
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        if !partition.is_running() {
            return Ok(());
        }
        partition.close_interval();
        let sent = match self.coalesce {
            true => self.send_rows(kafka, number),
            false => Ok(()),
        };
        if let Err(error) = &sent {
            self.take_back(kafka, number, error);
        }
        sent
    }

    /// Sends the rows of the closing interval.
    fn send_rows(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let mut next = 0;
        loop {
            let Some(partition) = self.partitions.get(&number) else {
                return Ok(());
            };
            let Some(closing) = partition
                .closing
                .as_ref()
                .filter(|_| partition.is_running())
            else {
                return Ok(());
            };
            let (rows, timestamp) = (partition.rows.clone(), closing.timestamp);
            let tag = Ledger::tag(number, partition.parity ^ 1, Sent::Row);
            let left = rows.each_closing(next, |key, value| {
                self.send_row(kafka, (number, tag), key, value, timestamp)?;
                Ok(self.is_proven(kafka))
            })?;
            let Some(left) = left else { return Ok(()) };
            if !self.prove(kafka)? {
                return self.abandon(kafka, number, "the group did not confirm it in time");
            }
            next = left;
        }
    }

    /// Whether membership was proven within the lease: whoever was stopped since it handled its last
    /// record may own the partition no more. Under exactly-once, Kafka asks for the proof.
    fn is_proven(&self, kafka: &dyn Kafka) -> bool {
        self.is_exactly_once()
            || kafka.now().saturating_sub(self.lease_at) <= self.spec.settings.lease
    }

    /// The same, or it is proven now.
    fn prove(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        Ok(self.is_proven(kafka) || self.commit_offsets(kafka, |_| true)?)
    }
}
