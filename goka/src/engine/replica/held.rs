//! Rows of one partition that a replica has read, and holds in memory until the group has committed them.
//!
//! Under at-least-once, the rows behind the group's last commit may be undone. A copy without these rows is one that a
//! worker can continue, and that shows only committed rows. Must not know the store.
//!
//! A partition has a *limit*: rows before the limit may be stored. The limit is the changelog offset of the group's
//! cut. If the group has committed no cut, or committed the cut in a transaction, then every row that could be read
//! when the group was asked may be stored: such a row either has no commit to wait for, or is part of a transaction
//! that is committed.

use std::collections::VecDeque;

use crate::{
    base::record::{OwnedRecord, Record},
    engine::cut::Found,
};

/// How much memory the held rows of a partition may take, in bytes. Beyond this, the replica stops reading the
/// partition.
const HELD_MAX: usize = 64 << 20;

/// The rows that are held back.
#[derive(Default)]
pub(super) struct Held {
    rows: VecDeque<Row>,
    bytes: usize,
    /// Rows before this offset may be stored.
    limit: i64,
    /// The replica has read everything before this offset.
    reached: i64,
    /// Whether the replica has been at the end of the partition.
    has_ended: bool,
    /// The end of the partition when the group was asked. `None` if no question is open.
    asked_at: Option<i64>,
    /// Whether the group has answered since the replica began to read.
    is_answered: bool,
    /// Whether the replica does not read the partition, because too many rows are held back.
    is_paused: bool,
}

/// A row that is held back.
struct Row {
    record: OwnedRecord,
    /// When the row was read, milliseconds since 1970.
    read_ms: i64,
}

impl Held {
    /// Starts to read at `from`.
    pub(super) fn begin(&mut self, from: i64) {
        *self = Held {
            reached: from,
            ..Held::default()
        };
    }

    /// Takes a row that was read. Returns `false` if the row may be stored: the caller keeps it.
    pub(super) fn take(&mut self, record: &Record<'_>, at_ms: i64) -> bool {
        self.reached = record.offset + 1;
        if self.rows.is_empty() && record.offset < self.limit {
            return false;
        }
        let record = OwnedRecord::of(record);
        self.bytes += record.size();
        self.rows.push_back(Row {
            record,
            read_ms: at_ms,
        });
        true
    }

    /// Notes that the partition was read to its end, which is at `next`.
    pub(super) fn end(&mut self, next: i64) {
        self.reached = self.reached.max(next);
        self.has_ended = true;
    }

    /// Notes that the group is asked now. Every row before `end` can be read by now.
    pub(super) fn asked(&mut self, end: i64) {
        self.asked_at = Some(end.max(self.reached));
    }

    /// Notes what the group has answered. Returns whether this is an answer to a question of this partition.
    pub(super) fn answered(&mut self, found: Found) -> bool {
        let Some(end) = self.asked_at.take() else {
            return false;
        };
        let limit = match found {
            Found::Cut(cut) if cut.is_undone() => cut.changelog,
            Found::Cut(_) | Found::Nothing | Found::NotOurs(_) => end,
        };
        // An answer may be older than one that came before it.
        self.limit = self.limit.max(limit);
        self.is_answered = true;
        true
    }

    /// The next row that may be stored, which is no longer held back. `None` if there is none.
    pub(super) fn release(&mut self) -> Option<OwnedRecord> {
        let is_free = |row: &mut Row| row.record.offset < self.limit;
        let Row { record, .. } = self.rows.pop_front_if(is_free)?;
        self.bytes -= record.size();
        Some(record)
    }

    /// The offset before which every row was released.
    pub(super) fn released_to(&self) -> i64 {
        self.reached.min(self.limit)
    }

    /// Whether every row that was committed when the group answered was released.
    pub(super) fn is_complete(&self) -> bool {
        self.is_answered && (self.has_ended || self.reached >= self.limit)
    }

    /// When the oldest row was read that is held back, milliseconds since 1970. `None` if no row is held back.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.rows.front().map(|row| row.read_ms)
    }

    /// Whether the replica is to stop reading the partition now.
    pub(super) fn pause(&mut self) -> bool {
        let is_full = self.bytes > HELD_MAX && !self.is_paused;
        self.is_paused |= is_full;
        is_full
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// The offset from which the replica is to read on now, after it had stopped. `None` if the replica goes on as it
    /// does.
    pub(super) fn resume(&mut self) -> Option<i64> {
        let is_due = self.is_paused && self.bytes <= HELD_MAX / 2;
        self.is_paused &= !is_due;
        is_due.then_some(self.reached)
    }
}
