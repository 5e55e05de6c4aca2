//! How a partition comes by its local copy, and what becomes of it when the partition goes: opened and
//! closed here, or taken from the standby and left to it. Must not know what is read or written.

use tracing::warn;

use crate::{
    base::error::Error,
    engine::{
        partition::Partition,
        port::Kafka,
        recovery::trust::{position_in, position_name},
        worker::Core,
    },
    store::{Position, Store},
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

    /// A local copy that stands further in an input than these positions, where the group goes on, says so no longer:
    /// the group was set back. Before the group hears from this instance that it goes on there, for then the later
    /// position would win. `false`: there was no room, and the partition was abandoned.
    pub(crate) fn lower_copy(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        positions: &[i64],
    ) -> Result<bool, Error> {
        let partition = self.partitions.get_mut(&number);
        let Some(store) = partition.and_then(|partition| partition.store.as_mut()) else {
            return Ok(true);
        };
        let (spec, edges) = (&self.spec, &self.edges);
        let mut sources = self.sources.iter().zip(positions);
        let is_ahead = sources.any(|(&edge, offset)| {
            position_in(spec, edges, store.position(), edge).is_some_and(|local| local > *offset)
        });
        if !is_ahead {
            return Ok(true);
        }
        let names = self.sources.iter();
        let names = names.map(|&edge| position_name(spec, edges, edge));
        let position = Position {
            inputs: names.zip(positions.iter().copied()).collect(),
            ..store.position().clone()
        };
        let written = store.batch().and_then(|batch| batch.commit(position));
        self.found_room(kafka, number, written)
    }

    /// The partition goes elsewhere: the standby follows its copy from where it is, or it is left as it is. To sync it
    /// takes seconds for a large table, and the group waits for an answer: so that is done where the worker ends,
    /// when it has left the group. Without it, the copy is as good as any until the machine stops.
    pub(crate) fn leave_copy(&mut self, partition: &mut Partition) {
        let number = partition.number;
        match (partition.store.take(), partition.lease.take()) {
            (Some(store), Some(lease)) => lease.give_back(store),
            (Some(store), None) => match &mut self.left {
                Some(left) => left.push(store),
                None if store.is_trusted_open() => drop(store),
                None => close(store),
            },
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
        self.left.take().into_iter().flatten().for_each(close);
    }
}

fn close(store: Store) {
    if let Err(error) = store.close() {
        warn!(%error, "a local copy was not closed cleanly");
    }
}
