//! `start = reset`: deletes all rows of a partition, from the changelog and from the local copy, before the partition
//! begins again. Must not know how the tombstones are committed.

use std::time::Duration;

use tracing::warn;

use super::{phase::Phase, state::Recovery};
use crate::{
    engine::{
        env::Env,
        halt::{Halt, Scope, Setback, stored},
        partition::{Partitions, ledger::Sent},
    },
    store::Position,
};

/// Maximum number of rows that a reset deletes at a time.
const ROWS: usize = 10_000;
/// The half of the partition's account in the ledger that counts the tombstones. No commit interval uses this half
/// yet.
const HALF: usize = 0;

/// Rows whose tombstones are delivered. The local copy still has these rows.
pub(crate) struct Deleted {
    keys: Vec<Vec<u8>>,
    /// The changelog offset after the tombstones.
    changelog: Option<i64>,
    at_ms: i64,
}

impl Recovery {
    /// Sends tombstones for some rows of a partition, waits until they are delivered, and returns these rows. `None`:
    /// no row is left to delete.
    pub(crate) fn delete_rows(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Option<Deleted>, Halt> {
        let store = partitions.get(number).and_then(|p| p.copy().store());
        let mut keys: Vec<Vec<u8>> = Vec::new();
        if let Some(store) = store {
            store.snapshot()?.scan(&[], false, &mut |key, _| {
                keys.push(key.to_vec());
                keys.len() < ROWS
            })?;
        }
        if keys.is_empty() {
            if let Some(Phase::Claiming { is_reset, .. }) = self.phases.get_mut(&number) {
                *is_reset = true;
            }
            return Ok(None);
        }
        let at_ms = env.kafka.wall_ms();
        for key in &keys {
            partitions.send_row(env, (number, HALF, Sent::Row), (key, None), at_ms)?;
        }
        while partitions.ledger().pending(number) > 0 {
            partitions.serve(env, Duration::from_millis(5));
        }
        let outcome = partitions.ledger_mut().take(number, HALF);
        if let Some(failure) = outcome.failed {
            let scope = Scope::Transaction(Some(number));
            return Err(Setback::undelivered(scope, failure).into());
        }
        Ok(Some(Deleted {
            keys,
            changelog: outcome.changelog,
            at_ms,
        }))
    }

    /// Deletes these rows from the local copy. To be called after their tombstones were committed.
    pub(crate) fn deleted(
        &mut self,
        partitions: &mut Partitions,
        number: i32,
        deleted: Deleted,
    ) -> Result<(), Halt> {
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        let copy = partition.copy_mut();
        let changelog = deleted.changelog.unwrap_or(copy.changelog());
        copy.set_changelog(changelog);
        let Some((rows, store)) = copy.layers() else {
            return Ok(());
        };
        deleted.keys.iter().for_each(|key| rows.write(key, None));
        rows.close_interval();
        rows.acknowledge();
        let position = Position {
            changelog,
            inputs: Vec::new(),
            at_ms: deleted.at_ms,
            ..Position::default()
        };
        let written = rows.store(store, position, 0, &mut || Ok(()));
        stored(number, written)
    }

    /// Logs that all rows of a partition are being deleted.
    pub(crate) fn log_reset(env: &Env<'_>, number: i32) {
        warn!(
            group = env.group(),
            topic = env.changelog(),
            partition = number,
            "deleting all rows of the table (`start = reset`)"
        );
    }
}
