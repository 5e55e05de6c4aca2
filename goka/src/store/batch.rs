//! Writing to a copy: everything between two commits is one LMDB transaction.
//!
//! LMDB copies each page that a transaction changes to memory of its own, and an environment keeps that memory for its
//! next transaction: what the largest one took is taken for as long as the copy is open. So rows that go to very
//! many pages are to be written in parts.

use std::marker::PhantomData;

use heed::RwTxn;

use super::{
    header,
    open::Open,
    position::{Extent, Position},
    problem,
};
use crate::base::error::Error;

/// What LMDB takes for a page where the system's pages have as many, bytes.
const PAGE_BYTES: usize = 4096;

/// For [`Options::part_pages`](super::Options::part_pages): 8 MB.
pub(crate) const PART_PAGES: usize = 2048;

/// Rows and a position that will be committed together; dropped, nothing happened.
///
/// Stays on its thread: LMDB's lock of the writer belongs to the thread that took it.
pub(crate) struct Batch<'s> {
    txn: RwTxn<'s>,
    open: &'s Open,
    extent: &'s mut Extent,
    /// How many pages it has changed at most, but for those of the tree above them.
    pages: usize,
    /// Nothing is left of the rows before.
    cleared: bool,
    /// A change failed: what is here is not what was asked for, and must not be committed.
    failed: bool,
    _stays_on_its_thread: PhantomData<*const ()>,
}

impl<'s> Batch<'s> {
    pub(super) fn begin(open: &'s Open, extent: &'s mut Extent) -> Result<Self, Error> {
        let txn = open.environment.env.write_txn();
        let txn = txn.map_err(|error| problem::state(&open.path, "begin to write", error))?;
        Ok(Batch {
            txn,
            open,
            extent,
            pages: 0,
            cleared: false,
            failed: false,
            _stays_on_its_thread: PhantomData,
        })
    }

    /// Fastest in ascending order of keys.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.pages += 1 + value.len() / PAGE_BYTES;
        let rows = &self.open.environment.rows;
        let put = rows.put(&mut self.txn, key, value);
        self.checked("write a row", put)
    }

    /// A key without a row is left without one.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.pages += 1;
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
        self.cleared = true;
        self.checked("delete all rows", cleared)
    }

    /// Whether it may have changed so many pages that it is time for [`commit_part`](Self::commit_part).
    pub(crate) fn is_large(&self) -> bool {
        self.pages >= self.open.part_pages
    }

    /// Rows without their position, which has to follow in another batch: only rows that will be read again, all of
    /// them, from where the copy extent if that one does not come. They are those that the table's topic has at most
    /// before `reaches`.
    pub(crate) fn commit_part(self, reaches: i64) -> Result<(), Error> {
        let extent = Extent {
            position: self.extent.position.clone(),
            reaches: Some(self.extent.reaches.unwrap_or(0).max(reaches)),
        };
        self.finish(extent)
    }

    /// Rows and position, at once. A full disk or map is an error that says so, and changes nothing.
    /// So is a batch of which a change has failed.
    pub(crate) fn commit(self, position: Position) -> Result<(), Error> {
        let reaches = self.extent.reaches;
        let reaches = reaches.filter(|at| !self.cleared && *at > position.table);
        self.finish(Extent { position, reaches })
    }

    fn finish(mut self, extent: Extent) -> Result<(), Error> {
        let path = &self.open.path;
        if self.failed {
            let problem = "a change of this batch failed, so none of it was stored: make a new one";
            return Err(Error::state(path, problem));
        }
        let environment = &self.open.environment;
        let meta = &environment.meta;
        let noted = match extent.reaches == self.extent.reaches {
            true => Ok(()),
            false => header::put_reaches(meta, &mut self.txn, extent.reaches),
        };
        noted
            .and_then(|()| header::put_position(meta, &mut self.txn, &extent.position))
            .and_then(|()| self.txn.commit())
            .map_err(|error| problem::state(path, "commit", error))?;
        *self.extent = extent;
        if let Err(error) = environment.reach_last_page() {
            // The commit extent. At worst the copy is taken for damaged when it is opened again.
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
