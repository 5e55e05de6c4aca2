//! The commit protocol for at-least-once. For each partition and interval, in this order: handlers run and their
//! effects go to the producer; all delivery reports arrive; the positions in the inputs are committed to the group,
//! together with the changelog offset behind the rows of the interval (a cut, see `cut.rs`); the rows are written to
//! the local copy. A failure before the commit voids the interval. The partition then recovers, which undoes the rows
//! behind the cut, before the records of the interval run again.
//!
//! Rows are written to the local copy together with the positions after them, in one LMDB transaction: as soon as the
//! group has these positions if the rows are few, otherwise together with the rows of later intervals. The local copy
//! is never ahead of the group's commit. The local copy may lag behind the changelog by a second: a restart reads the
//! missing rows from the changelog.
//!
//! Nothing fences a zombie (a member that was paused past its session), so that rows of a zombie can follow newer rows
//! in the changelog. Three rules prevent damage by such foreign rows: the producer gives up on a record well within
//! the session (`message.timeout.ms`); membership must have been proven within the membership lease before a record is
//! handled; and foreign rows are found as gaps between the offsets of our rows, and overwritten (`gaps.rs`).

use std::time::Duration;

use tracing::warn;

use super::{offsets::Answer, work::Work};
use crate::engine::{
    env::Env,
    halt::{Halt, Scope, Voided},
    partition::{Partition, Partitions},
    port::{Step, fault::Fault},
};

/// How often a worker checks the ends of the changelogs of its idle partitions for foreign rows.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How many times a worker tries to commit the positions of partitions that it gives back.
const COMMIT_TRIES: usize = 3;

/// The state of the protocol at one worker.
pub(crate) struct AtLeastOnce {
    /// When the changelogs of idle partitions were last checked for foreign rows.
    looked_at: Duration,
    /// Idle partitions that are still to be checked for foreign rows. After a setback of one partition, the other
    /// partitions remain in this list.
    to_look: Vec<i32>,
}

impl AtLeastOnce {
    pub(crate) fn new(now: Duration) -> Self {
        AtLeastOnce {
            looked_at: now,
            to_look: Vec::new(),
        }
    }

    /// Whether the open interval takes one more record. `false`: the interval was full, and this call has advanced its
    /// commit.
    pub(crate) fn has_room(&mut self, work: &mut Work<'_>, number: i32) -> Result<bool, Halt> {
        if work.takes_record(number)? {
            return Ok(true);
        }
        let partition = work.partitions.running(number);
        let is_closing = partition.is_some_and(|partition| partition.intervals().is_closing());
        if !is_closing && work.close_if_free(number)? {
            return Ok(false);
        }
        work.partitions.serve(&work.env, Duration::from_millis(5));
        advance(work, number)?;
        work.take_commit()?;
        offer(work);
        Ok(false)
    }

    /// Makes due commits.
    pub(crate) fn due(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        work.take_commit()?;
        work.store_due()?;
        let (now, interval) = (work.env.now(), work.env.spec.settings.commit_interval);
        let is_due = |partition: &Partition| {
            let intervals = partition.intervals();
            let is_old = || now.saturating_sub(intervals.open_since()) >= interval;
            partition.is_running()
                && (intervals.is_closing() || intervals.open_records() > 0 && is_old())
        };
        let mut from = 0;
        while let Some(number) = work.partitions.next(from, is_due) {
            from = number + 1;
            let partition = work.partitions.get(number);
            if partition.is_some_and(|partition| !partition.intervals().is_closing()) {
                work.close_if_free(number)?;
            }
            advance(work, number)?;
        }
        match offer(work) {
            true => Ok(()),
            false => self.keep_idle(work),
        }
    }

    /// Keeps an idle worker ready: renews the membership lease before a record needs it, and checks for foreign rows.
    fn keep_idle(&mut self, work: &mut Work<'_>) -> Result<(), Halt> {
        while let Some(number) = self.to_look.pop() {
            look_behind(work, number)?;
        }
        let now = work.env.now();
        let idle = now.saturating_sub(work.offsets.silent_since());
        if idle < work.env.spec.settings.lease / 2 || !work.partitions.any_running() {
            return Ok(());
        }
        work.offsets.set_committed_at(now);
        work.begin_commit(|_| true);
        if now.saturating_sub(self.looked_at) < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked_at = now;
        self.to_look = work.partitions.which(Partition::is_running);
        Ok(())
    }
}

/// Sends the offsets that are due to the group. Returns whether any are due.
fn offer(work: &mut Work<'_>) -> bool {
    let (now, interval) = (work.env.now(), work.env.spec.settings.commit_interval);
    // Also commits the offsets of idle partitions again while other partitions are busy. Otherwise, these offsets would
    // expire.
    let is_offered = |partition: &Partition| {
        let intervals = partition.intervals();
        partition.is_running() && (intervals.is_uncommitted() || intervals.is_stale(now))
    };
    if work.partitions.next(0, is_offered).is_none() {
        return false;
    }
    let is_due = now.saturating_sub(work.offsets.committed_at()) >= interval;
    if is_due || is_store_waiting(work) {
        work.offsets.set_committed_at(now);
        work.begin_commit(is_offered);
        return true;
    }
    false
}

/// Whether a store that is due waits until offsets are sent to the group.
fn is_store_waiting(work: &Work<'_>) -> bool {
    let uncommitted = work
        .partitions
        .iter()
        .filter(|(_, partition)| partition.is_running() && partition.intervals().is_uncommitted());
    let mut numbers = uncommitted.map(|(number, _)| number);
    !work.offsets.is_committing() && numbers.any(|number| work.is_store_urgent(number))
}

/// Advances the commit of the closing interval of a partition, as far as the delivery reports of the interval allow.
fn advance(work: &mut Work<'_>, number: i32) -> Result<(), Halt> {
    let Some(partition) = work.partitions.get(number) else {
        return Ok(());
    };
    if partition.intervals().is_barred() {
        return settle(work, number);
    }
    let is_closing = partition.intervals().is_closing();
    let is_delivered =
        work.is_delivered(number) || work.env.spec.settings.fault.is(Fault::CommitBeforeAck);
    if !is_closing || !is_delivered {
        return Ok(());
    }
    work.check_delivered(number)?;
    if work.partitions.ledger().has_gaps(number) && !is_harmless(work, number)? {
        return work.bar(number).map_err(|halt| halt.of_partition(number));
    }
    work.env.kafka.reached(Step::Delivered)?;
    work.acknowledge(number);
    work.store_if_due(number)
}

/// Repairs the foreign rows in the changelog of a barred partition, and acknowledges its closing interval when all
/// delivery reports are in and no gap is left.
fn settle(work: &mut Work<'_>, number: i32) -> Result<(), Halt> {
    if work.partitions.ledger().pending(number) > 0 {
        return Ok(());
    }
    work.check_delivered(number)?;
    let gaps = work.partitions.ledger_mut().take_gaps(number);
    if !gaps.is_empty() {
        let repaired = work.repair(number, gaps);
        if repaired.map_err(|halt| halt.of_partition(number))? != Some(0) {
            return Ok(());
        }
    }
    work.env.kafka.reached(Step::Delivered)?;
    work.acknowledge_barred(number);
    work.store_if_due(number)
}

/// The planted fault `BarrierOnlyIfRepair`: whether no foreign row in the gaps needs a repair. Otherwise `false`.
fn is_harmless(work: &mut Work<'_>, number: i32) -> Result<bool, Halt> {
    if !work.env.spec.settings.fault.is(Fault::BarrierOnlyIfRepair) {
        return Ok(false);
    }
    let gaps = work.partitions.ledger_mut().take_gaps(number);
    Ok(work.repair(number, gaps)? == Some(0))
}

/// Checks the changelog of an idle partition for foreign rows after our last row, and repairs such rows.
fn look_behind(work: &mut Work<'_>, number: i32) -> Result<(), Halt> {
    let partition = work.partitions.running(number);
    if !partition.is_some_and(|partition| partition.intervals().is_empty()) {
        return Ok(());
    }
    let next = work.partitions.ledger().next_row(number);
    let (Some(reader), Some(next)) = (work.env.kafka.table(), next) else {
        return Ok(());
    };
    match reader.bounds(number) {
        Ok((_, end)) if end > next => {
            let gaps = std::iter::once(next..end).collect();
            let ledger = work.partitions.ledger_mut();
            ledger.expect_row(number, end);
            ledger.return_gaps(number, gaps);
            // Closes an interval without records: the repairs are sent in this interval.
            work.bar(number).map_err(|halt| halt.of_partition(number))?;
            settle(work, number)
        }
        _ => work.refresh(number),
    }
}

/// Waits for the records in flight of these partitions, and commits the positions after the handled records, with the
/// mark that the partitions are given back cleanly. Before the commit, checks for foreign rows, if no error has
/// occurred before (`is_well`).
pub(crate) fn finish(
    work: &mut Work<'_>,
    numbers: &[i32],
    give_up: Duration,
    is_well: bool,
) -> Result<(), Halt> {
    drain(work, numbers, give_up)?;
    // This is the last chance to repair foreign rows: the next owner would take them for ours. Do not try if the
    // membership lease is over: brokers may be unreachable, and each request would wait for its timeout.
    let now = work.env.kafka.now();
    if is_well && now <= give_up && work.offsets.is_proven(now) {
        for &number in numbers {
            look_behind(work, number)?;
        }
        drain(work, numbers, give_up)?;
    }
    let is_left =
        |number: i32, partition: &Partition| partition.is_running() && numbers.contains(&number);
    for _ in 0..COMMIT_TRIES {
        let is_done = !work.partitions.iter().any(|(n, p)| is_left(n, p));
        if is_done
            || work.env.kafka.now() > give_up
            || work.commit_of(true, is_left)? == Answer::Taken
        {
            break;
        }
    }
    Ok(())
}

/// Waits for the delivery reports of these partitions, and acknowledges their intervals.
fn drain(work: &mut Work<'_>, numbers: &[i32], give_up: Duration) -> Result<(), Halt> {
    loop {
        let mut is_busy = false;
        for &number in numbers {
            is_busy |= drain_one(work, number).map_err(|halt| halt.of_partition(number))?;
        }
        // Wait also for the records in flight of a failed interval: they must not be written after rows of the next
        // owner.
        let ledger = work.partitions.ledger();
        is_busy |= numbers.iter().any(|&number| ledger.pending(number) > 0);
        if !is_busy {
            return Ok(());
        }
        if work.env.kafka.now() > give_up {
            warn!(
                group = work.env.group(),
                "timed out waiting for in-flight records before giving up partitions"
            );
            return Ok(());
        }
        work.partitions.serve(&work.env, Duration::from_millis(2));
    }
}

/// Advances the intervals of a partition. Returns whether some interval of the partition is not acknowledged yet.
fn drain_one(work: &mut Work<'_>, number: i32) -> Result<bool, Halt> {
    let Some(partition) = work.partitions.running(number) else {
        return Ok(false);
    };
    let intervals = partition.intervals();
    if !intervals.is_closing() && intervals.open_records() > 0 {
        work.close_interval(number)?;
    }
    advance(work, number)?;
    let partition = work.partitions.running(number);
    Ok(partition.is_some_and(|partition| !partition.intervals().is_empty()))
}

/// Returns the partitions that have to recover after a setback. If the worker may no longer be a member, also purges
/// the producer, so that records that are still queued are not sent.
pub(crate) fn void(env: &Env<'_>, partitions: &Partitions, scope: Scope) -> Voided {
    let partitions = match scope {
        Scope::Partition(number) => vec![number],
        Scope::Transaction(number) => number.into_iter().collect(),
        Scope::Worker => {
            env.kafka.purge();
            partitions.numbers()
        }
    };
    Voided {
        partitions,
        is_in_doubt: false,
    }
}
