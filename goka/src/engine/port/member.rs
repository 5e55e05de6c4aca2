//! Membership in a consumer group. Must not know what the engine does with a record, nor how offsets and rows are kept
//! together.

use std::{error, fmt, time::Duration};

use super::{GroupOffsets, Position};
use crate::base::{error::Error, index::SourceIx, record::Record};

/// A member of a consumer group: rebalances, fetched records, committed offsets.
///
/// The group distributes partition *numbers*: those of the one topic that it subscribes to. The worker that owns
/// number `n` decides when partition `n` of every source is fetched ([`Member::assign`]), for example only once the
/// worker has recovered the partition.
pub(crate) trait Member {
    /// Waits up to `wait` for the next event and passes it to `on`: at most one event per call. Returns `false` if no
    /// event came. `on` may call every method of the connection but `poll`.
    fn poll(&self, wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool;

    /// Passes to `on`, by partition, the keys of the records that the next polls will return. The key of each record
    /// is passed once. The engine looks up the rows of these keys together, before the first of the records is
    /// handled. Default: does nothing, for a connection that knows no keys in advance.
    fn ahead(&self, _on: &mut dyn FnMut(i32, &mut Keys<'_>)) {}

    /// Starts fetching partition `partition` of every source; `offsets` has one offset per source.
    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error>;

    /// Stops fetching partition `partition` of every source. Events of the partition that are already on their way may
    /// still come, until the partition is assigned again. Does nothing for a partition that is not assigned.
    fn unassign(&self, partition: i32) -> Result<(), Error>;

    /// Answers [`Event::Revoked`]: tells the group that this member has unassigned these partitions and gives them up.
    /// The group waits for this answer. Default: does nothing, for a group that revokes nothing.
    fn released(&self, _partitions: &[i32]) -> Result<(), Error> {
        Ok(())
    }

    /// Commits positions to the group, and waits for the broker's answer. If the group has refused any of the
    /// positions, the commit has failed: the group may have taken the others.
    fn commit(&self, positions: &[Position]) -> Result<(), CommitError>;

    /// Starts to commit positions and returns before the broker has answered: while the group rebalances, the answer
    /// takes as long as the slowest member of the group. At most one commit is in flight. A second commit, by this
    /// method or by [`Member::commit`], discards the answer to the first commit, whose positions the group may or may
    /// not have taken.
    fn begin_commit(&self, positions: &[Position]);

    /// The outcome of the last [`Member::begin_commit`], returned once. `None` until the broker has answered.
    fn commit_outcome(&self) -> Option<Result<(), CommitError>>;

    /// The offsets that the group has committed for `partition`. Under exactly-once, this is an error while an
    /// undecided transaction contains offsets of the partition (see [`is_unstable`]).
    fn committed(&self, partition: i32) -> Result<GroupOffsets, Error>;

    /// Log start offset and end offset (the next one to be written) of `partition` of a source.
    fn bounds(&self, source: SourceIx, partition: i32) -> Result<(i64, i64), Error>;
}

/// Keys of records, in the order of the records.
pub(crate) type Keys<'k> = dyn Iterator<Item = &'k [u8]> + 'k;

/// What [`Member::poll`] returns.
pub(crate) enum Event<'a> {
    /// A record of a partition that is assigned.
    Record {
        source: SourceIx,
        record: Record<'a>,
    },
    /// The group gives this member these partitions; the list may be empty. Nothing is fetched before
    /// [`Member::assign`].
    Assigned(Vec<i32>),
    /// The group wants these partitions back: finish, commit, [`Member::unassign`], then [`Member::released`].
    Revoked {
        partitions: Vec<i32>,
        /// Whether this member's session is over. If it is, another member may own the partitions already, and the
        /// broker would refuse a commit.
        lost: bool,
    },
    /// The broker does not have the offset to fetch: retention deleted the record, or the topic was deleted and created
    /// again. [`Member::bounds`] gives the offsets that exist.
    OutOfRange { source: SourceIx, partition: i32 },
    /// The connection cannot be used any more: fenced, not authorized, or a fatal error.
    Failed(Error),
}

/// Why the group did not take a commit. The variants differ in what to do next.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The group is rebalancing, or the broker is away: keep the positions and commit again.
    Again(Error),
    /// This member is not in the group any more: its partitions belong to other members.
    NotMember(Error),
    /// An ACL is missing. Trying again does not help.
    Denied(Error),
}

/// Cause of a failed [`Member::committed`]: the coordinator answered that an undecided transaction contains the
/// offsets.
#[derive(Debug)]
pub(crate) struct Unstable;

impl fmt::Display for Unstable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an open transaction contains offsets of the partition")
    }
}

impl error::Error for Unstable {}

/// Whether [`Member::committed`] failed because of an undecided transaction, rather than because no broker answered.
pub(crate) fn is_unstable(error: &Error) -> bool {
    matches!(error, Error::Kafka { source, .. } if source.is::<Unstable>())
}
