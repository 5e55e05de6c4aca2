//! Rows of one partition of the group table, as a handler sees them: rows in memory on top of the local copy.
//!
//! Rows of two commit intervals can be unacknowledged at the same time. The open interval takes what handlers write
//! now; the closing interval waits for its delivery reports, while handlers go on. Rows of acknowledged intervals are
//! written to the local copy together, at once or a few intervals later, so that no LMDB write transaction stays open
//! while handlers run. Stored rows are kept in memory, within bounds: a handler often reads a row again soon after
//! writing it, and a search in LMDB costs as much as everything else that a record needs. Must not know when an
//! interval is committed.

use std::cell::RefCell;

use crate::{
    base::error::Error,
    engine::{port::Keys, table::overlay::Overlay},
    store::{Position, Snapshot, Store},
};

/// The rows of a partition. Shared with async handlers, on one thread.
#[derive(Default)]
pub(crate) struct Rows(RefCell<Layers>);

#[derive(Default)]
struct Layers {
    /// Rows of deferred records. These rows are in no interval yet.
    deferred: Overlay,
    /// Rows of the intervals, and stored rows that are kept in memory.
    written: Overlay,
    /// The local copy as of its last commit.
    stored: Option<Snapshot>,
}

/// Up to this many rows are stored as soon as their interval is acknowledged, because it costs little to write them.
pub(crate) const STORED_AT_ONCE: usize = 1_000;

/// Memory, in bytes, for the stored rows that all partitions of a worker keep: enough for some 600,000 small rows.
pub(crate) const KEPT_BYTES: usize = 48 << 20;

/// Memory, in bytes, for rows of all partitions of a worker whose offsets the group has not confirmed yet. During a
/// rebalance the answer can take as long as the membership lease (4 s), and partitions that stay go on meanwhile: this
/// is enough for 4 s in which one million different rows a second are written.
pub(crate) const UNCOMMITTED_BYTES: usize = 320 << 20;

impl Layers {
    /// The newest value of `key`. Deferred rows do not count.
    fn sent(&self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        match (self.written.get(key), &self.stored) {
            (Some(value), _) => Ok(value),
            (None, Some(stored)) => stored.get(key),
            (None, None) => Ok(None),
        }
    }
}

impl Rows {
    /// Passes the newest value of `key` to `with`.
    pub(crate) fn read<R>(
        &self,
        key: &[u8],
        with: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        let layers = self.0.borrow();
        let value = match layers.deferred.get(key) {
            Some(value) => value,
            None => layers.sent(key)?,
        };
        Ok(with(value))
    }

    /// Prefetches rows that will soon be read, see [`Overlay::look_ahead`].
    pub(crate) fn look_ahead(&self, keys: &mut Keys<'_>) {
        self.0.borrow().written.look_ahead(keys);
    }

    /// Passes to `with` the value of `key` that the changelog has, or will have once rows in flight are delivered.
    /// Deferred rows do not count.
    pub(crate) fn read_sent<R>(
        &self,
        key: &[u8],
        with: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        Ok(with(self.0.borrow().sent(key)?))
    }

    /// Writes a row in the open interval. `None` deletes the row.
    pub(crate) fn write(&self, key: &[u8], value: Option<&[u8]>) {
        self.0.borrow_mut().written.put(key, value);
    }

    /// Writes a row of a deferred record. Handlers read this row until [`forget_deferred`](Self::forget_deferred) is
    /// called.
    pub(crate) fn defer(&self, key: &[u8], value: Option<&[u8]>) {
        self.0.borrow_mut().deferred.put(key, value);
    }

    /// Memory that deferred rows take, in bytes.
    pub(crate) fn deferred_size(&self) -> usize {
        self.0.borrow().deferred.size()
    }

    /// Forgets all deferred rows, because they are in an interval now or were dropped. Rows of records that are still
    /// held back have to be written again.
    pub(crate) fn forget_deferred(&self) {
        self.0.borrow_mut().deferred.clear();
    }

    /// Passes to `take`, in order, the keys of the local copy that come after `from`, until `take` returns `false`.
    pub(crate) fn stored_keys(
        &self,
        from: Option<&[u8]>,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Error> {
        let layers = self.0.borrow();
        let Some(stored) = &layers.stored else {
            return Ok(());
        };
        let (from, exclusive) = (from.unwrap_or_default(), from.is_some());
        stored.scan(from, exclusive, &mut |key, _| take(key))
    }

    /// Memory that the open interval takes, in bytes.
    pub(crate) fn open_size(&self) -> usize {
        self.0.borrow().written.open_size()
    }

    /// Makes the open interval the closing interval, and opens a new one. When this is called, no interval may be
    /// closing.
    pub(crate) fn close_interval(&self) {
        self.0.borrow_mut().written.close_interval();
    }

    /// Makes the rows of the open interval part of the closing interval, after the rows that it already has. Returns
    /// the number of the latter.
    pub(crate) fn join_intervals(&self) -> usize {
        self.0.borrow_mut().written.join_intervals()
    }

    /// Passes the rows of the closing interval to `take`, beginning at index `from`, until `take` returns `false`.
    /// Returns the index of the row to continue with, or `None` if all rows were passed.
    pub(crate) fn each_closing(
        &self,
        from: usize,
        mut take: impl FnMut(&[u8], Option<&[u8]>) -> Result<bool, Error>,
    ) -> Result<Option<usize>, Error> {
        let layers = self.0.borrow();
        for (index, (key, value)) in layers.written.closing().enumerate().skip(from) {
            if !take(key, value)? {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }

    /// Marks the closing interval as acknowledged: its rows may be stored.
    pub(crate) fn acknowledge(&self) {
        self.0.borrow_mut().written.acknowledge();
    }

    /// The number of rows that are acknowledged but not stored, and the memory that all rows take, in bytes.
    pub(crate) fn unstored(&self) -> (usize, usize) {
        let written = &self.0.borrow().written;
        (written.unstored(), written.size())
    }

    /// Commits the acknowledged rows to the local copy, in one transaction with the position after them. The stored
    /// rows are then kept in memory, up to `kept` bytes. No interval may be closing. Very many rows are committed in
    /// parts, each in a transaction of its own: the last part contains the position, and `part` is called between two
    /// parts.
    pub(crate) fn store(
        &self,
        store: &mut Store,
        position: Position,
        kept: usize,
        part: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let layers = &mut *self.0.borrow_mut();
        layers.store(store, position, part)?;
        layers.written.stored(kept);
        Ok(())
    }

    /// Commits the rows of the closing interval to the local copy, and then passes each row to `notify`. Does not keep
    /// the rows in memory.
    pub(crate) fn store_and_notify(
        &self,
        store: &mut Store,
        position: Position,
        mut notify: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), Error> {
        let layers = &mut *self.0.borrow_mut();
        layers.written.acknowledge();
        layers.store(store, position, &mut || Ok(()))?;
        for (key, value) in layers.written.acknowledged() {
            notify(key, value);
        }
        layers.written.stored(0);
        Ok(())
    }

    /// Forgets the rows in memory, and takes a new snapshot of the local copy for reads.
    pub(crate) fn reload(&self, store: Option<&Store>) -> Result<(), Error> {
        self.forget();
        self.0.borrow_mut().stored = store.map(Store::snapshot).transpose()?;
        Ok(())
    }

    /// Forgets the rows in memory, and releases the snapshot of the local copy.
    pub(crate) fn forget(&self) {
        let layers = &mut *self.0.borrow_mut();
        layers.deferred.clear();
        layers.written.clear();
        layers.stored = None;
    }
}

impl Layers {
    fn store(
        &mut self,
        store: &mut Store,
        position: Position,
        part: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        // The snapshot is released first, because LMDB reuses no page that an open snapshot can see.
        self.stored = None;
        let mut batch = store.batch()?;
        let mut rows = self.written.sorted().peekable();
        while let Some((key, value)) = rows.next() {
            match value {
                Some(value) => batch.put(key, value)?,
                None => batch.delete(key)?,
            }
            if batch.is_large() && rows.peek().is_some() {
                // The changelog has all of these rows, at offsets after the copy's position. If the process ends here,
                // recovery reads the rows again.
                batch.commit_part(position.changelog)?;
                part()?;
                batch = store.batch()?;
            }
        }
        batch.commit(position)?;
        self.stored = Some(store.snapshot()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deferred_row_is_read_and_not_sent() -> Result<(), Error> {
        let rows = Rows::default();
        rows.write(b"alice", Some(b"1"));
        rows.defer(b"alice", Some(b"2"));
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        assert_eq!(rows.read(b"alice", owned)?, Some(b"2".to_vec()));
        assert_eq!(rows.read_sent(b"alice", owned)?, Some(b"1".to_vec()));
        Ok(())
    }
}
