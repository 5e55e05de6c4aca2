//! Hot standbys: for each partition of the group table that no worker of this process has, the process keeps a local
//! copy up to date. A worker that is assigned such a partition continues with this copy, instead of restoring one.
//! Must not know records or commits.

use std::collections::BTreeMap;

use crate::{
    base::{error::Error, state::PartitionState},
    engine::replica::{board::Wanted, following::Replica, loans::Lent},
};

/// The standby of a group in this process, shared by its workers.
pub(crate) struct Standby {
    // Declared, and therefore dropped, before the replica, because dropping the replica waits for its thread.
    _all: Vec<Wanted>,
    replica: Replica,
}

impl Standby {
    /// `replica` is the replica of the group table, in the directory that the workers use.
    pub(crate) fn new(replica: Replica) -> Self {
        Standby {
            _all: replica.want_all(),
            replica,
        }
    }

    /// Borrows the local copy of a partition. `None`: the copy is not released yet, so ask again.
    ///
    /// # Errors
    /// [`Error::Stale`] if the local copies are no longer updated.
    pub(crate) fn promote(&self, partition: i32) -> Result<Option<Lent>, Error> {
        let lent = self.replica.borrow(partition);
        if lent.is_none() {
            self.check()?;
        }
        Ok(lent)
    }

    /// Cancels a request by [`promote`](Self::promote) for which no copy was handed over yet, because the partition
    /// moved away again.
    pub(crate) fn cancel(&self, partition: i32) {
        self.replica.cancel(partition);
    }

    /// # Errors
    /// [`Error::Stale`] if the local copies are no longer updated.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.replica.check()
    }

    /// Whether all local copies have caught up with the changelog.
    ///
    /// # Errors
    /// The same as those of [`check`](Self::check).
    pub(crate) fn is_caught_up(&self) -> Result<bool, Error> {
        self.check()?;
        Ok((0..self.replica.partitions()).all(|number| self.replica.is_up_to_date(number)))
    }

    /// The partitions whose local copies are kept up to date here while other instances have the partitions, and the
    /// states of these partitions.
    pub(crate) fn partitions(&self) -> BTreeMap<i32, PartitionState> {
        let numbers = 0..self.replica.partitions();
        numbers
            .filter_map(|number| Some((number, self.replica.state(number)?)))
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }
}
