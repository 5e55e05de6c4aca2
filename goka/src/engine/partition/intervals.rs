//! The commit intervals of a partition: the open one takes records, the closing one waits for its delivery reports.
//! Must not know how they are committed.

use std::{mem, time::Duration};

use super::{
    origin::{By, Origin},
    visited::Visited,
};

/// A commit interval: records from one commit to the next.
#[derive(Default)]
struct Interval {
    records: u64,
    /// When its first record was handled.
    began: Duration,
    /// Timestamp of its last record, milliseconds since 1970.
    timestamp: i64,
    /// Next offset of each source, behind what was handled.
    positions: Vec<i64>,
    /// Progress of the visit of the partition's rows when it was closed.
    visited: Visited,
}

/// The intervals of a partition.
#[derive(Default)]
pub(crate) struct Intervals {
    open: Interval,
    closing: Option<Interval>,
    /// Which half of the ledger the open interval uses.
    parity: usize,
    /// Positions before which every record's effects are acknowledged. The local copy may be behind.
    acknowledged: Vec<i64>,
    /// Whether the group lacks them.
    is_uncommitted: bool,
    /// Progress of the visit, with what is not acknowledged.
    visited: Visited,
    visited_acknowledged: Visited,
}

impl Intervals {
    /// Begins to take records at these positions, which the group has.
    pub(crate) fn begin(&mut self, positions: Vec<i64>) {
        self.acknowledged.clone_from(&positions);
        self.open = Interval {
            positions,
            ..Interval::default()
        };
        self.closing = None;
        self.is_uncommitted = false;
    }

    /// Drops both intervals.
    pub(crate) fn drop_uncommitted(&mut self) {
        self.visited.clone_from(&self.visited_acknowledged);
        self.closing = None;
        self.open = Interval::default();
        self.is_uncommitted = false;
    }

    /// Takes a record that was handled, or a row that was visited.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        origin: Origin,
        timestamp: i64,
        key: Option<&[u8]>,
    ) {
        let open = &mut self.open;
        if open.records == 0 {
            open.began = now;
        }
        open.records += 1;
        open.timestamp = timestamp;
        match origin.by {
            By::Source(source) => open.positions[source] = origin.offset + 1,
            By::Visit(id) => self.visited.advance(id, key.unwrap_or_default()),
        }
    }

    /// The open interval becomes the closing one, and a new one is opened.
    pub(crate) fn close(&mut self) {
        let positions = self.open.positions.clone();
        let next = Interval {
            positions,
            ..Interval::default()
        };
        self.open.visited.clone_from(&self.visited);
        self.closing = Some(mem::replace(&mut self.open, next));
        self.parity ^= 1;
    }

    /// Every effect of the closing interval is acknowledged. `false`: none is closing.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let Some(closing) = self.closing.take() else {
            return false;
        };
        self.acknowledged = closing.positions;
        self.visited_acknowledged = closing.visited;
        self.is_uncommitted = true;
        true
    }

    /// Records in the open interval.
    pub(crate) fn open_records(&self) -> u64 {
        self.open.records
    }

    /// Since when the open interval has records.
    pub(crate) fn open_since(&self) -> Duration {
        self.open.began
    }

    /// Next offset of each source, behind what was handled.
    pub(crate) fn handled(&self) -> &[i64] {
        &self.open.positions
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether there is neither a record in the open interval nor a closing one.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.records == 0 && self.closing.is_none()
    }

    /// The positions behind the closing interval.
    pub(crate) fn closing_positions(&self) -> Option<&[i64]> {
        self.closing.as_ref().map(|closing| &*closing.positions)
    }

    /// Timestamp of the last record of the closing interval.
    pub(crate) fn closing_timestamp(&self) -> Option<i64> {
        self.closing.as_ref().map(|closing| closing.timestamp)
    }

    /// The half of the ledger that the open interval uses.
    pub(crate) fn open_half(&self) -> usize {
        self.parity
    }

    /// The half of the ledger that the closing interval uses.
    pub(crate) fn closing_half(&self) -> usize {
        self.parity ^ 1
    }

    /// Positions before which everything is acknowledged.
    pub(crate) fn acknowledged(&self) -> &[i64] {
        &self.acknowledged
    }

    /// Whether the group lacks the acknowledged positions.
    pub(crate) fn is_uncommitted(&self) -> bool {
        self.is_uncommitted
    }

    /// Whether the group has, or is being told, the acknowledged positions.
    pub(crate) fn set_uncommitted(&mut self, is_uncommitted: bool) {
        self.is_uncommitted = is_uncommitted;
    }

    /// Progress of the visit, with what is not acknowledged.
    pub(crate) fn visited(&self) -> &Visited {
        &self.visited
    }

    /// Progress of the visit as far as it is acknowledged.
    pub(crate) fn visited_acknowledged(&self) -> &Visited {
        &self.visited_acknowledged
    }

    /// Begins a visit, unless it has begun; where nothing is uncommitted, its beginning is acknowledged.
    pub(crate) fn begin_visit(&mut self, visit: u64, is_stored: bool) {
        if !self.visited.is_of(visit) {
            self.visited = Visited::begin(visit);
        }
        if is_stored && self.is_empty() {
            self.visited_acknowledged.clone_from(&self.visited);
        }
    }

    /// Whether the closing interval holds rows of this visit that are not acknowledged.
    pub(crate) fn is_visit_closing(&self, visit: u64) -> bool {
        let closing = self.closing.as_ref();
        closing.is_some_and(|closing| {
            closing.visited.is_of(visit) && closing.visited != self.visited_acknowledged
        })
    }
}
