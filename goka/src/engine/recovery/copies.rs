//! The local copies of a worker's partitions: opened and closed, or borrowed from the standby and given back. Must not
//! know what is read or written.

use std::collections::BTreeMap;

use tracing::warn;

use crate::{
    base::error::Error,
    engine::{
        env::Env,
        partition::{Partition, Partitions},
        replica::{Loan, Wanted},
    },
    store::Store,
};

/// Loans, joined tables and copies to close, by partition.
#[derive(Default)]
pub(super) struct Copies {
    /// Loans of the standby's copies.
    loans: BTreeMap<i32, Loan>,
    /// Requests to keep joined tables up to date, held while the worker has the partition.
    wanted: BTreeMap<i32, Vec<Wanted>>,
    /// Once the worker ends: copies to close after it has left the group.
    left: Option<Vec<Store>>,
}

impl Copies {
    /// Requests the joined tables of a partition.
    pub(super) fn want_tables(&mut self, env: &Env<'_>, number: i32) {
        let wanted = self.wanted.entry(number).or_default();
        if wanted.is_empty() {
            *wanted = env.spec.tables.want(number);
        }
    }

    /// Opens the local copy of a partition, unless it is open. `false`: the standby still uses the copy.
    pub(super) fn open(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<bool, Error> {
        let (Some(table), Some(partition)) = (&env.spec.table, partitions.get_mut(number)) else {
            return Ok(true);
        };
        let copy = partition.copy_mut();
        if copy.is_open() {
            copy.reload()?;
        } else {
            let mut lent = None;
            if let (false, Some(standby)) = (self.loans.contains_key(&number), &table.standby) {
                let Some((loan, store)) = standby.promote(number)? else {
                    return Ok(false);
                };
                self.loans.insert(number, loan);
                lent = store;
            }
            let store = match lent {
                Some(store) => store,
                None => {
                    let identity = table.identity_of(number);
                    let path = table.dir.join(number.to_string());
                    let (store, discarded) = Store::open(&path, &identity, &table.options)?;
                    if let Some(reason) = discarded {
                        let topic = identity.topic;
                        warn!(
                            topic,
                            partition = number,
                            reason,
                            "local copy discarded; rebuilding"
                        );
                    }
                    store
                }
            };
            copy.open(store)?;
        }
        if let Some(store) = copy.store() {
            env.spec.status.opened(number, store.snapshots());
        }
        Ok(true)
    }

    /// Completes the restore of a local copy: swaps in a copy that was rebuilt beside the old one.
    pub(super) fn complete(
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Error> {
        let (Some(table), Some(partition)) = (&env.spec.table, partitions.get_mut(number)) else {
            return Ok(());
        };
        let copy = partition.copy_mut();
        if !copy.store().is_some_and(Store::is_rebuilt) {
            return Ok(());
        }
        // All rows in memory are stored.
        if let Some(store) = copy.take() {
            let store = store.swap_in(&table.identity_of(number), &table.options)?;
            env.spec.status.opened(number, store.snapshots());
            copy.open(store)?;
        }
        Ok(())
    }

    /// A partition leaves: its copy goes back to the standby, or is closed. A copy is synced to disk when it is closed,
    /// which can take seconds while the group waits for an answer. Therefore a copy stays unsynced if it is trusted
    /// without that unless the machine crashes, and a worker that ends syncs its copies after it has left the group.
    pub(super) fn leave(&mut self, env: &Env<'_>, number: i32, mut partition: Partition) {
        self.wanted.remove(&number);
        match (partition.copy_mut().take(), self.loans.remove(&number)) {
            (Some(store), Some(loan)) => loan.give_back(store),
            (Some(store), None) => match &mut self.left {
                Some(left) => left.push(store),
                None if store.is_trusted_open() => drop(store),
                None => close(store),
            },
            (None, Some(loan)) => drop(loan),
            (None, None) => {
                let table = env.spec.table.as_ref();
                if let Some(standby) = table.and_then(|table| table.standby.as_ref()) {
                    standby.cancel(number);
                }
            }
        }
    }

    /// The worker ends: the copies of partitions that leave from now on are kept open until
    /// [`close_left`](Self::close_left).
    pub(super) fn keep_left(&mut self) {
        self.left = Some(Vec::new());
    }

    /// Closes the copies of partitions that left, so that they are trusted even after the machine crashes.
    pub(super) fn close_left(&mut self) {
        self.left.take().into_iter().flatten().for_each(close);
    }
}

fn close(store: Store) {
    if let Err(error) = store.close() {
        warn!(%error, "local copy not closed cleanly; it is rebuilt if the machine crashes before it is opened again");
    }
}
