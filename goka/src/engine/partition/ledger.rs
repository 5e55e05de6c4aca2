//! The ledger of records in flight: how many records were sent and how many of them were reported, per partition and
//! commit interval.
//!
//! The tag of a delivery report tells the record's partition and interval. A partition has at most two intervals in
//! flight, and each of them uses one half of the partition's account. Must not know who sends the records.

use std::ops::Range;

use crate::engine::port::{Report, Undelivered};

/// The kind of a record that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A record of an output or loop.
    Output = 0,
    /// A row of the group table.
    Row = 1,
    /// A row of the group table that is sent again, because a foreign row (one that someone else wrote) follows it in
    /// the changelog.
    Repair = 2,
}

/// The accounts of all partitions.
#[derive(Default)]
pub(crate) struct Ledger(Vec<Account>);

/// The account of one partition.
#[derive(Default)]
struct Account {
    halves: [Half; 2],
    /// The changelog offset that our next row will have if no one else writes to the changelog. `None` while this
    /// offset is not known.
    next_row: Option<i64>,
    /// The gaps between our rows in the changelog: ranges of offsets that foreign rows occupy.
    gaps: Vec<Range<i64>>,
}

/// One half of an account: the counts of one interval.
#[derive(Default)]
struct Half {
    sent: u64,
    reported: u64,
    /// How many of the records in flight are outputs. Only a planted fault asks for this number.
    #[cfg(any(test, feature = "faults"))]
    outputs: u64,
    failed: Option<Undelivered>,
    /// The changelog offset after the last delivered row of the interval (repairs do not count).
    changelog: Option<i64>,
}

/// The outcome of an interval whose delivery reports are all in.
pub(crate) struct Outcome {
    pub(crate) failed: Option<Undelivered>,
    /// The changelog offset after the rows of the interval; `None` if it wrote no rows.
    pub(crate) changelog: Option<i64>,
}

impl Ledger {
    fn account(&mut self, partition: i32) -> &mut Account {
        let index = partition as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Account::default);
        }
        &mut self.0[index]
    }

    /// The tag of a record. From the tag, [`Ledger::report`] finds the record's partition, interval and kind.
    pub(crate) fn tag(partition: i32, half: usize, sent: Sent) -> u32 {
        (partition as u32) << 3 | (sent as u32) << 1 | half as u32
    }

    /// Counts a record with this tag that the producer accepted.
    pub(crate) fn sent(&mut self, tag: u32) {
        let half = &mut self.account((tag >> 3) as i32).halves[(tag & 1) as usize];
        half.sent += 1;
        #[cfg(any(test, feature = "faults"))]
        {
            half.outputs += u64::from(tag >> 1 & 3 == Sent::Output as u32);
        }
    }

    /// Counts a delivery report.
    pub(crate) fn report(&mut self, report: Report) {
        let tag = report.tag;
        let account = self.account((tag >> 3) as i32);
        let half = &mut account.halves[(tag & 1) as usize];
        half.reported += 1;
        #[cfg(any(test, feature = "faults"))]
        {
            let outputs = u64::from(tag >> 1 & 3 == Sent::Output as u32);
            half.outputs = half.outputs.saturating_sub(outputs);
        }
        let offset = match report.result {
            Ok(offset) => offset,
            Err(failure) => {
                // A final failure takes precedence, because it is also the cause of failures that may pass: the
                // records of the latter were given up together with the record that failed for good.
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
            // A repair does not count here: rows of the next interval, which this interval's commit does not contain,
            // can precede the repair in the changelog.
            half.changelog = Some(offset + 1);
        }
        if let Some(expected) = account.next_row
            && offset > expected
        {
            account.gaps.push(expected..offset);
        }
        account.next_row = account.next_row.map(|_| offset + 1);
    }

    /// Number of records of a partition that are in flight.
    pub(crate) fn pending(&self, partition: i32) -> u64 {
        let account = self.0.get(partition as usize);
        let halves = account.into_iter().flat_map(|account| &account.halves);
        halves.map(|half| half.sent - half.reported).sum()
    }

    /// Whether all delivery reports of an interval are in.
    pub(crate) fn is_complete(&self, partition: i32, half: usize) -> bool {
        let half = self
            .0
            .get(partition as usize)
            .map(|account| &account.halves[half]);
        half.is_none_or(|half| half.sent == half.reported)
    }

    /// Whether all delivery reports of an interval are in, except those of outputs.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn has_only_outputs(&self, partition: i32, half: usize) -> bool {
        let half = self
            .0
            .get(partition as usize)
            .map(|account| &account.halves[half]);
        half.is_none_or(|half| half.sent - half.reported == half.outputs)
    }

    /// The changelog offset after the rows of an interval that were delivered so far; `None` if there are none.
    pub(crate) fn changelog(&self, partition: i32, half: usize) -> Option<i64> {
        self.0.get(partition as usize)?.halves[half].changelog
    }

    /// Clears the failed deliveries of a partition and returns one of them: a final failure (one that does not pass),
    /// if there is any.
    pub(crate) fn failure(&mut self, partition: i32) -> Option<Undelivered> {
        let [one, other] = &mut self.account(partition).halves;
        match (one.failed.take(), other.failed.take()) {
            (Some(one), Some(other)) if one.may_pass => Some(other),
            (one, other) => one.or(other),
        }
    }

    /// Takes the outcome of a complete interval. The interval's half of the account is empty afterwards.
    pub(crate) fn take(&mut self, partition: i32, half: usize) -> Outcome {
        let half = &mut self.account(partition).halves[half];
        // The number of records in flight: zero, except with the planted faults `CommitBeforeAck` and
        // `OutputNotWaited`, which do not wait for the reports.
        let sent = half.sent - half.reported;
        let left = Half {
            sent,
            #[cfg(any(test, feature = "faults"))]
            outputs: half.outputs,
            ..Half::default()
        };
        let half = std::mem::replace(half, left);
        Outcome {
            failed: half.failed,
            changelog: half.changelog,
        }
    }

    /// Whether gaps were found between our rows in the changelog.
    pub(crate) fn has_gaps(&self, partition: i32) -> bool {
        let account = self.0.get(partition as usize);
        account.is_some_and(|account| !account.gaps.is_empty())
    }

    /// Takes the gaps that were found between our rows in the changelog.
    pub(crate) fn take_gaps(&mut self, partition: i32) -> Vec<Range<i64>> {
        std::mem::take(&mut self.account(partition).gaps)
    }

    /// Puts back gaps whose foreign rows could not be read yet.
    pub(crate) fn return_gaps(&mut self, partition: i32, gaps: Vec<Range<i64>>) {
        self.account(partition).gaps.splice(0..0, gaps);
    }

    /// The changelog offset that our next row will have if no one else writes to the changelog.
    pub(crate) fn next_row(&self, partition: i32) -> Option<i64> {
        self.0.get(partition as usize)?.next_row
    }

    /// Sets the changelog offset that our next row is expected to have. The local copy has all rows before `next`: if
    /// our next row gets a later offset, the rows in between are foreign.
    pub(crate) fn expect_row(&mut self, partition: i32, next: i64) {
        self.account(partition).next_row = Some(next);
    }

    /// Replaces the account of a partition with a new, empty one. No record of the old account may be in flight.
    pub(crate) fn reset(&mut self, partition: i32) {
        debug_assert_eq!(
            self.pending(partition),
            0,
            "reports of the old account would count for the new one"
        );
        *self.account(partition) = Account::default();
    }
}
