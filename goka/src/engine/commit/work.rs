//! The steps of a commit that both protocols share: close an interval, acknowledge the interval, store its rows in the
//! local copy once the group has the interval's offsets.
//!
//! A local copy is never ahead of the group's commit: rows behind that commit belong to records that will be handled
//! again. A row in memory has room for two values, that of the open interval and the one before. Therefore a store that
//! is due needs a moment in which the group has everything that is acknowledged, and nothing is closing: the next
//! interval is closed only after the answer to the commit, but at most [`HOLD`] later.
//!
//! Rows of a table with `coalesce = true` are sent when their interval closes: the changelog gets only the last value
//! of each key, although handlers read every value immediately. Must not know when an interval is committed.

use std::{collections::BTreeSet, time::Duration};

use super::offsets::{Answer, Offsets};
use crate::{
    engine::{
        env::Env,
        halt::{Halt, Scope, Setback, stored},
        partition::{Partitions, ledger::Sent},
        port::{Step, fault::Fault},
        table::rows::{KEPT_BYTES, UNCOMMITTED_BYTES},
    },
    store::Position,
};

/// How long acknowledged rows wait to be stored together if there are more of them than are stored immediately
/// (`stored_at_once`). Storing them together is cheaper: a row that several intervals wrote is stored once, and one
/// write of an LMDB page stores many rows. After a kill, recovery reads from the changelog the rows that were still
/// waiting.
const STORE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the close of an interval waits for the answer to a commit, so that rows can be stored that are due.
const HOLD: Duration = Duration::from_millis(100);
/// The age, in milliseconds, at which the time in the local copy of an idle partition is renewed.
const REFRESH_MS: i64 = 3_600_000;

/// Everything that a protocol needs during one call.
pub(crate) struct Work<'a> {
    pub(crate) env: Env<'a>,
    pub(crate) partitions: &'a mut Partitions,
    pub(crate) offsets: &'a mut Offsets,
    pub(crate) interrupted: &'a mut BTreeSet<i32>,
    pub(crate) is_visiting: bool,
}

impl Work<'_> {
    /// Whether the open interval of a running partition takes one more record, as far as its limits allow.
    pub(crate) fn takes_record(&self, number: i32) -> Result<bool, Halt> {
        let settings = &self.env.spec.settings;
        let Some(partition) = self.partitions.running(number) else {
            return Err(Setback::dropped(number, "the partition does not run").into());
        };
        let intervals = partition.intervals();
        Ok(intervals.open_records() < settings.records_max
            && !intervals.is_barred()
            && partition.rows().open_size() < settings.bytes_max)
    }

    /// Returns the setback of a partition of which a record was not delivered.
    pub(crate) fn check_delivered(&mut self, number: i32) -> Result<(), Halt> {
        match self.partitions.ledger_mut().failure(number) {
            None => Ok(()),
            Some(failure) => Err(Setback::undelivered(Scope::Partition(number), failure).into()),
        }
    }

    /// Closes the open interval of a partition. If the table coalesces, closes the interval only if membership is
    /// proven, and then sends the rows of the interval.
    pub(crate) fn close_interval(&mut self, number: i32) -> Result<(), Halt> {
        let coalesces = self.env.edges.coalesce();
        if coalesces && !self.prove()? {
            return Ok(());
        }
        let Some(partition) = self.partitions.running_mut(number) else {
            return Ok(());
        };
        partition.close_interval();
        if !coalesces {
            return Ok(());
        }
        // Some of the rows may have been sent before the error, so that the interval is void.
        self.send_rows(number, 0)
            .map_err(|halt| halt.of_partition(number))
    }

    /// Closes the open interval of a partition, unless its close has to wait for a store that is due. Returns whether
    /// the interval was closed.
    pub(crate) fn close_if_free(&mut self, number: i32) -> Result<bool, Halt> {
        let is_held = self.is_held(number);
        if !is_held {
            self.close_interval(number)?;
        }
        Ok(!is_held)
    }

    /// Whether the next interval of a partition is not to be closed yet, because rows are due to be stored and the
    /// group has not confirmed their offsets. If these rows take too much memory, the partition waits until it has.
    fn is_held(&mut self, number: i32) -> bool {
        let now = self.env.now();
        let is_urgent = self.is_store_urgent(number);
        let bound = UNCOMMITTED_BYTES / self.partitions.len().max(1);
        let Some(partition) = self.partitions.running_mut(number) else {
            return false;
        };
        if !is_urgent || partition.intervals().is_taken() {
            return false;
        }
        let since = partition.copy_mut().due_since(now);
        now.saturating_sub(since) < HOLD || partition.rows().unstored().1 > bound
    }

    /// Closes everything that a partition has handled in one interval, and lets it handle no record before this
    /// interval is acknowledged. If the table coalesces, also sends the rows that are not sent yet.
    pub(crate) fn bar(&mut self, number: i32) -> Result<(), Halt> {
        let Some(partition) = self.partitions.running_mut(number) else {
            return Ok(());
        };
        let sent = partition.bar();
        match self.env.edges.coalesce() {
            true => self.send_rows(number, sent),
            false => Ok(()),
        }
    }

    /// Sends the rows of the closing interval of a partition, from the row with the index `next` on. Sends each row
    /// within the membership lease: if the lease is over, proves membership before the next row.
    fn send_rows(&mut self, number: i32, mut next: usize) -> Result<(), Halt> {
        loop {
            let Some(partition) = self.partitions.running(number) else {
                return Ok(());
            };
            let intervals = partition.intervals();
            let Some(timestamp) = intervals.closing_timestamp() else {
                return Ok(());
            };
            let account = (number, intervals.closing_half(), Sent::Row);
            let rows = partition.rows().clone();
            let (env, partitions, offsets) = (&self.env, &mut *self.partitions, &*self.offsets);
            let left = rows.each_closing(next, |key, value| {
                partitions.send_row(env, account, (key, value), timestamp)?;
                Ok(offsets.is_proven(env.kafka.now()))
            })?;
            let Some(left) = left else {
                return Ok(());
            };
            if !self.prove()? {
                return Err(Setback::dropped(
                    number,
                    "the group did not confirm this member in time",
                )
                .into());
            }
            next = left;
        }
    }

    /// Returns whether membership is proven. If the last proof is older than the membership lease, tries to prove
    /// membership again.
    fn prove(&mut self) -> Result<bool, Halt> {
        Ok(self.offsets.is_proven(self.env.kafka.now()) || self.commit(|_| true)? == Answer::Taken)
    }

    /// Marks the closing interval of a partition as acknowledged: from now on, its positions may be committed and its
    /// rows may be stored.
    pub(crate) fn acknowledge(&mut self, number: i32) {
        let Some(partition) = self.partitions.get(number) else {
            return;
        };
        let half = partition.intervals().closing_half();
        let outcome = self.partitions.ledger_mut().take(number, half);
        if let Some(partition) = self.partitions.get_mut(number) {
            partition.acknowledge(outcome.changelog);
        }
    }

    /// Marks the closing interval of a barred partition as acknowledged. It contains everything that was sent, and the
    /// changelog offset after it is behind all own rows and all foreign rows.
    pub(crate) fn acknowledge_barred(&mut self, number: i32) {
        let ledger = self.partitions.ledger_mut();
        let changelog = ledger.next_row(number);
        for half in [0, 1] {
            ledger.take(number, half);
        }
        if let Some(partition) = self.partitions.get_mut(number) {
            partition.acknowledge(changelog);
        }
    }

    /// Stores the acknowledged rows of a partition, if they are to be stored now.
    pub(crate) fn store_if_due(&mut self, number: i32) -> Result<(), Halt> {
        match self.is_store_due(number) {
            true => self.store(number),
            false => Ok(()),
        }
    }

    /// The memory in which one partition may keep rows that are already stored, bytes.
    fn kept_bytes(&self) -> usize {
        KEPT_BYTES / self.partitions.len().max(1)
    }

    /// Whether the acknowledged rows of a partition can and should be stored now.
    fn is_store_due(&self, number: i32) -> bool {
        let Some(partition) = self.partitions.get(number).filter(|p| !p.is_stored()) else {
            return false;
        };
        let (rows, _) = partition.rows().unstored();
        self.may_store(number)
            && (rows <= self.env.spec.settings.stored_at_once || self.is_store_urgent(number))
    }

    /// Whether the acknowledged rows of a partition can be stored: the group has their offsets, and no interval is
    /// closing, whose rows could not be distinguished from them.
    fn may_store(&self, number: i32) -> bool {
        let fault = self.env.spec.settings.fault;
        let Some(partition) = self.partitions.get(number) else {
            return false;
        };
        let intervals = partition.intervals();
        let is_taken = intervals.is_taken()
            || fault.is(Fault::CopyFirst)
            || fault.is(Fault::CopyCurrent) && !self.offsets.is_committing();
        is_taken && !intervals.is_closing()
    }

    /// Whether the acknowledged rows of a partition should not wait for later intervals any more.
    pub(crate) fn is_store_urgent(&self, number: i32) -> bool {
        let Some(partition) = self.partitions.get(number).filter(|p| !p.is_stored()) else {
            return false;
        };
        let is_late = || {
            let stored_at = partition.copy().stored_at();
            self.env.now().saturating_sub(stored_at) >= STORE_INTERVAL
        };
        is_late() || partition.rows().unstored().1 > self.kept_bytes() || self.is_visiting
    }

    /// Stores the acknowledged rows of each partition whose rows are to be stored now.
    pub(crate) fn store_due(&mut self) -> Result<(), Halt> {
        let mut from = 0;
        while let Some(number) = self
            .partitions
            .next(from, |partition| !partition.is_stored())
        {
            from = number + 1;
            self.store_if_due(number)?;
        }
        Ok(())
    }

    /// Writes the acknowledged rows of a partition to its local copy, together with the positions after these rows.
    /// Does nothing if the group does not have these positions, or while an interval is closing.
    pub(crate) fn store(&mut self, number: i32) -> Result<(), Halt> {
        let (env, kept) = (self.env, self.kept_bytes());
        if !self.may_store(number) {
            return Ok(());
        }
        let Some(partition) = self.partitions.get_mut(number) else {
            return Ok(());
        };
        if partition.is_stored() {
            return Ok(());
        }
        let inputs = match partition.copy().is_open() {
            true => env.edges.named(partition.intervals().acknowledged()),
            false => Vec::new(),
        };
        let mut part = || env.kafka.reached(Step::Storing);
        let position = (inputs, env.kafka.wall_ms());
        let written = partition
            .copy_mut()
            .write(env.now(), position, kept, &mut part);
        stored(number, written)?;
        Ok(env.kafka.reached(Step::Stored)?)
    }

    /// Renews the time in the local copy of an idle partition, so that the copy is not taken for outdated later. Such
    /// a copy is at the end of its changelog.
    pub(crate) fn refresh(&mut self, number: i32) -> Result<(), Halt> {
        let at_ms = self.env.kafka.wall_ms();
        let Some(partition) = self.partitions.get_mut(number) else {
            return Ok(());
        };
        let Some(position) = partition
            .copy()
            .store()
            .map(|store| store.position().clone())
        else {
            return Ok(());
        };
        if at_ms - position.at_ms <= REFRESH_MS {
            return Ok(());
        }
        let written = partition.copy_mut().move_to(Position { at_ms, ..position });
        stored(number, written)
    }

    /// Whether all delivery reports of the closing interval are in. `true` if no interval is closing.
    pub(crate) fn is_delivered(&self, number: i32) -> bool {
        let ledger = self.partitions.ledger();
        let Some(partition) = self.partitions.get(number) else {
            return true;
        };
        let half = partition.intervals().closing_half();
        #[cfg(any(test, feature = "faults"))]
        if self.env.spec.settings.fault.is(Fault::OutputNotWaited) {
            return ledger.has_only_outputs(number, half);
        }
        ledger.is_complete(number, half)
    }
}
