//! `start = reset`: a group that begins anew deletes the rows of its table, in Kafka and here.

use std::time::Duration;

use tracing::warn;

use crate::{
    Error,
    engine::{
        ledger::{Ledger, Sent},
        worker::Core,
    },
    kafka::{Kafka, Outgoing},
    record::OwnedHeaders,
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
        let Some(target) = self.table_edge else {
            return Ok(true);
        };
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
            let (headers, timestamp) = (&OwnedHeaders::new(), kafka.wall_ms());
            for key in &keys {
                let tag = Ledger::tag(number, 0, Sent::Row);
                let (partition, key, value) = (number, Some(&key[..]), None);
                self.send(
                    kafka,
                    &Outgoing {
                        target,
                        partition,
                        key,
                        value,
                        timestamp,
                        headers,
                        tag,
                    },
                )?;
            }
            while self.ledger.pending(number) > 0 {
                self.serve(kafka, Duration::from_millis(5));
            }
            let outcome = self.ledger.take(number, 0);
            if let Some(reason) = outcome.failed {
                self.abandon(kafka, number, &reason)?;
                return Ok(false);
            }
            let Some(partition) = self.partitions.get_mut(&number) else {
                return Ok(false);
            };
            keys.iter().for_each(|key| partition.rows.write(key, None));
            partition.table = outcome.table.unwrap_or(partition.table);
            partition.rows.close_interval();
            if let Some(store) = &mut partition.store {
                let position = Position {
                    table: partition.table,
                    inputs: Vec::new(),
                    at_ms: timestamp,
                };
                partition.rows.store(store, position)?;
            }
        }
    }
}
