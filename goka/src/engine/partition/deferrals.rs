//! Deferred records (`ctx.defer()`) and the later records of their partition. All of them are handled, but their
//! effects are held back.
//!
//! None of these effects is in Kafka or in the local copy. If the worker ends, all of these records are handled again.
//! Must not know how effects are applied.

use std::{collections::VecDeque, time::Duration};

use super::origin::Cause;
use crate::base::record::OwnedRecord;
use crate::engine::{
    effects::{Effects, Row},
    table::rows::Rows,
};

/// Once a partition holds back this many records, its inputs wait.
const RECORDS_MAX: usize = 4096;
/// Once the records that a partition holds back take this much memory, in bytes, its inputs wait.
const BYTES_MAX: usize = 8 << 20;
/// How long a record is held back before it is logged, and how long until it is logged again.
const LONG: Duration = Duration::from_secs(30);

/// The records that a partition holds back, in order.
#[derive(Default)]
pub(crate) struct Deferrals {
    records: VecDeque<Held>,
    bytes: usize,
    /// When the oldest record was last logged. `None`: it was not logged yet.
    logged_at: Option<Duration>,
}

/// A handled record whose effects are held back.
pub(crate) struct Held {
    pub(crate) cause: Cause,
    /// The record itself, kept only if a failure policy may need it.
    pub(crate) record: Option<OwnedRecord>,
    pub(crate) effects: Effects,
    pub(crate) since: Duration,
}

/// The state of the oldest record that is held back.
pub(crate) enum Front<'a> {
    /// No record is held back.
    None,
    /// At least one of the record's guards is not done.
    Waits(&'a Held),
    /// All of the record's guards are done, without a failure.
    Done,
    /// All of the record's guards are done, and at least one of them reported a failure, with this reason.
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

    /// Drops all records that are held back, and forgets their rows.
    pub(crate) fn clear(&mut self, rows: &Rows) {
        *self = Self::default();
        rows.forget_deferred();
    }

    /// Holds back a record. From now on, handlers read the row that this record wrote.
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

    /// Whether the oldest record is to be logged now, because it has been held back for long. If so, notes that it is
    /// logged at `now`.
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

    /// Takes the oldest record. Handlers still read its row until [`forget_released`](Self::forget_released) is
    /// called.
    pub(crate) fn pop(&mut self) -> Option<Held> {
        let held = self.records.pop_front()?;
        self.bytes -= held.size();
        self.logged_at = None;
        Some(held)
    }

    /// Forgets the rows of records that are not held back any more. Does so only when no record is held back any more,
    /// or when all deferred rows together take twice as much memory as records that are held back may take.
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

    /// The combined outcome of the record's guards. `None` while any of them is not done.
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

    /// At least one record is held back at every moment, so that the case in which all rows are forgotten at once
    /// never occurs.
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
