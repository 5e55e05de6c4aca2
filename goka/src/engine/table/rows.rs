//! Rows of one partition of the group table, as a handler sees them: what was written since the
//! last commit, over the local copy.
//!
//! Writes of two commit intervals can be in memory at once. The *open* one takes what handlers
//! write now; the *closing* one waits for its delivery reports, and handlers go on meanwhile. What is
//! *settled* goes to the local copy, at once or a few intervals later: a write transaction is open only
//! while it is being committed. What was stored is kept in memory, within bounds: a row that is
//! written is soon read again, and a search in the local copy costs as much as all else that a
//! record needs.

use std::cell::RefCell;

use crate::{
    base::error::Error,
    engine::{port::Keys, table::overlay::Overlay},
    store::{Position, Snapshot, Store},
};

/// The rows of a partition. Shared with handlers that wait, on one thread.
#[derive(Default)]
pub(crate) struct Rows(RefCell<Layers>);

#[derive(Default)]
struct Layers {
    /// What waits for the guards of deferred records, in no interval yet.
    deferred: Overlay,
    written: Overlay,
    stored: Option<Snapshot>,
}

/// So many rows are written to the local copy at the end of their interval: that costs little.
pub(crate) const STORED_AT_ONCE: usize = 1_000;

/// So much memory the rows that are stored may take, bytes, of all partitions of a worker: some 600,000 small ones.
pub(crate) const KEPT_BYTES: usize = 48 << 20;

impl Layers {
    fn sent(&self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        match (self.written.get(key), &self.stored) {
            (Some(value), _) => Ok(value),
            (None, Some(stored)) => stored.get(key),
            (None, None) => Ok(None),
        }
    }
}

impl Rows {
    /// Reads the newest value at `key`.
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

    /// Rows that will soon be read, see [`Overlay::look_ahead`].
    pub(crate) fn look_ahead(&self, keys: &mut Keys<'_>) {
        self.0.borrow().written.look_ahead(keys);
    }

    /// The same without what is deferred: the value that the table's topic has, or is sent.
    pub(crate) fn read_sent<R>(
        &self,
        key: &[u8],
        with: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        Ok(with(self.0.borrow().sent(key)?))
    }

    /// Writes into the open interval; `None` deletes.
    pub(crate) fn write(&self, key: &[u8], value: Option<&[u8]>) {
        self.0.borrow_mut().written.put(key, value);
    }

    /// Writes over all intervals, until [`forget_deferred`](Self::forget_deferred).
    pub(crate) fn defer(&self, key: &[u8], value: Option<&[u8]>) {
        self.0.borrow_mut().deferred.put(key, value);
    }

    /// Memory that rows which were deferred take, bytes.
    pub(crate) fn deferred_size(&self) -> usize {
        self.0.borrow().deferred.size()
    }

    /// What was deferred is in an interval now, or dropped.
    pub(crate) fn forget_deferred(&self) {
        self.0.borrow_mut().deferred.clear();
    }

    /// The keys of the local copy behind `from`, in order, while `take` returns `true`.
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

    /// Memory that the open interval takes, bytes.
    pub(crate) fn open_size(&self) -> usize {
        self.0.borrow().written.open_size()
    }

    /// The open interval becomes the closing one, which is empty before.
    pub(crate) fn close_interval(&self) {
        self.0.borrow_mut().written.close_interval();
    }

    /// Gives the rows of the closing interval, from the `from`th on, until `take` returns `false`: then
    /// the next one is returned.
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

    /// Nothing of the closing interval can fail any more: it may be stored.
    pub(crate) fn settle(&self) {
        self.0.borrow_mut().written.settle();
    }

    /// How many rows are settled and not stored, and the memory that all rows take, bytes.
    pub(crate) fn unstored(&self) -> (usize, usize) {
        let written = &self.0.borrow().written;
        (written.unstored(), written.size())
    }

    /// Commits what is settled to the local copy, together with the position it stands for. What is stored
    /// is kept in memory, up to `kept` bytes. No interval is closing. Very many rows are written in parts, of
    /// which the last one has the position; between them, `part` is called.
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

    /// The same for rows of a closing interval that are read once, and then tells each that was stored.
    pub(crate) fn store_and_tell(
        &self,
        store: &mut Store,
        position: Position,
        mut tell: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), Error> {
        let layers = &mut *self.0.borrow_mut();
        layers.written.settle();
        layers.store(store, position, &mut || Ok(()))?;
        for (key, value) in layers.written.settled() {
            tell(key, value);
        }
        layers.written.stored(0);
        Ok(())
    }

    /// Forgets what is not committed, and sees the local copy as it is.
    pub(crate) fn reload(&self, store: Option<&Store>) -> Result<(), Error> {
        self.forget();
        self.0.borrow_mut().stored = store.map(Store::snapshot).transpose()?;
        Ok(())
    }

    /// Forgets what is not committed, and lets go of the local copy.
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
        // Pages that the old snapshot sees could not be reused.
        self.stored = None;
        let mut batch = store.batch()?;
        let mut rows = self.written.sorted().peekable();
        while let Some((key, value)) = rows.next() {
            match value {
                Some(value) => batch.put(key, value)?,
                None => batch.delete(key)?,
            }
            if batch.is_large() && rows.peek().is_some() {
                // All of it is in the table's topic behind where the copy stands, and is read again from there if
                // this is the end.
                batch.commit_part(position.table)?;
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
    fn what_is_deferred_is_read_and_not_sent() -> Result<(), Error> {
        let rows = Rows::default();
        rows.write(b"alice", Some(b"1"));
        rows.defer(b"alice", Some(b"2"));
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        assert_eq!(rows.read(b"alice", owned)?, Some(b"2".to_vec()));
        assert_eq!(rows.read_sent(b"alice", owned)?, Some(b"1".to_vec()));
        Ok(())
    }
}
