//! Local copies of table partitions, and the only folder that names heed.
//!
//! One LMDB environment per partition. Rows and the positions they stand for are committed in one
//! transaction, so that a copy is never ahead of what it says. Knows keys and values as bytes.

use std::{path::Path, time::Duration};

use crate::Error;

/// What a copy is a copy of. A copy of something else is discarded, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    /// Physical name of the table's topic.
    pub(crate) topic: String,
    /// The broker's id of the topic, another one after a recreation; empty where it is not known.
    pub(crate) topic_id: String,
    pub(crate) partition: i32,
    pub(crate) partitions: i32,
    /// Names of the codecs of key and value.
    pub(crate) codec: String,
}

/// Where a copy stands. Offsets are the next ones to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// In the table's topic.
    pub(crate) table: i64,
    /// In the inputs, by logical name of the topic. Empty for a view.
    pub(crate) inputs: Vec<(String, i64)>,
    /// Wall clock of the commit, milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// Sizes and durability of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Address space, bytes: how large the copy may become.
    pub(crate) map_size: usize,
    /// How long to wait for another holder in this process to close the same environment.
    pub(crate) wait: Duration,
}

/// An open copy.
pub(crate) struct Store;

/// A moment of the copy: one read transaction.
pub(crate) struct Snapshot;

/// Rows and a position that will be committed together; dropped, nothing happened.
pub(crate) struct Batch<'s>(std::marker::PhantomData<&'s mut Store>);

impl Store {
    /// Opens the copy in `path`, which is created. Gives the reason if what was there could not be
    /// trusted and was discarded: the copy is then empty, at position 0 with no inputs.
    pub(crate) fn open(
        _path: &Path,
        _identity: &Identity,
        _options: &Options,
    ) -> Result<(Store, Option<String>), Error> {
        unimplemented!()
    }
    /// As of the last commit.
    pub(crate) fn position(&self) -> &Position {
        unimplemented!()
    }
    /// Must be dropped soon: pages that it can see are not reused.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        unimplemented!()
    }
    /// The one write transaction.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, Error> {
        unimplemented!()
    }
    /// Syncs to disk, marks the copy as cleanly closed, and closes it. (Dropped without: a crash,
    /// as far as the copy is concerned.)
    pub(crate) fn close(self) -> Result<(), Error> {
        unimplemented!()
    }
}

impl Snapshot {
    /// The value at `key`.
    pub(crate) fn get(&self, _key: &[u8]) -> Result<Option<&[u8]>, Error> {
        unimplemented!()
    }
    /// How many rows there are.
    pub(crate) fn len(&self) -> Result<u64, Error> {
        unimplemented!()
    }
    /// Rows whose key is at or after `from` (after it, if `exclusive`), in order of key bytes
    /// until `row` returns `false`.
    pub(crate) fn scan(
        &self,
        _from: &[u8],
        _exclusive: bool,
        _row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        unimplemented!()
    }
}

impl Batch<'_> {
    /// Fastest in ascending order of keys.
    pub(crate) fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<(), Error> {
        unimplemented!()
    }
    pub(crate) fn delete(&mut self, _key: &[u8]) -> Result<(), Error> {
        unimplemented!()
    }
    /// As the batch sees it.
    pub(crate) fn get(&self, _key: &[u8]) -> Result<Option<&[u8]>, Error> {
        unimplemented!()
    }
    /// Deletes every row.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        unimplemented!()
    }
    /// Rows and position, at once. A full disk or map is an error that says so, and changes nothing.
    pub(crate) fn commit(self, _position: Position) -> Result<(), Error> {
        unimplemented!()
    }
}
