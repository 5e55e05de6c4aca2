//! The effects of a handler on one record: a row, output records and deferrals. They are held back until the handler
//! returns `Ok`.
//!
//! If the handler fails, panics or is cancelled, all of its effects are dropped, so that a record is handled entirely
//! or not at all. The buffers are reused: a worker allocates nothing per record. Must not know how effects are applied.

use std::ops::Range;

use crate::base::{
    defer::{Deferred, Pending},
    index::EdgeIx,
    record::{Meta, OwnedHeaders, wire_size},
};

/// The effects of a handler on one record, as encoded bytes.
#[derive(Default)]
pub(crate) struct Effects {
    bytes: Vec<u8>,
    row: Row,
    emits: Vec<Emit>,
    deferred: Vec<Pending>,
    header_bytes: usize,
}

/// The effect on the row at the record's key.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    #[default]
    Untouched,
    Put(Range<usize>),
    Delete,
}

/// A record to produce.
pub(crate) struct Emit {
    pub(crate) edge: EdgeIx,
    /// `None` is a null key.
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    pub(crate) partition: Option<i32>,
    /// Milliseconds since 1970. `None`: the timestamp of the handled record.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: OwnedHeaders,
}

impl Effects {
    /// Forgets all effects. Keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.row = Row::Untouched;
        self.emits.clear();
        self.deferred.clear();
        self.header_bytes = 0;
    }

    /// The memory that the effects take, bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes_written() + self.emits.len() * size_of::<Emit>() + size_of::<Self>()
    }

    /// Defers the record until the returned guard is done.
    pub(crate) fn defer(&mut self) -> Deferred {
        let (guard, pending) = Deferred::new();
        self.deferred.push(pending);
        guard
    }

    /// The guards for which the record is deferred.
    pub(crate) fn deferred(&self) -> &[Pending] {
        &self.deferred
    }

    /// Lets `write` append bytes to the buffer, and returns their range.
    ///
    /// # Errors
    /// `write` returned an error. In this case, nothing is appended.
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
        edge: EdgeIx,
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

    /// The number of bytes that the handler wrote, without the key of the row.
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
