//! Opens and closes the local copies of a worker's partitions, or borrows them from the standby and gives them back.
//! Must not know what is read from the copies or written to them.

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

/// The loans of a worker, its requests for joined tables, and the copies that it still has to close.
#[derive(Default)]
pub(super) struct Copies {
    /// By partition: the loan of the standby's copy.
    loans: BTreeMap<i32, Loan>,
    /// By partition: requests to keep the joined tables up to date. They are held while the worker has the partition.
    wanted: BTreeMap<i32, Vec<Wanted>>,
    /// The copies to close after the worker has left the group. `None` until the worker ends.
    left: Option<Vec<Store>>,
}

impl Copies {
    /// Requests that the joined tables of a partition are kept up to date, unless this was requested before.
    pub(super) fn want_tables(&mut self, env: &Env<'_>, number: i32) {
        let wanted = self.wanted.entry(number).or_default();
        if wanted.is_empty() {
            *wanted = env.spec.tables.want(number);
        }
    }

    /// Opens the local copy of a partition, or reads it again if it is open already. `false`: the standby has not
    /// released the copy yet.
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

    /// Completes the restore of a local copy. If a new copy was built beside the old copy, replaces the old one with
    /// the new one.
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
        // Nothing is lost here: all rows in memory are stored.
        if let Some(store) = copy.take() {
            let store = store.swap_in(&table.identity_of(number), &table.options)?;
            env.spec.status.opened(number, store.snapshots());
            copy.open(store)?;
        }
        Ok(())
    }

    /// Takes care of a partition that leaves: gives its copy back to the standby, or closes the copy. Closing a copy
    /// syncs it to disk, which can take seconds, while the group waits for this worker's answer. Therefore a copy is
    /// not synced if, even unsynced, it stays trusted unless the machine crashes; and a worker that ends syncs its
    /// copies only after it has left the group.
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

    /// For a worker that ends: if a partition leaves from now on, its copy is kept open until
    /// [`close_left`](Self::close_left) is called.
    pub(super) fn keep_left(&mut self) {
        self.left = Some(Vec::new());
    }

    /// Closes the copies of partitions that left, so that these copies are trusted even if the machine crashes later.
    pub(super) fn close_left(&mut self) {
        self.left.take().into_iter().flatten().for_each(close);
    }
}

fn close(store: Store) {
    if let Err(error) = store.close() {
        warn!(%error, "local copy not closed cleanly; it is rebuilt if the machine crashes before it is opened again");
    }
}
