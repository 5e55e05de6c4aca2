//! Transactions of a worker, for exactly-once. Must not know which records and positions belong together.

use std::collections::BTreeSet;

use super::Position;
use crate::base::error::Error;

/// Transactions of a worker. Every record that is sent belongs to a transaction. The first transaction begins when the
/// connection is opened.
///
/// A transaction ends in two steps, so that handlers go on while it is committed. [`Transactions::end_transaction`]
/// draws a line: records that are sent after the line wait in memory for the next transaction.
/// [`Transactions::commit_transaction`] commits the records that were sent before the line, once all of them are
/// acknowledged.
///
/// A connection for at-least-once has no transactions. Therefore every method of this trait has a default, and under
/// at-least-once the engine calls only [`Transactions::table_end`].
pub(crate) trait Transactions {
    /// Ends the current transaction: records that are sent from now on belong to the next transaction, and are held
    /// back until the current one is committed.
    fn end_transaction(&self) {}

    /// Starts to commit everything that was sent before [`Transactions::end_transaction`], together with positions.
    /// All of the records must be acknowledged before this call. [`Transactions::transaction`] returns the outcome.
    fn commit_transaction(&self, _positions: &[Position]) {}

    /// Starts to abort everything that is not committed, on both sides of the line. Records in flight are reported as
    /// failed. A commit that is in flight may still succeed. [`Transactions::transaction`] returns the outcome.
    fn abort_transaction(&self) {}

    /// The outcome of the last commit or abort, returned once. `None` until it is known.
    ///
    /// A commit that failed here may have succeeded in Kafka all the same: abort the transaction, and ask for the
    /// committed offsets. After a commit that succeeded, and after an abort, the next transaction takes records. An
    /// abort fails only if no further transaction is possible.
    fn transaction(&self) -> Option<Result<(), Error>> {
        None
    }

    /// Whether too many records wait for the next transaction. If so, the worker should handle no more records until
    /// that transaction begins.
    fn is_full(&self) -> bool {
        false
    }

    /// The end offset of a partition of the changelog, records of undecided transactions included. The end in
    /// [`Reader::bounds`](super::Reader::bounds), the last stable offset, is before such records. The engine asks for
    /// this offset under at-least-once too, because another member may still write in transactions while the guarantee
    /// of a group is changed. Default: 0, for a changelog without transactions.
    fn table_end(&self, _partition: i32) -> Result<i64, Error> {
        Ok(0)
    }

    /// Starts to abort the open transaction of the worker that committed `partition` last, by taking over that
    /// worker's transactional id. Does nothing if that worker is this one. To be used only for a transaction that
    /// blocks the partition: the other worker, if it is alive, loses the work of its open transaction. `before`: the
    /// transactional ids that had committed the partition before this worker claimed it, because records of a previous
    /// owner may arrive after the claim.
    fn fence(&self, _partition: i32, _before: &BTreeSet<String>) {}
}
