//! `start = reset`: a group that begins anew deletes the rows of its table, in Kafka and here.

use std::time::Duration;

use tracing::warn;

use crate::{
    base::error::Error,
    engine::{
        partition::ledger::{Ledger, Sent},
        port::Kafka,
        worker::Core,
    },
    store::Position,
};

/// Rows that a reset deletes at a time.
const RESET_ROWS: usize = 10_000;

impl Core {
    /// Deletes every row of the partition, in Kafka and here. `false`: it was abandoned on the way.
    pub(crate) fn reset(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Error> {
        warn!(
            group = self.spec.program.group(),
            partition = number,
            "deleting all rows, as `start = reset` says"
        );
        if self.is_exactly_once() && !self.commit_all(kafka)? {
            return Ok(false);
        }
        loop {
            let Some(Some(store)) = self.partitions.get(&number).map(|p| &p.store) else {
                return Ok(true);
            };
            let mut keys = Vec::new();
            store.snapshot()?.scan(&[], false, &mut |key, _| {
                keys.push(key.to_vec());
                keys.len() < RESET_ROWS
            })?;
            if keys.is_empty() {
                return Ok(true);
            }
            let timestamp = kafka.wall_ms();
            for key in &keys {
                let tag = Ledger::tag(number, 0, Sent::Row);
                self.send_row(kafka, (number, tag), key, None, timestamp)?;
            }
            while self.ledger.pending(number) > 0 {
                self.serve(kafka, Duration::from_millis(5));
            }
            let outcome = self.ledger.take(number, 0);
            if let Some(failure) = outcome.failed {
                if self.is_exactly_once() {
                    self.abort(kafka, &failure.reason)?;
                }
                self.abandon(kafka, number, &failure.reason)?;
                self.undelivered(number, &failure)?;
                return Ok(false);
            }
            if self.is_exactly_once() && !self.commit_alone(kafka)? {
                self.abandon(kafka, number, "its rows were not deleted")?;
                return Ok(false);
            }
            let Some(partition) = self.partitions.get_mut(&number) else {
                return Ok(false);
            };
            keys.iter().for_each(|key| partition.rows.write(key, None));
            partition.table = outcome.table.unwrap_or(partition.table);
            partition.rows.close_interval();
            partition.rows.settle();
            if let Some(store) = &mut partition.store {
                let position = Position {
                    table: partition.table,
                    inputs: Vec::new(),
                    at_ms: timestamp,
                };
                let written = partition.rows.store(store, position, 0, &mut || Ok(()));
                if !self.found_room(kafka, number, written)? {
                    return Ok(false);
                }
            }
        }
    }
}
