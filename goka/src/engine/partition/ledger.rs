//! What was sent and what was reported, per partition and commit interval.
//!
//! Reports come back by tag. A partition has two intervals in the air at most, told apart by their
//! parity. Knows no Kafka but its offsets.

use std::ops::Range;

use crate::engine::port::{Report, Undelivered};

/// What a sent record is, for the account of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A record of an output or loop.
    Output = 0,
    /// A row of the group table.
    Row = 1,
    /// A row written again, because somebody else's row had landed behind it.
    Repair = 2,
}

/// Accounts by partition number.
#[derive(Default)]
pub(crate) struct Ledger(Vec<Account>);

/// The account of a partition.
#[derive(Default)]
struct Account {
    halves: [Half; 2],
    /// Where the next row of ours must land if nobody else writes; `None` while not known.
    next_row: Option<i64>,
    /// Offsets between our rows: somebody else's.
    gaps: Vec<Range<i64>>,
}

/// One interval of it.
#[derive(Default)]
struct Half {
    sent: u64,
    reported: u64,
    failed: Option<Undelivered>,
    /// Behind the last row that was delivered.
    table: Option<i64>,
}

/// How an interval came out, once all its reports are in.
pub(crate) struct Outcome {
    pub(crate) failed: Option<Undelivered>,
    /// Next offset of the table's topic, if the interval wrote rows.
    pub(crate) table: Option<i64>,
}

impl Ledger {
    fn account(&mut self, partition: i32) -> &mut Account {
        let index = partition as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Account::default);
        }
        &mut self.0[index]
    }

    /// The tag of a record of an interval, see [`Ledger::report`].
    pub(crate) fn tag(partition: i32, parity: usize, sent: Sent) -> u32 {
        (partition as u32) << 3 | (sent as u32) << 1 | parity as u32
    }

    /// A record with this tag went to the producer.
    pub(crate) fn sent(&mut self, tag: u32) {
        self.account((tag >> 3) as i32).halves[(tag & 1) as usize].sent += 1;
    }

    /// Its report came.
    pub(crate) fn report(&mut self, report: Report) {
        let tag = report.tag;
        let account = self.account((tag >> 3) as i32);
        let half = &mut account.halves[(tag & 1) as usize];
        half.reported += 1;
        let offset = match report.result {
            Ok(offset) => offset,
            Err(failure) => {
                // One that will not pass is the reason for those that were given up with it.
                let is_worse = |before: &Undelivered| before.may_pass && !failure.may_pass;
                if half.failed.as_ref().is_none_or(is_worse) {
                    half.failed = Some(failure);
                }
                return;
            }
        };
        let kind = tag >> 1 & 3;
        if kind == Sent::Output as u32 {
            return;
        }
        if kind == Sent::Row as u32 {
            // A repair stands behind rows of the next interval, which are not in this commit.
            half.table = Some(offset + 1);
        }
        if let Some(expected) = account.next_row
            && offset > expected
        {
            account.gaps.push(expected..offset);
        }
        account.next_row = account.next_row.map(|_| offset + 1);
    }

    /// Records of the partition whose report has not come yet.
    pub(crate) fn pending(&self, partition: i32) -> u64 {
        let account = self.0.get(partition as usize);
        let halves = account.into_iter().flat_map(|account| &account.halves);
        halves.map(|half| half.sent - half.reported).sum()
    }

    /// Whether all reports of an interval are in.
    pub(crate) fn is_complete(&self, partition: i32, parity: usize) -> bool {
        let half = self
            .0
            .get(partition as usize)
            .map(|account| &account.halves[parity]);
        half.is_none_or(|half| half.sent == half.reported)
    }

    /// Whether a report of the partition was a failure: one that will not pass, if there is one.
    pub(crate) fn failure(&mut self, partition: i32) -> Option<Undelivered> {
        let [one, other] = &mut self.account(partition).halves;
        match (one.failed.take(), other.failed.take()) {
            (Some(one), Some(other)) if one.may_pass => Some(other),
            (one, other) => one.or(other),
        }
    }

    /// Takes the outcome of a complete interval; its half is empty then.
    pub(crate) fn take(&mut self, partition: i32, parity: usize) -> Outcome {
        let half = &mut self.account(partition).halves[parity];
        // Nothing, but for an engine whose fault it is not to wait (`Fault::CommitBeforeAck`).
        let sent = half.sent - half.reported;
        let left = Half {
            sent,
            ..Half::default()
        };
        let half = std::mem::replace(half, left);
        Outcome {
            failed: half.failed,
            table: half.table,
        }
    }

    /// Takes the offsets between our rows that are not ours.
    pub(crate) fn take_gaps(&mut self, partition: i32) -> Vec<Range<i64>> {
        std::mem::take(&mut self.account(partition).gaps)
    }

    /// Puts gaps back that could not be looked at yet.
    pub(crate) fn return_gaps(&mut self, partition: i32, gaps: Vec<Range<i64>>) {
        self.account(partition).gaps.splice(0..0, gaps);
    }

    /// Where our next row must land, if nobody else writes.
    pub(crate) fn next_row(&self, partition: i32) -> Option<i64> {
        self.0.get(partition as usize)?.next_row
    }

    /// Rows up to here are known: from now on every other one is looked for.
    pub(crate) fn expect_row(&mut self, partition: i32, next: i64) {
        self.account(partition).next_row = Some(next);
    }

    /// A new life of the partition; nothing of the old one is pending.
    pub(crate) fn reset(&mut self, partition: i32) {
        debug_assert_eq!(
            self.pending(partition),
            0,
            "reports of an old life would count for the new one"
        );
        *self.account(partition) = Account::default();
    }
}
