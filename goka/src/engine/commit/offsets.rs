//! The offset commit in flight, and the membership lease: a commit that the group takes proves that this worker was a
//! member when it sent the commit. Must not know how offsets are sent.

use std::{sync::Arc, time::Duration};

use crate::{
    base::index::SourceIx,
    engine::{
        partition::{Partition, Partitions},
        port::{Log, Position},
    },
};

/// The state of a worker's offset commits.
pub(crate) struct Offsets {
    /// The membership lease. `None`: no lease is needed, because Kafka checks membership with each transaction.
    lease: Option<Duration>,
    /// When membership was last proven, by a commit that the group took.
    proven_at: Duration,
    /// When the worker last sent offsets to the group.
    committed_at: Duration,
    /// The commit in flight.
    committing: Option<Sent>,
    /// The number of commits that the group has refused since the last commit that it took.
    refusals: u32,
}

/// A commit that was sent: when, and for which partitions.
pub(crate) struct Sent {
    began: Duration,
    partitions: Vec<i32>,
}

/// The group's answer to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The group has the offsets.
    Taken,
    /// The group does not take the offsets now, for example while the group rebalances. The offsets are sent again
    /// with the next interval.
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

    /// Whether membership was proven within the membership lease. A worker that was paused for longer than the lease
    /// may have lost its partitions.
    pub(crate) fn is_proven(&self, now: Duration) -> bool {
        self.lease
            .is_none_or(|lease| now.saturating_sub(self.proven_at) <= lease)
    }

    /// Whether `away` is longer than the membership lease divided by `share`. `false` if no lease is needed.
    pub(crate) fn is_lease_spent(&self, away: Duration, share: u32) -> bool {
        self.lease.is_some_and(|lease| away > lease / share)
    }

    /// When the worker last sent offsets to the group.
    pub(crate) fn committed_at(&self) -> Duration {
        self.committed_at
    }

    pub(crate) fn set_committed_at(&mut self, now: Duration) {
        self.committed_at = now;
    }

    /// When this worker last proved membership or last sent offsets, whichever is later.
    pub(crate) fn silent_since(&self) -> Duration {
        self.proven_at.max(self.committed_at)
    }

    /// Treats the commit in flight, if there is one, as not made: its offsets will be committed again.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        if let Some(sent) = self.end() {
            sent.mark_uncommitted(partitions);
        }
    }

    /// Whether a commit is in flight.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Makes `sent` the commit in flight.
    pub(crate) fn begin(&mut self, sent: Sent) {
        self.committing = Some(sent);
    }

    /// Removes the commit in flight, and returns it.
    pub(crate) fn end(&mut self) -> Option<Sent> {
        self.committing.take()
    }

    /// Notes that the worker was a member at `began`, when it sent a commit that the group took.
    pub(crate) fn proven(&mut self, began: Duration) {
        self.proven_at = self.proven_at.max(began);
    }

    /// Notes that the group took a commit that was sent at `began`: membership is proven, and the count of refusals
    /// begins again.
    pub(crate) fn taken(&mut self, began: Duration) {
        self.proven(began);
        self.refusals = 0;
    }

    /// Counts a refused commit. Returns the number of commits that the group has refused since the last commit that it
    /// took.
    pub(crate) fn refused(&mut self) -> u32 {
        self.refusals += 1;
        self.refusals
    }
}

impl Sent {
    /// Collects the acknowledged positions of the running partitions that `which` picks, for a commit that is sent
    /// now. From then on, these positions count as committed.
    pub(crate) fn collect(
        partitions: &mut Partitions,
        now: Duration,
        instance: &Arc<str>,
        which: impl Fn(i32, &Partition) -> bool,
    ) -> (Vec<Position>, Self) {
        let (mut positions, mut numbers) = (Vec::new(), Vec::new());
        for (number, partition) in partitions.iter_mut() {
            if partition.is_running() && which(number, partition) {
                let intervals = partition.intervals_mut();
                positions.extend(positions_of(number, intervals.acknowledged(), instance));
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

    /// Marks the offsets of this commit as not committed: they are still to be committed.
    pub(crate) fn mark_uncommitted(&self, partitions: &mut Partitions) {
        for &number in &self.partitions {
            if let Some(partition) = partitions.running_mut(number) {
                partition.intervals_mut().not_taken();
            }
        }
    }
}

/// The positions to commit for a partition, one per source.
pub(crate) fn positions_of(
    partition: i32,
    offsets: &[i64],
    instance: &Arc<str>,
) -> impl Iterator<Item = Position> {
    let offsets = offsets.iter().enumerate();
    offsets.map(move |(source, &offset)| Position {
        log: Log::Source(SourceIx::new(source)),
        partition,
        offset,
        metadata: instance.clone(),
    })
}
