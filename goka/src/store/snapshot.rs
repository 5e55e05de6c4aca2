//! Reads a local copy. Must not know how long a reader holds a snapshot.

use std::{
    ops::Bound,
    sync::{Arc, Weak, atomic::Ordering},
};

use heed::{RoTxn, WithoutTls};

use super::{
    open::Open,
    problem,
    scan::{self, Span},
};
use crate::base::error::Error;

/// A consistent view of a local copy: one read transaction. A snapshot may move to another thread.
pub(crate) struct Snapshot {
    // Declared before `open` and therefore dropped before it: `open` keeps the environment open.
    txn: RoTxn<'static, WithoutTls>,
    pub(super) open: Arc<Open>,
}

impl Snapshot {
    pub(super) fn take(open: &Arc<Open>) -> Result<Snapshot, Error> {
        let env = open.environment.env.clone();
        let txn = env
            .static_read_txn()
            .map_err(|error| problem::state(&open.path, "take a snapshot", error))?;
        Ok(Snapshot {
            txn,
            open: Arc::clone(open),
        })
    }

    /// The value at `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        let rows = &self.open.environment.rows;
        let value = rows.get(&self.txn, key);
        value.map_err(|error| self.problem("read a row", error))
    }

    /// Number of rows. Long keys with equal hashes count as one row; equal hashes do not happen by chance.
    pub(crate) fn len(&self) -> Result<u64, Error> {
        let rows = &self.open.environment.rows;
        rows.len(&self.txn)
            .map_err(|error| self.problem("count the rows", error))
    }

    /// Size of the file in bytes, including free pages.
    pub(crate) fn file_bytes(&self) -> Result<u64, Error> {
        let length = self.open.environment.file_bytes();
        length.map_err(|error| self.problem("get the size of the file", error.into()))
    }

    /// Passes the rows from key `from` on (if `exclusive`, the rows after `from`) to `row`, in the order of key bytes,
    /// until `row` returns `false`.
    pub(crate) fn scan(
        &self,
        from: &[u8],
        exclusive: bool,
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let from = match exclusive {
            true => Bound::Excluded(from),
            false => Bound::Included(from),
        };
        self.scan_span(Span { from, ..Span::ALL }, row)
    }

    /// Passes the rows of a span to `row`, in the order of the span, until `row` returns `false`.
    pub(crate) fn scan_span(
        &self,
        span: Span<'_>,
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let rows = &self.open.environment.rows;
        let scanned = scan::scan(rows, &self.txn, span, row);
        scanned.map_err(|error| self.problem("read rows in order", error))
    }

    fn problem(&self, doing: &str, error: heed::Error) -> Error {
        problem::state(&self.open.path, doing, error)
    }
}

/// Takes snapshots of a copy from any thread, for as long as its [`Store`](super::Store) is open.
#[derive(Clone)]
pub(crate) struct Snapshots(pub(super) Weak<Open>);

impl Snapshots {
    /// Takes a snapshot, see [`Store::snapshot`](super::Store::snapshot).
    ///
    /// # Errors
    /// [`Error::Closed`] if the store is closed.
    pub(crate) fn take(&self) -> Result<Snapshot, Error> {
        let open = self.0.upgrade();
        let open = open.filter(|open| !open.closed.load(Ordering::Relaxed));
        Snapshot::take(&open.ok_or(Error::Closed("the local copy"))?)
    }
}
