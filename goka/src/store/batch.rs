//! Writing to a copy: everything between two commits is one LMDB transaction.

use std::marker::PhantomData;

use heed::RwTxn;

use super::{Open, Position, header, problem};
use crate::Error;

/// Rows and a position that will be committed together; dropped, nothing happened.
///
/// Stays on its thread: LMDB's lock of the writer belongs to the thread that took it.
pub(crate) struct Batch<'s> {
    txn: RwTxn<'s>,
    open: &'s Open,
    position: &'s mut Position,
    /// A change failed: what is here is not what was asked for, and must not be committed.
    failed: bool,
    _stays_on_its_thread: PhantomData<*const ()>,
}

impl<'s> Batch<'s> {
    pub(super) fn begin(open: &'s Open, position: &'s mut Position) -> Result<Self, Error> {
        let txn = open.environment.env.write_txn();
        let txn = txn.map_err(|error| problem::state(&open.path, "begin to write", error))?;
        Ok(Batch {
            txn,
            open,
            position,
            failed: false,
            _stays_on_its_thread: PhantomData,
        })
    }

    /// Fastest in ascending order of keys.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let rows = &self.open.environment.rows;
        let put = rows.put(&mut self.txn, key, value);
        self.checked("write a row", put)
    }

    /// A key without a row is left without one.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        let rows = &self.open.environment.rows;
        let deleted = rows.delete(&mut self.txn, key);
        self.checked("delete a row", deleted)
    }

    /// As the batch sees it.
    #[cfg(test)]
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        let rows = &self.open.environment.rows;
        let value = rows.get(&self.txn, key);
        value.map_err(|error| problem::state(&self.open.path, "read a row", error))
    }

    /// Deletes every row.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        let rows = &self.open.environment.rows;
        let cleared = rows.clear(&mut self.txn);
        self.checked("delete all rows", cleared)
    }

    /// Rows and position, at once. A full disk or map is an error that says so, and changes nothing.
    /// So is a batch of which a change has failed.
    pub(crate) fn commit(mut self, position: Position) -> Result<(), Error> {
        let path = &self.open.path;
        if self.failed {
            let problem = "a change of this batch failed, so none of it was stored: make a new one";
            return Err(Error::state(path, problem));
        }
        let environment = &self.open.environment;
        header::put_position(&environment.meta, &mut self.txn, &position)
            .and_then(|()| self.txn.commit())
            .map_err(|error| problem::state(path, "commit", error))?;
        *self.position = position;
        if let Err(error) = environment.reach_last_page() {
            // The commit stands. At worst the copy is taken for damaged when it is opened again.
            tracing::warn!(
                "cannot extend the local copy in {}: {error}",
                path.display()
            );
        }
        Ok(())
    }

    fn checked(&mut self, doing: &str, result: heed::Result<()>) -> Result<(), Error> {
        result.map_err(|error| {
            self.failed = true;
            problem::state(&self.open.path, doing, error)
        })
    }
}
