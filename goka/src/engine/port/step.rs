//! The steps of the commit protocol, named so that tests can stop a worker at each of them. Must not know what a test
//! does there.

/// A step of the commit protocol or of recovery, in the order in which a worker takes them. Under exactly-once the
/// group has the positions ([`Step::Committed`]) before the local transaction is committed ([`Step::Stored`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The effects of one record were handed to the producer.
    Handled,
    /// The interval is acknowledged: all its delivery reports are in.
    Delivered,
    /// Exactly-once, on real brokers: the positions were sent to the transaction, which is not committed yet.
    OffsetsSent,
    /// Some rows of a large interval are in the local copy, whose position does not cover them yet.
    Storing,
    /// The local transaction is committed.
    Stored,
    /// The group has committed the positions.
    Committed,
    /// A row of the changelog was read, and is not in the local copy yet.
    Replayed,
    /// Rows of the changelog are in the local copy, and more are to come.
    Replaying,
    /// Partitions that are revoked are finished and closed; the group has not been answered yet.
    Revoking,
    /// The group was answered.
    Released,
}
