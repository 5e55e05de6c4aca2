//! The commit protocol, at-least-once. The one place that decides what is committed when.
//!
//! Per partition and interval, in this order: handlers run and their effects go to the producer;
//! every delivery report is in; the group gets the positions. Whatever fails before drops the interval,
//! and the partition goes back through recovery before its records run again.
//!
//! Rows whose reports are in go to the local copy, with the positions that they stand for, in one
//! transaction: at once where they are few, else those of several intervals together. So the local copy
//! is never ahead of Kafka. It may be behind by a second, and what it lacks is in the table's topic: a
//! restart reads it from there.
//!
//! Nothing fences a member that was paused past its session (a zombie), so that rows of it can land
//! behind newer ones. Three rules close that hole: the producer gives up on a record well within the
//! session (`message.timeout.ms`); before a record is handled, membership must have been proven
//! within the lease; and rows of ours are contiguous in the topic, so a gap between them is somebody
//! else's row, over which our value is written again.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use tracing::warn;

use crate::{
    base::error::Error,
    engine::{
        handling::blocking::LOOK_AFTER,
        partition::{
            Partition,
            ledger::{Ledger, Sent},
            rows::KEPT_BYTES,
        },
        port::{Kafka, Step, TableEvent, Undelivered, fault::Fault},
        recovery::trust::position_name,
        worker::Core,
    },
    store,
};

/// How long rows of somebody else may take to read.
const GAP_TIMEOUT: Duration = Duration::from_secs(10);
/// Where an interval has more rows than are written at once (`stored_at_once`), those of so long are
/// written together: a row that is written again and again is stored once then, and a page of LMDB takes
/// many rows for the price of one. It is also what a kill leaves to be read from the table's topic.
const STORE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the end of an idle partition is looked at for rows of somebody else.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// So many recoveries in a row that end in a failed delivery are enough.
const FAILURES_MAX: u32 = 8;
/// How old the time in a local copy may get while its partition is idle.
const REFRESH_MS: i64 = 3_600_000;

/// Rows of somebody else, newest per key.
type Foreign = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Core {
    /// Before a record is handled: membership was proven lately, and its interval has room.
    /// `false`: the partition was dropped, and the record with it.
    pub(crate) fn make_room(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Error> {
        let (records_max, bytes_max) =
            (self.spec.settings.records_max, self.spec.settings.bytes_max);
        let is_exactly_once = self.is_exactly_once();
        loop {
            // Also after whatever was waited for: a process that was stopped may go on anywhere.
            self.now = kafka.now();
            if !is_exactly_once && self.now.saturating_sub(self.lease_at) > self.spec.settings.lease
            {
                if !self.renew(kafka)? {
                    return Ok(false);
                }
                continue;
            }
            if self.now.saturating_sub(self.served_at) >= LOOK_AFTER {
                self.look(kafka)?;
            }
            let Some(partition) = self.partitions.get_mut(&number).filter(|p| p.is_running())
            else {
                return Ok(false);
            };
            let has_room =
                partition.open.records < records_max && partition.rows.open_size() < bytes_max;
            if has_room && (self.transaction.is_open() || !kafka.is_full()) {
                return Ok(true);
            }
            if is_exactly_once {
                self.serve(kafka, Duration::from_millis(1));
                self.transact(kafka, true)?;
                continue;
            }
            if partition.closing.is_none() {
                self.close_interval(kafka, number)?;
                continue;
            }
            self.serve(kafka, Duration::from_millis(5));
            self.advance_commit(kafka, number)?;
        }
    }

    /// Commits what is due.
    pub(crate) fn commit_due(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        if self.is_exactly_once() {
            return self.transact(kafka, false);
        }
        self.take_commit(kafka)?;
        self.store_due(kafka)?;
        let (now, interval) = (self.now, self.spec.settings.commit_interval);
        let due = |p: &Partition| {
            p.closing.is_some()
                || p.open.records > 0 && now.saturating_sub(p.open.began) >= interval
        };
        let next = |core: &Self, from: i32| {
            let mut rest = core.partitions.range(from..);
            rest.find(|(_, p)| p.is_running() && due(p))
                .map(|(number, _)| *number)
        };
        let mut from = 0;
        while let Some(number) = next(self, from) {
            from = number + 1;
            let partition = self.partitions.get(&number);
            if partition.is_some_and(|partition| partition.closing.is_none()) {
                self.close_interval(kafka, number)?;
            }
            self.advance_commit(kafka, number)?;
        }
        if now.saturating_sub(self.committed_at) >= interval
            && self.partitions.values().any(|p| p.uncommitted)
        {
            self.committed_at = now;
            self.begin_commit(kafka, |p| p.uncommitted);
            return Ok(());
        }
        self.keep_idle(kafka)
    }

    /// Moves a closing interval on, as far as its delivery reports allow.
    pub(crate) fn advance_commit(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let Some(partition) = self.partitions.get(&number) else {
            return Ok(());
        };
        let parity = partition.parity ^ 1;
        let is_delivered = self.ledger.is_complete(number, parity)
            || self.spec.settings.fault.is(Fault::CommitBeforeAck);
        if partition.closing.is_none() || !is_delivered {
            return Ok(());
        }
        if let Some(failure) = self.ledger.failure(number) {
            self.abandon(kafka, number, &failure.reason)?;
            return self.undelivered(number, &failure);
        }
        let gaps = self.ledger.take_gaps(number);
        if !gaps.is_empty() {
            match self.repair(kafka, number, gaps) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.take_back(kafka, number, &error);
                    return Err(error);
                }
            }
        }
        kafka.reached(Step::Delivered)?;
        self.settle_interval(kafka, number)
    }

    /// Nothing of the closing interval can fail any more: the group may have its positions, and the local
    /// copy its rows.
    pub(crate) fn settle_interval(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let outcome = self.ledger.take(number, partition.parity ^ 1);
        let Some(closing) = partition.closing.take() else {
            return Ok(());
        };
        partition.table = outcome.table.unwrap_or(partition.table);
        partition.settled(closing);
        match self.is_store_due(number) {
            true => self.store(kafka, number),
            false => Ok(()),
        }
    }

    /// Memory that rows of one partition may take once they are stored, bytes.
    fn kept_bytes(&self) -> usize {
        KEPT_BYTES / self.partitions.len().max(1)
    }

    /// Whether what is settled should be stored now.
    fn is_store_due(&self, number: i32) -> bool {
        let Some(partition) = self.partitions.get(&number).filter(|p| p.unstored) else {
            return false;
        };
        let (rows, bytes) = partition.rows.unstored();
        let is_late = || self.now.saturating_sub(partition.stored_at) >= STORE_INTERVAL;
        // A visit walks the local copy.
        let is_visited = || self.visiting.is_some();
        partition.closing.is_none()
            && (rows <= self.spec.settings.stored_at_once
                || is_late()
                || bytes > self.kept_bytes()
                || is_visited())
    }

    /// Stores what was put off long enough.
    pub(crate) fn store_due(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let mut from = 0;
        while let Some(number) = self
            .partitions
            .range(from..)
            .next()
            .map(|(number, _)| *number)
        {
            from = number + 1;
            if self.is_store_due(number) {
                self.store(kafka, number)?;
            }
        }
        Ok(())
    }

    /// Writes to the local copy what is settled: rows and where they stand, at once. While an interval is
    /// closing, nothing is: its rows cannot be told apart.
    pub(crate) fn store(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let (at_ms, kept) = (kafka.wall_ms(), self.kept_bytes());
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        if !partition.unstored || partition.closing.is_some() {
            return Ok(());
        }
        partition.stored_at = self.now;
        if let Some(store) = &mut partition.store {
            let names = self.sources.iter();
            let names = names.map(|&edge| position_name(&self.spec, &self.edges, edge));
            let inputs = names.zip(partition.settled.iter().copied()).collect();
            let position = store::Position {
                table: partition.table,
                inputs,
                at_ms,
            };
            let mut part = || kafka.reached(Step::Storing);
            let written = partition.rows.store(store, position, kept, &mut part);
            if !self.found_room(kafka, number, written)? {
                return Ok(());
            }
        }
        if let Some(partition) = self.partitions.get_mut(&number) {
            (partition.unstored, partition.rests) = (false, 0);
        }
        kafka.reached(Step::Stored)
    }

    /// What has to be done now and then while nothing comes: the lease is renewed before a record
    /// needs it, and rows of somebody else are looked for.
    fn keep_idle(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let idle = self
            .now
            .saturating_sub(self.lease_at.max(self.committed_at));
        if idle < self.spec.settings.lease / 2
            || !self.partitions.values().any(Partition::is_running)
        {
            return Ok(());
        }
        self.committed_at = self.now;
        self.begin_commit(kafka, |_| true);
        if self.now.saturating_sub(self.looked_at) < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked_at = self.now;
        let idle = |p: &&Partition| p.is_running() && p.closing.is_none() && p.open.records == 0;
        let numbers: Vec<i32> = self
            .partitions
            .values()
            .filter(idle)
            .map(|p| p.number)
            .collect();
        for number in numbers {
            self.look_behind(kafka, number)?;
        }
        Ok(())
    }

    /// Looks for rows of somebody else behind the last one of an idle partition.
    pub(crate) fn look_behind(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let (Some(table), Some(next)) = (kafka.table(), self.ledger.next_row(number)) else {
            return Ok(());
        };
        if let Ok((_, end)) = table.bounds(number)
            && end > next
        {
            self.ledger.expect_row(number, end);
            // An interval without records carries the repairs.
            self.close_interval(kafka, number)?;
            self.ledger
                .return_gaps(number, std::iter::once(next..end).collect());
            return self.advance_commit(kafka, number);
        }
        self.refresh(kafka, number)
    }

    /// A partition that is at its end does not look aged to the next owner of its local copy.
    pub(crate) fn refresh(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let at_ms = kafka.wall_ms();
        if let Some(store) = self
            .partitions
            .get_mut(&number)
            .and_then(|p| p.store.as_mut())
            && at_ms - store.position().at_ms > REFRESH_MS
        {
            let position = store::Position {
                at_ms,
                ..store.position().clone()
            };
            let written = store.batch().and_then(|batch| batch.commit(position));
            self.found_room(kafka, number, written)?;
        }
        Ok(())
    }

    /// Rows of somebody else landed among ours. If the group confirms that the partition is ours,
    /// our values are written again where they differ. `true`: nothing had to be written.
    fn repair(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        gaps: Vec<Range<i64>>,
    ) -> Result<bool, Error> {
        let ours = self.commit_offsets(kafka, |p| p.number == number)?;
        let Some(partition) = self.partitions.get(&number).filter(|p| p.is_running()) else {
            return Ok(false);
        };
        let (rows, parity) = (partition.rows.clone(), partition.parity ^ 1);
        let foreign = if ours {
            self.read_gaps(kafka, number, &gaps)?
        } else {
            None
        };
        let Some(foreign) = foreign else {
            self.ledger.return_gaps(number, gaps);
            return Ok(false);
        };
        let mut repairs = 0;
        for (key, theirs) in &foreign {
            let mine = rows.read_sent(key, |value| value.map(<[u8]>::to_vec))?;
            if mine == *theirs {
                continue;
            }
            let tag = Ledger::tag(number, parity, Sent::Repair);
            self.send_row(kafka, (number, tag), key, mine.as_deref(), kafka.wall_ms())?;
            repairs += 1;
        }
        if !foreign.is_empty() {
            let (group, rows) = (self.spec.program.group(), foreign.len());
            warn!(
                group,
                partition = number,
                rows,
                repairs,
                "rows of a former owner landed behind ours"
            );
        }
        Ok(repairs == 0)
    }

    /// The newest foreign row per key; `None` if they could not be read in time.
    fn read_gaps(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        gaps: &[Range<i64>],
    ) -> Result<Option<Foreign>, Error> {
        let (Some(table), Some(first), Some(last)) = (kafka.table(), gaps.first(), gaps.last())
        else {
            return Ok(Some(Foreign::new()));
        };
        let (mut foreign, mut done) = (Foreign::new(), false);
        let give_up = kafka.now() + GAP_TIMEOUT;
        table.start(number, first.start)?;
        while !done && kafka.now() < give_up {
            let mut result = Ok(());
            table.poll(Duration::from_millis(10), &mut |event| match event {
                TableEvent::Record(record) if record.partition == number => {
                    if gaps.iter().any(|gap| gap.contains(&record.offset))
                        && let Some(key) = record.key
                    {
                        foreign.insert(key.to_vec(), record.value.map(<[u8]>::to_vec));
                    }
                    done |= record.offset + 1 >= last.end;
                }
                TableEvent::End { partition } if partition == number => done = true,
                TableEvent::OutOfRange { partition } if partition == number => done = true,
                other => result = self.table_event(kafka, other),
            });
            result?;
        }
        table.stop(number)?;
        Ok(done.then_some(foreign))
    }

    /// A record was not delivered, and its partition recovers. One that never will be delivered, for example because
    /// the topic takes no record of its size, fails again after each recovery: then the worker says so and ends. What
    /// may pass is waited out.
    pub(crate) fn undelivered(&mut self, number: i32, failure: &Undelivered) -> Result<(), Error> {
        match failure.may_pass {
            true => Ok(()),
            false => self.count_failure(number, &failure.reason),
        }
    }

    pub(crate) fn count_failure(&mut self, number: i32, reason: &str) -> Result<(), Error> {
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        partition.failures += 1;
        let first = partition.failed_first.get_or_insert_with(|| reason.into());
        if partition.failures < FAILURES_MAX {
            return Ok(());
        }
        let group = self.spec.program.group();
        // The last one may be of a record that was only given up with the others.
        let reason = match &**first == reason {
            true => reason.to_owned(),
            false => format!("{first}; at last: {reason}"),
        };
        Err(Error::kafka(
            format!(
                "deliver what group `{group}` writes for partition {number}, after {FAILURES_MAX} recoveries"
            ),
            reason,
        ))
    }

    /// Drops what is not committed of a partition, and lets it recover.
    pub(crate) fn abandon(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        reason: &str,
    ) -> Result<(), Error> {
        let group = self.spec.program.group();
        warn!(
            group,
            partition = number,
            reason,
            "dropped what was not committed; recovering"
        );
        kafka.unassign(number)?;
        if let Some(table) = kafka.table() {
            table.stop(number)?;
        }
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.drop_uncommitted();
            self.spec.status.recovering(number, 0, 0, 0.0);
        }
        Ok(())
    }

    /// This member may not be one any more: nothing of what it holds is committed, and what its
    /// producer still holds is not sent.
    pub(crate) fn drop_all(&mut self, kafka: &dyn Kafka, reason: &str) -> Result<(), Error> {
        self.forget_commit();
        if self.is_exactly_once() {
            self.abort(kafka, reason)?;
        } else {
            kafka.purge();
        }
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        numbers
            .into_iter()
            .try_for_each(|number| self.abandon(kafka, number, reason))
    }
}
