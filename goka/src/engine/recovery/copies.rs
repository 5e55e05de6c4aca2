//! How a partition gets its local copy, and what happens to the copy when the partition leaves: opened and closed
//! here, or borrowed from the standby and given back. Must not know what is read or written.

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

/// What is kept for the local copies of the partitions that are here.
#[derive(Default)]
pub(super) struct Copies {
    /// Loans of a standby's copies.
    loans: BTreeMap<i32, Loan>,
    /// The joined tables are kept for as long as a partition is here.
    wanted: BTreeMap<i32, Vec<Wanted>>,
    /// Copies to be closed when the worker has left the group, once it ends.
    left: Option<Vec<Store>>,
}

impl Copies {
    /// Has the joined tables kept for a partition.
    pub(super) fn want_tables(&mut self, env: &Env<'_>, number: i32) {
        let wanted = self.wanted.entry(number).or_default();
        if wanted.is_empty() {
            *wanted = env.spec.tables.want(number);
        }
    }

    /// Opens the local copy of a partition, unless it is open. `false`: somebody else in this process has not let go
    /// of it yet.
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

    /// The local copy of a partition is complete: one that was rebuilt takes the place of the old one.
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
        // Nothing is in memory that is not stored.
        if let Some(store) = copy.take() {
            let store = store.settle(&table.identity_of(number), &table.options)?;
            env.spec.status.opened(number, store.snapshots());
            copy.open(store)?;
        }
        Ok(())
    }

    /// A partition leaves: the standby follows its copy from where it is, or the copy is left as it is. To sync a
    /// large one takes seconds, and the group waits for an answer: that is done where the worker ends, when it has
    /// left the group. Without it, a copy is as good as any until the machine stops.
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

    /// The worker ends: the copies of partitions that leave from now on are kept for [`close_left`](Self::close_left).
    pub(super) fn keep_left(&mut self) {
        self.left = Some(Vec::new());
    }

    /// Closes the copies that were left, so that they are trusted also after the machine was stopped.
    pub(super) fn close_left(&mut self) {
        self.left.take().into_iter().flatten().for_each(close);
    }
}

fn close(store: Store) {
    if let Err(error) = store.close() {
        warn!(%error, "local copy not closed cleanly; it is rebuilt if the machine stops before it is opened again");
    }
}
