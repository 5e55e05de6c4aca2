//! The end of a commit interval, and the rows that are written only then: those of a table with
//! `coalesce = true`, at most one a key. Handlers see what they wrote at once, as ever; the table's
//! topic gets the last value of a key. What the interval sent besides has gone before.

use crate::{
    Error,
    engine::{
        ledger::{Ledger, Sent},
        worker::Core,
    },
    kafka::Kafka,
};

impl Core {
    /// The open interval of a partition becomes the closing one, and a new one is opened. The partition
    /// may be dropped meanwhile.
    pub(crate) fn close_interval(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        partition.close_interval();
        match self.coalesce {
            true => self.send_rows(kafka, number),
            false => Ok(()),
        }
    }

    /// Sends the rows of the closing interval.
    fn send_rows(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let mut from = Some(0);
        while let Some(next) = from {
            // Whoever was stopped since the last record was handled may own the partition no more.
            if !self.is_proven(kafka) && !self.renew(kafka)? {
                return Ok(());
            }
            let Some(partition) = self.partitions.get(&number).filter(|p| p.is_running()) else {
                return Ok(());
            };
            let Some(closing) = &partition.closing else {
                return Ok(());
            };
            let (rows, timestamp) = (partition.rows.clone(), closing.timestamp);
            let tag = Ledger::tag(number, partition.parity ^ 1, Sent::Row);
            from = rows.each_closing(next, &mut |key, value| {
                self.send_row(kafka, (number, tag), key, value, timestamp)?;
                Ok(self.is_proven(kafka))
            })?;
        }
        Ok(())
    }

    /// Whether membership was proven within the lease; under exactly-once, Kafka asks for the proof.
    fn is_proven(&self, kafka: &dyn Kafka) -> bool {
        self.is_exactly_once()
            || kafka.now().saturating_sub(self.lease_at) <= self.spec.settings.lease
    }
}
