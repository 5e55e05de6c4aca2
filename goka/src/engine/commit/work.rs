//! The steps of a commit that both protocols share: close an interval, acknowledge the interval, store its rows in the
//! local copy.
//!
//! Rows of a table with `coalesce = true` are sent when their interval closes: the changelog gets only the last value
//! of each key, although handlers read every value immediately. Must not know when an interval is committed.

use std::{collections::BTreeSet, time::Duration};

use super::offsets::{Answer, Offsets};
use crate::{
    engine::{
        env::Env,
        halt::{Halt, Setback, stored},
        partition::{Partitions, ledger::Sent},
        port::Step,
        table::rows::KEPT_BYTES,
    },
    store::Position,
};

/// How long acknowledged rows wait to be stored together if there are more of them than are stored immediately
/// (`stored_at_once`). Storing them together is cheaper: a row that several intervals wrote is stored once, and one
/// write of an LMDB page stores many rows. After a kill, recovery reads from the changelog the rows that were still
/// waiting.
const STORE_INTERVAL: Duration = Duration::from_secs(1);
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
        self.send_rows(number).map_err(|halt| match halt {
            Halt::Fatal(error) => Setback::fatal(number, error).into(),
            setback => setback,
        })
    }

    /// Sends the rows of the closing interval of a partition. Sends each row within the membership lease: if the lease
    /// is over, proves membership before the next row.
    fn send_rows(&mut self, number: i32) -> Result<(), Halt> {
        let mut next = 0;
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

    /// Whether the acknowledged rows of a partition are to be stored now.
    fn is_store_due(&self, number: i32) -> bool {
        let Some(partition) = self.partitions.get(number).filter(|p| !p.is_stored()) else {
            return false;
        };
        let (rows, bytes) = partition.rows().unstored();
        let is_late = || {
            let stored_at = partition.copy().stored_at();
            self.env.now().saturating_sub(stored_at) >= STORE_INTERVAL
        };
        !partition.intervals().is_closing()
            && (rows <= self.env.spec.settings.stored_at_once
                || is_late()
                || bytes > self.kept_bytes()
                || self.is_visiting)
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
    /// Does nothing while an interval is closing, because the rows of the closing interval cannot be distinguished
    /// from acknowledged rows.
    pub(crate) fn store(&mut self, number: i32) -> Result<(), Halt> {
        let (env, kept) = (self.env, self.kept_bytes());
        let Some(partition) = self.partitions.get_mut(number) else {
            return Ok(());
        };
        if partition.is_stored() || partition.intervals().is_closing() {
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
        let partition = self.partitions.get(number);
        partition.is_none_or(|p| ledger.is_complete(number, p.intervals().closing_half()))
    }
}
