//! Deferred records (`ctx.defer()`) and the later records of their partition: handled, with effects that are held
//! back.
//!
//! None of their effects is in Kafka or in the local copy. If the worker ends, all of these records run again. Must not
//! know how effects are applied.

use std::{collections::VecDeque, time::Duration};

use super::origin::Cause;
use crate::engine::{
    effects::{Effects, Row},
    program::OwnedRecord,
    table::rows::Rows,
};

/// A partition holds back at most this many records. If there are more, its inputs wait.
const RECORDS_MAX: usize = 4096;
/// A partition holds back records of at most this much memory, bytes.
const BYTES_MAX: usize = 8 << 20;
/// A record that is held back for this long is logged, and again each time this long has passed.
const LONG: Duration = Duration::from_secs(30);

/// The records that a partition holds back, in order.
#[derive(Default)]
pub(crate) struct Deferrals {
    records: VecDeque<Held>,
    bytes: usize,
    /// When the oldest record was logged last.
    logged_at: Option<Duration>,
}

/// A handled record whose effects are held back.
pub(crate) struct Held {
    pub(crate) cause: Cause,
    /// The record, if a policy may need it after a failure.
    pub(crate) record: Option<OwnedRecord>,
    pub(crate) effects: Effects,
    pub(crate) since: Duration,
}

/// The oldest deferred record.
pub(crate) enum Front<'a> {
    /// There is none.
    None,
    /// One of its guards is not done.
    Waits(&'a Held),
    /// All of its guards are done.
    Done,
    /// One of its guards reported a failure.
    Failed(String),
}

impl Deferrals {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }

    /// Drops all records, and their rows.
    pub(crate) fn clear(&mut self, rows: &Rows) {
        *self = Self::default();
        rows.forget_deferred();
    }

    /// Holds a record back. Handlers read the row that it wrote.
    pub(crate) fn push(&mut self, held: Held, rows: &Rows) {
        held.defer_row(rows);
        self.bytes += held.size();
        self.records.push_back(held);
    }

    pub(crate) fn front(&self) -> Front<'_> {
        match self.records.front() {
            None => Front::None,
            Some(held) => match held.outcome() {
                None => Front::Waits(held),
                Some(Ok(())) => Front::Done,
                Some(Err(reason)) => Front::Failed(reason),
            },
        }
    }

    /// Whether the oldest record is to be logged now.
    pub(crate) fn is_long_due(&mut self, now: Duration) -> bool {
        let Some(front) = self.records.front() else {
            return false;
        };
        let logged_at = self.logged_at.unwrap_or(front.since);
        let is_due = now.saturating_sub(logged_at) > LONG;
        if is_due {
            self.logged_at = Some(now);
        }
        is_due
    }

    /// Takes the oldest record. Handlers read its row until [`forget_released`](Self::forget_released).
    pub(crate) fn pop(&mut self) -> Option<Held> {
        let held = self.records.pop_front()?;
        self.bytes -= held.size();
        self.logged_at = None;
        Some(held)
    }

    /// Forgets the rows of records that are not held back any more: once no record is, and at the latest when all rows
    /// take more memory than held-back records may.
    pub(crate) fn forget_released(&self, rows: &Rows) {
        if !self.is_empty() && rows.deferred_size() < 2 * BYTES_MAX {
            return;
        }
        rows.forget_deferred();
        for held in &self.records {
            held.defer_row(rows);
        }
    }
}

impl Held {
    fn size(&self) -> usize {
        let record = self.record.as_ref().map_or(0, OwnedRecord::size);
        let key = self.cause.key.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.effects.size() + key + record
    }

    fn defer_row(&self, rows: &Rows) {
        let Some(key) = &self.cause.key else { return };
        match self.effects.row() {
            Row::Untouched => {}
            Row::Put(range) => rows.defer(key, Some(self.effects.bytes(range))),
            Row::Delete => rows.defer(key, None),
        }
    }

    /// The outcome of its guards. `None` while one is not done.
    fn outcome(&self) -> Option<Result<(), String>> {
        let mut guards = self.effects.deferred().iter();
        guards.try_fold(Ok(()), |all: Result<(), String>, guard| {
            Some(all.and(guard.outcome()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{error::Error, index::SourceIx},
        engine::partition::origin::{By, Origin},
    };

    /// At every moment one record is held back, so that the rows are never all forgotten together.
    #[test]
    fn rows_of_released_records_are_forgotten() {
        const VALUE: &[u8] = &[7; 64 << 10];
        let (mut deferrals, rows) = (Deferrals::default(), Rows::default());
        for offset in 0..2000_i64 {
            let mut effects = Effects::default();
            let value = effects.encode(|out| {
                out.extend_from_slice(VALUE);
                Ok::<(), Error>(())
            });
            effects.set_row(Row::Put(value.unwrap()));
            let key = offset.to_be_bytes().to_vec();
            let origin = Origin {
                partition: 0,
                by: By::Source(SourceIx::new(0)),
                offset,
                timestamp: 0,
                attempts: 0,
            };
            let held = Held {
                cause: Cause {
                    origin,
                    key: Some(key),
                },
                record: None,
                effects,
                since: Duration::ZERO,
            };
            deferrals.push(held, &rows);
            if offset > 0 {
                deferrals.pop();
                deferrals.forget_released(&rows);
            }
            assert!(rows.deferred_size() < 2 * BYTES_MAX + 2 * VALUE.len());
        }
        let last = 1999_i64.to_be_bytes();
        let is_there = |key: &[u8]| rows.read(key, |row| row == Some(VALUE)).unwrap();
        assert!(is_there(&last), "a deferred row is still read");
        assert!(!is_there(&0_i64.to_be_bytes()));
    }
}
