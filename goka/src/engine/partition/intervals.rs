//! The commit intervals of a partition: the open interval takes records, and the closing interval waits for the
//! delivery reports of its records. Must not know how intervals are committed.

use std::{mem, time::Duration};

use super::{
    origin::{By, Origin},
    visited::Visited,
};

/// How long after a commit the same positions are committed again, so that they do not expire. If a group does not
/// subscribe to a topic, brokers expire the group's offsets of that topic after `offsets.retention.minutes` (at least
/// one minute), even while the group has members.
const REFRESH: Duration = Duration::from_secs(20);

/// A commit interval: the records that are handled from one commit to the next.
#[derive(Default)]
struct Interval {
    records: u64,
    /// When the first record of the interval was handled.
    began: Duration,
    /// Timestamp of the last record of the interval, in milliseconds since 1970.
    timestamp: i64,
    /// The offset after the handled records, one per source.
    positions: Vec<i64>,
    /// Progress of the visit when the interval was closed.
    visited: Visited,
}

/// The intervals of a partition.
#[derive(Default)]
pub(crate) struct Intervals {
    open: Interval,
    closing: Option<Interval>,
    /// The half of the partition's account in the ledger that the open interval uses: 0 or 1.
    parity: usize,
    /// Whether the closing interval contains everything that was handled, and no record is handled before it is
    /// acknowledged.
    is_barred: bool,
    /// The offset after the acknowledged records, one per source. The local copy may lag behind these positions.
    acknowledged: Vec<i64>,
    /// Counts how often the acknowledged positions have changed.
    changes: u64,
    /// The number of changes that the positions which were last sent to the group contain.
    offered: u64,
    /// The number of changes that the positions which the group has taken contain.
    taken: u64,
    /// When the acknowledged positions were last sent to the group.
    offered_at: Duration,
    /// Progress of the visit, including rows that are not acknowledged yet.
    visited: Visited,
    /// Progress of the visit, acknowledged rows only.
    visited_acknowledged: Visited,
}

impl Intervals {
    /// Begins with an empty open interval at these positions, which the group committed at the time `now`.
    pub(crate) fn begin(&mut self, now: Duration, positions: Vec<i64>) {
        self.offered_at = now;
        self.acknowledged.clone_from(&positions);
        self.open = Interval {
            positions,
            ..Interval::default()
        };
        self.closing = None;
        self.is_barred = false;
        // A new number, so that the answer to an earlier commit is not taken for an answer to a later one.
        self.changes += 1;
        (self.offered, self.taken) = (self.changes, self.changes);
    }

    /// Drops the open and the closing interval, with the visit's progress in them.
    pub(crate) fn drop_uncommitted(&mut self) {
        self.visited.clone_from(&self.visited_acknowledged);
        self.closing = None;
        self.open = Interval::default();
        self.is_barred = false;
    }

    /// Adds a handled record or a visited row to the open interval.
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
            By::Source(source) => open.positions[source.index()] = origin.offset + 1,
            By::Visit(id) => self.visited.advance(id, key.unwrap_or_default()),
        }
    }

    /// Makes the open interval the closing interval, and opens a new interval.
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

    /// Makes the records of the open interval part of the closing interval. No record may be handled before the closing
    /// interval is acknowledged. Does nothing if no interval is closing.
    pub(crate) fn bar(&mut self) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        self.is_barred = true;
        if self.open.records > 0 {
            closing.records += self.open.records;
            closing.timestamp = self.open.timestamp;
            closing.positions.clone_from(&self.open.positions);
            closing.visited.clone_from(&self.visited);
            self.open.records = 0;
        }
    }

    /// Whether no record may be handled before the closing interval is acknowledged.
    pub(crate) fn is_barred(&self) -> bool {
        self.is_barred
    }

    /// Marks the closing interval as acknowledged. Returns `false` if no interval is closing.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let Some(closing) = self.closing.take() else {
            return false;
        };
        self.acknowledged = closing.positions;
        self.visited_acknowledged = closing.visited;
        self.is_barred = false;
        self.changes += 1;
        true
    }

    /// Number of records in the open interval.
    pub(crate) fn open_records(&self) -> u64 {
        self.open.records
    }

    /// When the first record of the open interval was handled.
    pub(crate) fn open_since(&self) -> Duration {
        self.open.began
    }

    /// The offset after the handled records, one per source.
    pub(crate) fn handled(&self) -> &[i64] {
        &self.open.positions
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the open interval has no record and no interval is closing.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.records == 0 && self.closing.is_none()
    }

    /// The positions after the records of the closing interval. `None`: no interval is closing.
    pub(crate) fn closing_positions(&self) -> Option<&[i64]> {
        self.closing.as_ref().map(|closing| &*closing.positions)
    }

    /// Timestamp of the last record of the closing interval. `None`: no interval is closing.
    pub(crate) fn closing_timestamp(&self) -> Option<i64> {
        self.closing.as_ref().map(|closing| closing.timestamp)
    }

    /// The half of the partition's account that counts records of the open interval.
    pub(crate) fn open_half(&self) -> usize {
        self.parity
    }

    /// The half of the partition's account that counts records of the closing interval.
    pub(crate) fn closing_half(&self) -> usize {
        self.parity ^ 1
    }

    /// The offset after the acknowledged records, one per source.
    pub(crate) fn acknowledged(&self) -> &[i64] {
        &self.acknowledged
    }

    /// Whether the acknowledged positions are still to be committed to the group.
    pub(crate) fn is_uncommitted(&self) -> bool {
        self.offered != self.changes
    }

    /// Whether the group has taken the acknowledged positions.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken == self.changes
    }

    /// Notes that the acknowledged positions were sent to the group at `now`. Returns the number of changes that they
    /// contain, for [`taken`](Self::taken) and [`not_taken`](Self::not_taken).
    pub(crate) fn offered(&mut self, now: Duration) -> u64 {
        (self.offered, self.offered_at) = (self.changes, now);
        self.changes
    }

    /// Notes that the group has taken the positions with this number of changes.
    pub(crate) fn taken(&mut self, changes: u64) {
        self.taken = self.taken.max(changes);
    }

    /// Notes that the group has not taken the positions with this number of changes. If no later ones were sent since,
    /// the acknowledged positions are still to be committed.
    pub(crate) fn not_taken(&mut self, changes: u64) {
        if self.offered == changes && self.taken < changes {
            self.offered = self.taken;
        }
    }

    /// Whether the acknowledged positions are to be committed again, so that they do not expire.
    pub(crate) fn is_stale(&self, now: Duration) -> bool {
        !self.is_uncommitted() && now.saturating_sub(self.offered_at) >= REFRESH
    }

    /// Progress of the visit, including rows that are not acknowledged yet.
    pub(crate) fn visited(&self) -> &Visited {
        &self.visited
    }

    /// Progress of the visit, acknowledged rows only.
    pub(crate) fn visited_acknowledged(&self) -> &Visited {
        &self.visited_acknowledged
    }

    /// Begins a visit, unless it has already begun. The beginning of the visit counts as acknowledged once neither
    /// interval has records and the local copy has all acknowledged rows and positions (`is_stored`).
    pub(crate) fn begin_visit(&mut self, visit: u64, is_stored: bool) {
        if !self.visited.is_of(visit) {
            self.visited = Visited::begin(visit);
        }
        if is_stored && self.is_empty() {
            self.visited_acknowledged.clone_from(&self.visited);
        }
    }

    /// Whether the closing interval contains rows of this visit, which are then not acknowledged yet.
    pub(crate) fn is_visit_closing(&self, visit: u64) -> bool {
        let closing = self.closing.as_ref();
        closing.is_some_and(|closing| {
            closing.visited.is_of(visit) && closing.visited != self.visited_acknowledged
        })
    }
}
