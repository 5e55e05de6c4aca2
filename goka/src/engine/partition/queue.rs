//! The waiting work of a partition: an async handler that waits, a record to retry, the backlog of later records, and
//! deferred records. Must not know when the work continues.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use super::{deferrals::Deferrals, origin::Origin};
use crate::{
    base::{index::SourceIx, record::OwnedRecord},
    engine::{program::Waiting, table::rows::Rows},
};

/// Once a partition's backlog has this many records, the partition's inputs are unassigned.
const BACKLOG_RECORDS: usize = 512;
/// Once a partition's backlog takes this much memory, in bytes, the partition's inputs are unassigned.
const BACKLOG_BYTES: usize = 4 << 20;

/// An async handler or visitor that has begun and is not done, with the record that it handles.
pub(crate) struct Waiter {
    pub(crate) future: Waiting,
    pub(crate) origin: Origin,
    pub(crate) record: Rc<OwnedRecord>,
}

/// A record that failed and is to be retried. Meanwhile, the later records of its partition wait.
pub(crate) struct Trouble {
    pub(crate) origin: Origin,
    pub(crate) record: OwnedRecord,
    /// When the record is retried.
    pub(crate) at: Duration,
}

/// The waiting work of a partition.
#[derive(Default)]
pub(crate) struct Queue {
    waiter: Option<Waiter>,
    trouble: Option<Trouble>,
    backlog: VecDeque<(SourceIx, OwnedRecord)>,
    backlog_bytes: usize,
    deferrals: Deferrals,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        !self.must_wait() && self.deferrals.is_empty()
    }

    /// Whether any record has begun but is not done, because its handler waits, or because the record is to be retried
    /// or is deferred.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn holds_back(&self) -> bool {
        self.waiter.is_some() || self.trouble.is_some() || !self.deferrals.is_empty()
    }

    /// Whether a fetched record has to wait in the backlog.
    pub(crate) fn must_wait(&self) -> bool {
        self.is_stuck() || !self.backlog.is_empty()
    }

    /// Whether no further record may begin, because a handler waits, a record is to be retried, or too many records
    /// are deferred.
    pub(crate) fn is_stuck(&self) -> bool {
        self.waiter.is_some() || self.trouble.is_some() || self.deferrals.is_full()
    }

    pub(crate) fn waiter(&mut self) -> Option<&mut Waiter> {
        self.waiter.as_mut()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiter.is_some()
    }

    pub(crate) fn wait(&mut self, waiter: Waiter) {
        self.waiter = Some(waiter);
    }

    pub(crate) fn take_waiter(&mut self) -> Option<Waiter> {
        self.waiter.take()
    }

    pub(crate) fn has_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    pub(crate) fn retry(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
    }

    /// Takes the record to retry, if the time to retry it has come.
    pub(crate) fn take_trouble(&mut self, now: Duration) -> Option<Trouble> {
        self.trouble.take_if(|trouble| trouble.at <= now)
    }

    /// Adds a record to the backlog.
    pub(crate) fn keep(&mut self, source: SourceIx, record: OwnedRecord) {
        self.backlog_bytes += record.size();
        self.backlog.push_back((source, record));
    }

    /// Takes the next record of the backlog.
    pub(crate) fn next_kept(&mut self) -> Option<(SourceIx, OwnedRecord)> {
        let (source, record) = self.backlog.pop_front()?;
        self.backlog_bytes -= record.size();
        Some((source, record))
    }

    pub(crate) fn is_backlog_full(&self) -> bool {
        self.backlog.len() >= BACKLOG_RECORDS || self.backlog_bytes >= BACKLOG_BYTES
    }

    pub(crate) fn deferrals(&self) -> &Deferrals {
        &self.deferrals
    }

    pub(crate) fn deferrals_mut(&mut self) -> &mut Deferrals {
        &mut self.deferrals
    }

    /// Drops the work that has begun but is not done. Keeps the backlog, whose records have not begun.
    pub(crate) fn drop_begun(&mut self, rows: &Rows) {
        (self.waiter, self.trouble) = (None, None);
        self.deferrals.clear(rows);
    }

    /// Drops all waiting work, the backlog included.
    pub(crate) fn clear(&mut self, rows: &Rows) {
        self.drop_begun(rows);
        self.backlog.clear();
        self.backlog_bytes = 0;
    }
}
