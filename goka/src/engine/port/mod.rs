//! What the engine needs of Kafka: a group member with a producer and transactions, a reader of one topic, a
//! clock, and the steps at which tests stop a process. `kafka/` implements it with brokers, `sim/` in memory. Must not
//! know rdkafka.

pub(crate) mod crash;
pub(crate) mod fault;

use std::{error, fmt, time::Duration};

use crate::base::{
    error::Error,
    record::{OwnedHeaders, Record},
};

/// One worker's connection: member of its group, producer, and a clock.
///
/// All methods take `&self` and are called from the worker's thread alone, so that a record can be
/// borrowed from the connection while its effects are sent. Sources are the topics of the group
/// whose records it handles (inputs, then its loop), known by their place in the list the
/// connection was made with; every group of partitions `n` means partition `n` of every source.
pub(crate) trait Kafka {
    /// Time that goes on while the machine sleeps (`CLOCK_BOOTTIME`), from any origin.
    fn now(&self) -> Duration;

    /// Wall clock, milliseconds since 1970.
    fn wall_ms(&self) -> i64;

    /// Waits at most `wait` for the next event, and gives it to `on`. At most one event a call;
    /// `false` if there was none. `on` may call every other method of this trait but `poll`.
    fn poll(&self, wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool;

    /// Gives the keys of the records that came together and that the next polls give, by partition, if they were not
    /// given before: what is known of them can be fetched from memory side by side.
    fn ahead(&self, _on: &mut dyn FnMut(i32, &mut Keys<'_>)) {}

    /// Begins to fetch partition `partition` of every source, at one offset per source.
    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error>;

    /// Stops fetching partition `partition` of every source. Events of it that are already on
    /// their way may still come, until the next `assign` of it. Not assigned: nothing happens.
    fn unassign(&self, partition: i32) -> Result<(), Error>;

    /// Answers [`Event::Revoked`]: this member no longer holds the partitions, which were unassigned.
    fn released(&self, partitions: &[i32]) -> Result<(), Error>;

    /// Commits positions (the next offset to read) to the group, and waits for the broker's answer.
    /// `metadata` is stored beside each.
    fn commit(&self, positions: &[Position], metadata: &str) -> Result<(), CommitError>;

    /// Begins a [`Kafka::commit`] and does not wait: while the group rebalances, the answer takes as long
    /// as its slowest member. At most one is on its way; that of an earlier one is forgotten, also by
    /// [`Kafka::commit`], and its positions may be taken or not.
    fn begin_commit(&self, positions: &[Position], metadata: &str);

    /// How the commit that was begun last came out; `None` while it has not, and after it was told.
    fn commit_outcome(&self) -> Option<Result<(), CommitError>>;

    /// What the group has committed for `partition`, one entry per source. Exactly-once: an error
    /// while a transaction that holds positions of it is not decided, see [`is_unstable`].
    fn committed(&self, partition: i32) -> Result<Vec<Option<Committed>>, Error>;

    /// First offset and end (the next one to be written) of `partition` of a source.
    fn bounds(&self, source: usize, partition: i32) -> Result<(i64, i64), Error>;

    /// Partitions of a topic that is produced to (an index into the list of targets).
    fn partitions(&self, target: usize) -> i32;

    /// The largest record that `send` takes, bytes, as [`wire_size`](crate::base::record::wire_size) counts.
    fn record_max(&self) -> usize;

    /// Hands a record to the producer. `Err(Full)`: nothing was taken; `serve` and try again.
    /// Records of one target and partition are written in the order in which they were sent.
    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError>;

    /// Waits at most `wait` for delivery reports, and gives all there are to `on`. Every record
    /// that `send` took is reported exactly once.
    fn serve(&self, wait: Duration, on: &mut dyn FnMut(Report));

    /// Records that were sent and are not reported yet.
    fn in_flight(&self) -> usize;

    /// Drops what the producer still holds, as failed deliveries, reported by `serve`.
    fn purge(&self);

    /// Exactly-once: the transaction ends here. What is sent from now on belongs to the next one, and
    /// stays here until this one is committed.
    fn end_transaction(&self);

    /// Exactly-once: begins to commit what was sent before [`Kafka::end_transaction`], all of which is
    /// reported, together with positions. [`Kafka::transaction`] tells how that comes out.
    fn commit_transaction(&self, positions: &[Position], metadata: &str);

    /// Exactly-once: begins to give up everything that is not committed, on both sides of the end;
    /// what is not reported yet is reported as failed. A commit that is on its way may still take
    /// place.
    fn abort_transaction(&self);

    /// Exactly-once: how the commit or abort that was begun last came out; `None` while it has not, and
    /// after it was told. A commit that failed may have taken place all the same, and is to be
    /// aborted. After an abort, and a commit that succeeded, the next transaction takes records. An
    /// abort fails only where there can never be another transaction.
    fn transaction(&self) -> Option<Result<(), Error>>;

    /// Exactly-once: whether so much waits for the next transaction that nothing should be handled
    /// before it begins.
    fn is_full(&self) -> bool;

    /// The end of a partition of the group table's topic with what is not committed;
    /// [`Reader::bounds`] tells up to where everything is decided.
    fn table_end(&self, partition: i32) -> Result<i64, Error>;

    /// Exactly-once: begins to end the transaction of whoever committed `partition` last, unless it
    /// is this worker. Only for one that stands in the way: a living owner would have to begin anew.
    fn fence(&self, partition: i32);

    /// The reader of the group table's topic; `None` for a group without a table.
    fn table(&self) -> Option<&dyn Reader>;

    /// The commit protocol got to a step. A simulation crashes here, and so does a process that was
    /// told to (see `crash.rs`); brokers ignore it.
    fn reached(&self, step: Step) -> Result<(), Error> {
        crash::pass(step);
        Ok(())
    }

    /// Leaves the group. After it nothing else is called. What is still queued is dropped.
    fn close(&self);
}

/// Reads one topic without joining a group: table topics, into local copies.
pub(crate) trait Reader {
    /// Begins to read `partition` at an offset. `from` below the topic's start gives
    /// [`TableEvent::OutOfRange`].
    fn start(&self, partition: i32, from: i64) -> Result<(), Error>;

    /// Stops reading it; no event of it comes after this call. Not started: nothing happens.
    fn stop(&self, partition: i32) -> Result<(), Error>;

    /// Waits at most `wait` for the next event. At most one a call; `false` if there was none.
    fn poll(&self, wait: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool;

    /// First offset and end of a partition.
    fn bounds(&self, partition: i32) -> Result<(i64, i64), Error>;

    /// Of a partition that is read: the next offset to be read, behind markers that were passed, and
    /// the end as last heard, without asking. `None`: it is not known.
    fn progress(&self, _partition: i32) -> Option<(i64, i64)> {
        None
    }

    /// The broker's id of the topic, which another one of its name does not have. `None`: it is not known.
    fn topic_id(&self) -> Option<String> {
        None
    }
}

/// Keys of records, one after the other.
pub(crate) type Keys<'k> = dyn Iterator<Item = &'k [u8]> + 'k;

/// What [`Kafka::poll`] gives.
pub(crate) enum Event<'a> {
    Record(Record<'a>),
    /// These partitions, maybe none, are ours from now on. Nothing is fetched before [`Kafka::assign`].
    Assigned(Vec<i32>),
    /// These are to be given back: finish, commit, [`Kafka::unassign`], then [`Kafka::released`].
    /// `lost`: somebody else may own them already, so a commit would be refused.
    Revoked {
        partitions: Vec<i32>,
        lost: bool,
    },
    /// The broker says that the offset asked for is not in the log (fell off retention, or the topic was
    /// recreated); [`Kafka::bounds`] tells for sure.
    OutOfRange {
        source: usize,
        partition: i32,
    },
    /// The connection is beyond repair (fenced, not authorized, fatal error).
    Failed(Error),
}

/// What [`Reader::poll`] gives.
pub(crate) enum TableEvent<'a> {
    /// `edge` is 0.
    Record(Record<'a>),
    /// Everything that was there has been read.
    End {
        partition: i32,
    },
    OutOfRange {
        partition: i32,
    },
    Failed(Error),
}

/// A record to be produced. `tag` comes back in its [`Report`].
pub(crate) struct Outgoing<'a> {
    pub(crate) target: usize,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
    pub(crate) tag: u32,
}

/// What became of a record: its offset, or why it was not delivered.
pub(crate) struct Report {
    pub(crate) tag: u32,
    pub(crate) result: Result<i64, Undelivered>,
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undelivered {
    pub(crate) reason: Box<str>,
    /// Whether it may be delivered later: brokers are away, or it was given up with others.
    pub(crate) may_pass: bool,
}

#[derive(Debug)]
pub(crate) enum SendError {
    /// The producer's queue is full: back-pressure.
    Full,
    /// It will never be taken, for example larger than `message.max.bytes`.
    Refused(Error),
}

/// The next offset to read of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) source: usize,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

#[derive(Debug)]
pub(crate) enum CommitError {
    /// The group is rebalancing or the broker is away: keep the positions and commit again.
    Again(Error),
    /// This member is no longer in the group: what it holds belongs to others.
    NotMember(Error),
    /// A right is missing: that will not change by itself.
    Denied(Error),
}

/// Before the name of who committed, in the metadata of an offset. Under exactly-once that is its
/// transactional id.
pub(crate) const OURS: &str = "goka ";

/// Steps of the commit protocol, in order; see `engine/commit/`. Under exactly-once the group has
/// the positions before the local transaction is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A record's effects went to the producer.
    Handled,
    /// All delivery reports of the interval are in.
    Delivered,
    /// Exactly-once, on real brokers: the positions are in the transaction, which is not committed.
    OffsetsSent,
    /// Some rows of a large interval are in the local copy, which does not stand for them yet.
    Storing,
    /// The local transaction is committed.
    Stored,
    /// The group has the positions.
    Committed,
    /// A row of the table's topic was read, and is not in the local copy yet.
    Replayed,
    /// In the middle of a replay of the table's topic: rows are in the local copy.
    Replaying,
    /// What is given back is finished and closed; the revoke is not answered yet.
    Revoking,
    /// A revoke was answered.
    Released,
}

/// Why the group does not tell what is committed, where it has answered: something stands in the way.
#[derive(Debug)]
pub(crate) struct Unstable;

impl fmt::Display for Unstable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transaction that holds them is not decided")
    }
}

impl error::Error for Unstable {}

/// Whether [`Kafka::committed`] failed for that, and not for want of an answer.
pub(crate) fn is_unstable(error: &Error) -> bool {
    matches!(error, Error::Kafka { source, .. } if source.is::<Unstable>())
}
