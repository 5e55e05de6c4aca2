//! Hot standby: the copies of a group's own table that no worker of this process has are kept up to
//! date, so that a worker that is given a partition goes on with one instead of reading it. Must not
//! know records or commits.

use std::collections::BTreeMap;

use crate::{
    base::{error::Error, state::PartitionState},
    engine::replica::{board::Wanted, following::Replica, loans::Lent},
};

/// The standby of a group in this process, shared by its workers.
pub(crate) struct Standby {
    // Before the replica, which waits for its thread.
    _all: Vec<Wanted>,
    replica: Replica,
}

impl Standby {
    /// `replica`: of the group's table, in the directory where its workers keep it.
    pub(crate) fn new(replica: Replica) -> Self {
        Standby {
            _all: replica.want_all(),
            replica,
        }
    }

    /// Asks for the copy of a partition. `None`: it is on its way from who has it now, so ask again.
    ///
    /// # Errors
    /// If copies are no longer kept up to date.
    pub(crate) fn promote(&self, partition: i32) -> Result<Option<Lent>, Error> {
        let lent = self.replica.borrow(partition);
        if lent.is_none() {
            self.check()?;
        }
        Ok(lent)
    }

    /// Who asked, and was given no copy, has lost the partition again.
    pub(crate) fn cancel(&self, partition: i32) {
        self.replica.cancel(partition);
    }

    /// # Errors
    /// If copies are no longer kept up to date, with the reason.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.replica.check()
    }

    /// Whether every copy that is here has been at the end of its partition.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn is_caught_up(&self) -> Result<bool, Error> {
        self.check()?;
        Ok((0..self.replica.partitions()).all(|number| self.replica.is_up_to_date(number)))
    }

    /// The partitions that are kept here for another owner, and what is done with them.
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
