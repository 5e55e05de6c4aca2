//! Writes to a local copy: a batch is one LMDB transaction.
//!
//! LMDB copies each page that a transaction changes, and an environment keeps the memory of these pages for the next
//! transaction. The largest transaction thus decides how much memory an open copy takes. Therefore rows on very many
//! pages should be written in parts, each of which is a transaction. Must not know what a row means.

use std::marker::PhantomData;

use heed::RwTxn;

use super::{
    header,
    open::Open,
    position::{Extent, Position},
    problem,
};
use crate::base::error::Error;

/// Size of an LMDB page on most systems, in bytes.
const PAGE_BYTES: usize = 4096;

/// Default of [`Options::part_pages`](super::Options::part_pages), which is 8 MB of pages.
pub(crate) const PART_PAGES: usize = 2048;

/// Rows and a position that are committed together. Dropping a batch discards it.
///
/// A batch stays on its thread, because LMDB's writer lock belongs to the thread that took it.
pub(crate) struct Batch<'s> {
    txn: RwTxn<'s>,
    open: &'s Open,
    extent: &'s mut Extent,
    /// Upper bound of the number of changed leaf pages.
    pages: usize,
    /// Whether this batch deleted all earlier rows.
    cleared: bool,
    /// Whether a change failed. The batch is then incomplete and must not be committed.
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

    /// Writes a row. Rows are written fastest in ascending order of their keys.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.pages += 1 + value.len() / PAGE_BYTES;
        let rows = &self.open.environment.rows;
        let put = rows.put(&mut self.txn, key, value);
        self.checked("write a row", put)
    }

    /// Deletes the row of a key, if there is one.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.pages += 1;
        let rows = &self.open.environment.rows;
        let deleted = rows.delete(&mut self.txn, key);
        self.checked("delete a row", deleted)
    }

    /// The value of a key, including the changes of this batch.
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

    /// Whether the batch may have changed so many pages that [`commit_part`](Self::commit_part) should commit it now.
    pub(crate) fn is_large(&self) -> bool {
        self.pages >= self.open.part_pages
    }

    /// Commits rows without their position; a later batch commits the position. If no such batch follows, the changelog
    /// is read again from the stored position. Therefore only rows that are in the changelog below offset `reaches` may
    /// be committed in this way.
    pub(crate) fn commit_part(self, reaches: i64) -> Result<(), Error> {
        let extent = Extent {
            position: self.extent.position.clone(),
            reaches: Some(self.extent.reaches.unwrap_or(0).max(reaches)),
        };
        self.finish(extent)
    }

    /// Commits the rows and the position together. If the disk or the map is full, or if a change of this batch has
    /// failed, this method returns an error and stores nothing.
    pub(crate) fn commit(self, position: Position) -> Result<(), Error> {
        let reaches = self.extent.reaches;
        let reaches = reaches.filter(|at| !self.cleared && *at > position.changelog);
        self.finish(Extent { position, reaches })
    }

    fn finish(mut self, extent: Extent) -> Result<(), Error> {
        let path = &self.open.path;
        if self.failed {
            let problem =
                "a change of this batch failed, so none of it was stored: write the rows again";
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
            // The commit has succeeded. At worst, the copy looks damaged at the next open, and is rebuilt.
            tracing::warn!(
                path = %path.display(), %error,
                "cannot extend the file of a local copy; goka may rebuild the copy after a restart"
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
