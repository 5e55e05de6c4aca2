//! The offset commit in flight, and the membership lease: a commit that the group takes proves that this worker was a
//! member when it sent the commit. Must not know how offsets are sent.

use std::time::Duration;

use crate::{
    base::index::SourceIx,
    engine::{
        partition::{Partition, Partitions},
        port::Position,
    },
};

/// The state of a worker's offset commits.
pub(crate) struct Offsets {
    /// The membership lease. `None`: no lease is needed, because Kafka checks membership with each transaction.
    lease: Option<Duration>,
    /// When membership was last proven, by a commit that the group took.
    proven_at: Duration,
    /// When offsets were last sent.
    committed_at: Duration,
    /// The commit in flight.
    committing: Option<Sent>,
    /// How many commits the group has refused since it took one.
    refusals: u32,
}

/// The partitions whose offsets a commit contains.
pub(crate) struct Sent {
    began: Duration,
    partitions: Vec<i32>,
}

/// The group's answer to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The group has the offsets.
    Taken,
    /// Not now, for example because the group rebalances. The offsets are sent again with the next interval.
    Refused,
}

impl Offsets {
    pub(crate) fn new(lease: Option<Duration>, now: Duration) -> Self {
        Offsets {
            lease,
            proven_at: now,
            committed_at: now,
            committing: None,
            refusals: 0,
        }
    }

    /// Whether membership was proven within the lease. A worker that was stopped for longer may have lost its
    /// partitions.
    pub(crate) fn is_proven(&self, now: Duration) -> bool {
        self.lease
            .is_none_or(|lease| now.saturating_sub(self.proven_at) <= lease)
    }

    /// Whether `away` is more than this share of the lease.
    pub(crate) fn is_lease_spent(&self, away: Duration, share: u32) -> bool {
        self.lease.is_some_and(|lease| away > lease / share)
    }

    /// When offsets were last sent.
    pub(crate) fn committed_at(&self) -> Duration {
        self.committed_at
    }

    pub(crate) fn set_committed_at(&mut self, now: Duration) {
        self.committed_at = now;
    }

    /// When this worker last proved membership or sent offsets.
    pub(crate) fn silent_since(&self) -> Duration {
        self.proven_at.max(self.committed_at)
    }

    /// Treats the commit in flight as not made: its offsets are committed again.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        if let Some(sent) = self.end() {
            sent.mark_uncommitted(partitions);
        }
    }

    /// Whether a commit is in flight.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Records the commit that was sent as the one in flight.
    pub(crate) fn begin(&mut self, sent: Sent) {
        self.committing = Some(sent);
    }

    /// Removes the commit in flight, and returns it.
    pub(crate) fn end(&mut self) -> Option<Sent> {
        self.committing.take()
    }

    /// Records that a commit that was sent at `began` proved the membership.
    pub(crate) fn proven(&mut self, began: Duration) {
        self.proven_at = self.proven_at.max(began);
    }

    /// Records that the group accepted a commit that was sent at `began`.
    pub(crate) fn taken(&mut self, began: Duration) {
        self.proven(began);
        self.refusals = 0;
    }

    /// Counts a refused commit, and returns how many there were since the last one that was accepted.
    pub(crate) fn refused(&mut self) -> u32 {
        self.refusals += 1;
        self.refusals
    }
}

impl Sent {
    /// Collects the acknowledged positions of the running partitions that `which` picks, for a commit that is sent now.
    /// They count as committed.
    pub(crate) fn collect(
        partitions: &mut Partitions,
        now: Duration,
        which: impl Fn(i32, &Partition) -> bool,
    ) -> (Vec<Position>, Self) {
        let (mut positions, mut numbers) = (Vec::new(), Vec::new());
        for (number, partition) in partitions.iter_mut() {
            if partition.is_running() && which(number, partition) {
                let intervals = partition.intervals_mut();
                positions.extend(positions_of(number, intervals.acknowledged()));
                intervals.offered(now);
                numbers.push(number);
            }
        }
        let sent = Sent {
            began: now,
            partitions: numbers,
        };
        (positions, sent)
    }

    /// When the commit was sent.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// The offsets count as not committed again.
    pub(crate) fn mark_uncommitted(&self, partitions: &mut Partitions) {
        for &number in &self.partitions {
            if let Some(partition) = partitions.running_mut(number) {
                partition.intervals_mut().not_taken();
            }
        }
    }
}

/// The positions of a partition to commit, one per source.
pub(crate) fn positions_of(partition: i32, offsets: &[i64]) -> impl Iterator<Item = Position> {
    let offsets = offsets.iter().enumerate();
    offsets.map(move |(source, &offset)| Position {
        source: SourceIx::new(source),
        partition,
        offset,
    })
}
