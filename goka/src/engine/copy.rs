//! How a partition comes by its local copy, and what becomes of it when the partition goes: opened and
//! closed here, or taken from the standby and left to it. Must not know what is read or written.

use tracing::warn;

use crate::{
    Error,
    engine::{partition::Partition, trust::position_in, worker::Core},
    store::Store,
};

impl Core {
    /// Opens the local copy of a partition, unless it is open. `false`: somebody else in this process
    /// has not let go of it yet.
    pub(crate) fn open_copy(&mut self, number: i32) -> Result<bool, Error> {
        let (Some(table), Some(partition)) = (&self.spec.table, self.partitions.get_mut(&number))
        else {
            return Ok(true);
        };
        if partition.store.is_none()
            && partition.lease.is_none()
            && let Some(standby) = &table.standby
        {
            let Some((lease, store)) = standby.promote(number)? else {
                return Ok(false);
            };
            partition.lease = Some(lease);
            partition.store = store;
        }
        if partition.store.is_none() {
            let identity = table.identity_of(number);
            let path = table.dir.join(number.to_string());
            let (store, discarded) = Store::open(&path, &identity, &table.options)?;
            if let Some(reason) = discarded {
                warn!(
                    topic = identity.topic,
                    partition = number,
                    reason,
                    "the local copy is rebuilt"
                );
            }
            partition.store = Some(store);
        }
        if let Some(store) = &partition.store {
            self.spec.status.opened(number, store.snapshots());
        }
        partition.rows.reload(partition.store.as_ref())?;
        Ok(true)
    }

    /// The local copy of a partition is whole: one that was rebuilt takes the place of the old one.
    pub(crate) fn settle_copy(&mut self, number: i32) -> Result<(), Error> {
        let (Some(table), Some(partition)) = (&self.spec.table, self.partitions.get_mut(&number))
        else {
            return Ok(());
        };
        if !partition.store.as_ref().is_some_and(Store::is_rebuilt) {
            return Ok(());
        }
        // Nothing is in memory that is not stored.
        partition.rows.forget();
        if let Some(store) = partition.store.take() {
            let store = store.settle(&table.identity_of(number), &table.options)?;
            self.spec.status.opened(number, store.snapshots());
            partition.store = Some(store);
        }
        partition.rows.reload(partition.store.as_ref())
    }

    /// Whether the local copy stands further in an input than the group, which was set back: it has to be stored
    /// that it is not, before it can win.
    pub(crate) fn is_copy_ahead_of(&self, number: i32, positions: &[i64]) -> bool {
        let partition = self.partitions.get(&number);
        let Some(store) = partition.and_then(|partition| partition.store.as_ref()) else {
            return false;
        };
        let mut sources = self.sources.iter().zip(positions);
        sources.any(|(&edge, offset)| {
            let local = position_in(&self.spec, &self.edges, store.position(), edge);
            local.is_some_and(|local| local > *offset)
        })
    }

    /// The partition goes elsewhere: the standby follows its copy from where it is, or it is left as it is. To sync it
    /// takes seconds for a large table, and the group waits for an answer: so that is done where the worker ends,
    /// when it has left the group. Without it, the copy is as good as any until the machine stops.
    pub(crate) fn leave_copy(&mut self, partition: &mut Partition) {
        let number = partition.number;
        match (partition.store.take(), partition.lease.take()) {
            (Some(store), Some(lease)) => lease.give_back(store),
            (Some(store), None) => {
                if let Some(left) = &mut self.left {
                    left.push(store);
                }
            }
            (None, Some(lease)) => drop(lease),
            (None, None) => {
                let table = self.spec.table.as_ref();
                if let Some(standby) = table.and_then(|table| table.standby.as_ref()) {
                    standby.cancel(number);
                }
            }
        }
    }

    /// Closes what a worker that ends has left, so that it is trusted also when the machine has been stopped.
    pub(crate) fn close_left(&mut self) {
        for store in self.left.take().into_iter().flatten() {
            if let Err(error) = store.close() {
                warn!(%error, "a local copy was not closed cleanly");
            }
        }
    }
}
