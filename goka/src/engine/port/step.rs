//! The steps of the commit protocol, named so that tests can stop a worker at each of them. Must not know what a test
//! does there.

/// A step of the commit protocol or of recovery. The variants are in the order in which a worker takes these steps,
/// with one exception: under both guarantees, the group has the positions ([`Step::Committed`]) before rows are written
/// to the local copy ([`Step::Storing`], [`Step::Stored`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The effects of one record were handed to the producer.
    Handled,
    /// The interval is acknowledged: all its delivery reports are in.
    Delivered,
    /// Exactly-once, on real brokers: the positions were sent to the transaction, which is not committed yet.
    OffsetsSent,
    /// Some rows of a large interval are in the local copy, but the position of the copy does not cover these rows
    /// yet.
    Storing,
    /// The local transaction, which writes the interval to the local copy, is committed.
    Stored,
    /// The group has committed the positions.
    Committed,
    /// A row of the changelog was read, but is not in the local copy yet.
    Replayed,
    /// Rows of the changelog are in the local copy, but the partition is not claimed yet. Rows behind the group's
    /// commit may still have to be undone.
    Replaying,
    /// The partitions that the group revokes are finished and closed, but the group has not been answered yet.
    Revoking,
    /// The group was answered: the worker has given the revoked partitions up.
    Released,
}
