//! What a handler did with one record, held back until it returns `Ok`.
//!
//! An error, a panic or a cancellation drops it whole, so that a record is handled entirely or not
//! at all. The buffers are reused: a worker allocates nothing per record.

use std::ops::Range;

use crate::base::{
    defer::{Deferred, Pending},
    record::{Meta, OwnedHeaders, wire_size},
};

/// The effects of one record, as encoded bytes.
#[derive(Default)]
pub(crate) struct Effects {
    bytes: Vec<u8>,
    row: Row,
    emits: Vec<Emit>,
    deferred: Vec<Pending>,
    header_bytes: usize,
}

/// What becomes of the row at the record's key.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    #[default]
    Untouched,
    Put(Range<usize>),
    Delete,
}

/// A record to be produced.
pub(crate) struct Emit {
    /// Index of its edge in the graph.
    pub(crate) edge: usize,
    /// `None` is a null key.
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    pub(crate) partition: Option<i32>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: OwnedHeaders,
}

impl Effects {
    /// Forgets what was done; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.row = Row::Untouched;
        self.emits.clear();
        self.deferred.clear();
        self.header_bytes = 0;
    }

    /// Memory that it takes, bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes_written() + self.emits.len() * size_of::<Emit>() + size_of::<Self>()
    }

    /// From now on it waits for the guard.
    pub(crate) fn defer(&mut self) -> Deferred {
        let (guard, pending) = Deferred::new();
        self.deferred.push(pending);
        guard
    }

    /// The guards that it waits for.
    pub(crate) fn deferred(&self) -> &[Pending] {
        &self.deferred
    }

    /// Where what `write` appends to the buffer stands. If it fails, nothing was appended.
    pub(crate) fn encode<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Ok(()) => Ok(start..self.bytes.len()),
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    pub(crate) fn set_row(&mut self, row: Row) {
        self.row = row;
    }

    pub(crate) fn emit(
        &mut self,
        edge: usize,
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        meta: Meta,
    ) {
        let Meta {
            headers,
            partition,
            timestamp,
        } = meta;
        if !headers.is_empty() {
            self.header_bytes += wire_size(None, None, &headers);
        }
        self.emits.push(Emit {
            edge,
            key,
            value,
            partition,
            timestamp,
            headers,
        });
    }

    /// Bytes of all that is written, but for the key of the row.
    pub(crate) fn bytes_written(&self) -> usize {
        self.bytes.len() + self.header_bytes
    }

    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    pub(crate) fn emits(&self) -> &[Emit] {
        &self.emits
    }

    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }
}
