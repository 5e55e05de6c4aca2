//! One partition of a group, at one worker. Its methods keep the invariants that involve several of its parts. Must
//! not know when these methods are called.

use std::{rc::Rc, time::Duration};

use super::{
    copy::Copy,
    deferrals::{Deferrals, Held},
    failures::Failures,
    feed::Feed,
    intervals::Intervals,
    origin::Origin,
    queue::Queue,
};
use crate::{base::index::SourceIx, engine::table::rows::Rows};

/// One partition of a group, at one worker. The partition either runs or recovers.
#[derive(Default)]
pub(crate) struct Partition {
    is_running: bool,
    intervals: Intervals,
    queue: Queue,
    copy: Copy,
    feed: Feed,
    failures: Failures,
    /// How many times fetched work was dropped. When this number changes, a visit of the partition's rows has to go
    /// back.
    drops: u64,
}

impl Partition {
    /// Whether the partition handles records.
    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Starts to run the partition from these positions, which the group committed at the time `now`.
    pub(crate) fn run_from(&mut self, now: Duration, positions: Vec<i64>) {
        self.feed.begin(&positions);
        self.feed.clear_out_of_range();
        self.intervals.begin(now, positions);
        self.copy.drop_behind();
        self.is_running = true;
    }

    /// Registers a fetched record. `false`: the caller has to ignore the record, because the partition does not run,
    /// its inputs are unassigned, or it has already passed the record's offset.
    pub(crate) fn fetched(&mut self, source: SourceIx, offset: i64) -> bool {
        self.is_running && self.feed.take(source, offset)
    }

    /// Adds a handled record or a visited row to the open interval. The caller has already written the resulting row.
    pub(crate) fn handled(
        &mut self,
        now: Duration,
        origin: Origin,
        timestamp: i64,
        key: Option<&[u8]>,
    ) {
        self.intervals.take(now, origin, timestamp, key);
    }

    /// Makes the open interval the closing interval, and opens a new interval.
    pub(crate) fn close_interval(&mut self) {
        self.intervals.close();
        self.copy.rows().close_interval();
    }

    /// Closes everything that was handled in one interval, and bars the partition: no record may be handled before the
    /// interval is acknowledged. Returns the number of rows of the interval that was closing before.
    pub(crate) fn bar(&mut self) -> usize {
        if !self.intervals.is_closing() {
            self.close_interval();
            self.intervals.bar();
            return 0;
        }
        self.intervals.bar();
        self.copy.rows().join_intervals()
    }

    /// Marks the closing interval as acknowledged. `changelog` is the changelog offset after the interval's rows;
    /// `None` if the interval wrote no rows.
    pub(crate) fn acknowledge(&mut self, changelog: Option<i64>) {
        if self.intervals.acknowledge() {
            self.copy.acknowledge(changelog);
            self.failures.clear();
        }
    }

    /// Holds back a handled record until its guards (from `ctx.defer()`), and those of the records before it, are
    /// done.
    pub(crate) fn defer(&mut self, held: Held) {
        self.queue.deferrals_mut().push(held, self.copy.rows());
    }

    /// Takes the oldest record that is held back. The caller is about to apply its effects.
    pub(crate) fn take_deferred(&mut self) -> Option<Held> {
        let held = self.queue.deferrals_mut().pop()?;
        self.queue.deferrals().forget_released(self.copy.rows());
        Some(held)
    }

    /// Drops the work that has begun but is not done: the waiting async handler, the record to retry, and the records
    /// that are held back.
    pub(crate) fn drop_begun(&mut self) {
        self.queue.drop_begun(self.copy.rows());
    }

    /// Drops all waiting work, and sets the fetch positions back to the offsets after the handled records. In
    /// `source`, also skips the record at `offset`. The caller has to assign the partition's inputs again.
    pub(crate) fn go_back(&mut self, source: SourceIx, offset: i64) {
        self.queue.clear(self.copy.rows());
        self.drops += 1;
        self.feed.begin(self.intervals.handled());
        self.feed.skip_to(source, offset + 1);
    }

    /// Drops everything that is not committed, and stops running. The partition has to recover afterwards.
    pub(crate) fn drop_uncommitted(&mut self) {
        self.queue.clear(self.copy.rows());
        self.feed.release();
        self.intervals.drop_uncommitted();
        self.copy.drop_uncommitted();
        self.drops += 1;
        self.is_running = false;
    }

    /// Whether the local copy has all acknowledged rows and positions.
    pub(crate) fn is_stored(&self) -> bool {
        !self.copy.is_behind()
    }

    /// How many times fetched work was dropped.
    pub(crate) fn drops(&self) -> u64 {
        self.drops
    }

    pub(crate) fn rows(&self) -> &Rc<Rows> {
        self.copy.rows()
    }

    pub(crate) fn intervals(&self) -> &Intervals {
        &self.intervals
    }

    pub(crate) fn intervals_mut(&mut self) -> &mut Intervals {
        &mut self.intervals
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    pub(crate) fn deferrals(&self) -> &Deferrals {
        self.queue.deferrals()
    }

    pub(crate) fn copy(&self) -> &Copy {
        &self.copy
    }

    pub(crate) fn copy_mut(&mut self) -> &mut Copy {
        &mut self.copy
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(crate) fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    pub(crate) fn failures_mut(&mut self) -> &mut Failures {
        &mut self.failures
    }
}
