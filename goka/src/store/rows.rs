//! Reads and writes rows by key: turns keys into stored keys. Must not know positions or files, nor who has the copy
//! open.

use heed::{Database, Result, RoTxn, RwTxn, types::Bytes};

use super::{bucket, key};

/// An LMDB table with keys and values as bytes.
pub(super) type Table<'t> = Database<'t, Bytes, Bytes>;

/// The rows of a copy.
#[derive(Clone, Copy)]
pub(super) struct Rows(pub(super) Table<'static>);

impl Rows {
    pub(super) fn get<'t>(&self, txn: &'t RoTxn<'_>, key: &[u8]) -> Result<Option<&'t [u8]>> {
        let mut buffer = key::EMPTY;
        let stored = self.0.get(txn, key::stored(key, &mut buffer))?;
        match stored {
            Some(bucket) if key::is_long(key) => bucket::find(bucket, key),
            stored => Ok(stored),
        }
    }

    pub(super) fn put(&self, txn: &mut RwTxn<'_>, key: &[u8], value: &[u8]) -> Result<()> {
        let mut buffer = key::EMPTY;
        let stored = key::stored(key, &mut buffer);
        if !key::is_long(key) {
            return self.0.put(txn, stored, value);
        }
        let bucket = self.0.get(txn, stored)?.unwrap_or_default();
        let bucket = bucket::rewritten(bucket, key, Some(value))?;
        self.0.put(txn, stored, &bucket)
    }

    pub(super) fn delete(&self, txn: &mut RwTxn<'_>, key: &[u8]) -> Result<()> {
        let mut buffer = key::EMPTY;
        let stored = key::stored(key, &mut buffer);
        if key::is_long(key) {
            let bucket = self.0.get(txn, stored)?.unwrap_or_default();
            let bucket = bucket::rewritten(bucket, key, None)?;
            if !bucket.is_empty() {
                return self.0.put(txn, stored, &bucket);
            }
        }
        self.0.delete(txn, stored).map(drop)
    }

    pub(super) fn len(&self, txn: &RoTxn<'_>) -> Result<u64> {
        self.0.len(txn)
    }

    pub(super) fn clear(&self, txn: &mut RwTxn<'_>) -> Result<()> {
        self.0.clear(txn)
    }
}
