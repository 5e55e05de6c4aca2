//! Transactions of a worker, for exactly-once. Must not know which records and positions belong together.

use super::Position;
use crate::base::error::Error;

/// Transactions of a worker. Every record that is sent belongs to one; the first begins with the connection.
///
/// A transaction ends in two steps, so that handlers go on while it is committed: [`Transactions::end_transaction`]
/// draws the line, and [`Transactions::commit_transaction`] commits what was sent before the line, once all of it is
/// acknowledged. Records sent after the line wait in memory for the next transaction.
///
/// A connection for at-least-once has no transactions. So every method has a default, and the engine calls only
/// [`Transactions::table_end`] of them.
pub(crate) trait Transactions {
    /// Ends the transaction: records that are sent from now on belong to the next one, and are held back until this one
    /// is committed.
    fn end_transaction(&self) {}

    /// Starts to commit everything that was sent before [`Transactions::end_transaction`], all of which is
    /// acknowledged, together with positions and `metadata` beside each. [`Transactions::transaction`] returns the
    /// outcome.
    fn commit_transaction(&self, _positions: &[Position], _metadata: &str) {}

    /// Starts to abort everything that is not committed, on both sides of the line. Records in flight are reported as
    /// failed. A commit that is in flight may still succeed. [`Transactions::transaction`] returns the outcome.
    fn abort_transaction(&self) {}

    /// The outcome of the last commit or abort, returned once. `None` until it is known.
    ///
    /// A commit that failed may have succeeded in Kafka all the same: abort it, and ask for the committed offsets.
    /// After a commit that succeeded, and after an abort, the next transaction takes records. An abort fails only if no
    /// further transaction is possible.
    fn transaction(&self) -> Option<Result<(), Error>> {
        None
    }

    /// Whether too many records wait for the next transaction: the worker should handle no more before it begins.
    fn is_full(&self) -> bool {
        false
    }

    /// The end offset of a partition of the changelog, records of undecided transactions included.
    /// [`Reader::bounds`](super::Reader::bounds) stops before them (the last stable offset). Asked for at-least-once as
    /// well, because another member may still write in transactions while the guarantee of a group is changed. Default:
    /// a changelog without transactions.
    fn table_end(&self, _partition: i32) -> Result<i64, Error> {
        Ok(0)
    }

    /// Starts to abort the open transaction of the worker that committed `partition` last, by taking over its
    /// transactional id, unless that worker is this one. To be used only for a transaction that blocks the partition:
    /// the other worker, if it is alive, loses the work of its open transaction.
    fn fence(&self, _partition: i32) {}
}
