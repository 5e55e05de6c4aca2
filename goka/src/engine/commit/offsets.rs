//! Offsets to the group, and the membership lease that a commit of them proves: whoever the group takes a commit from
//! was its member when the commit was sent. Must not know how offsets are sent.

use std::time::Duration;

use crate::engine::{
    partition::{Partition, Partitions},
    port::Position,
};

/// The offsets that a worker commits.
pub(crate) struct Offsets {
    /// For how long a proof of membership counts. `None`: Kafka asks for the proof itself, with each transaction.
    lease: Option<Duration>,
    /// When membership was last proven, by a commit that the group took.
    proven_at: Duration,
    /// When offsets were last sent.
    committed_at: Duration,
    /// What the group was sent and has not answered.
    committing: Option<Sent>,
    /// How often it refused since it took some.
    refusals: u32,
}

/// Offsets that were sent.
pub(crate) struct Sent {
    began: Duration,
    partitions: Vec<i32>,
}

/// The group's answer to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
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

    /// Whether membership was proven within the lease: a worker that was stopped for longer may not own its partitions
    /// any more.
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

    /// Since when the group heard nothing of this worker.
    pub(crate) fn silent_since(&self) -> Duration {
        self.proven_at.max(self.committed_at)
    }

    /// What is under way counts as not committed from here on.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        if let Some(sent) = self.end() {
            sent.mark_uncommitted(partitions);
        }
    }

    /// Whether a commit is under way.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// A commit of these offsets is under way.
    pub(crate) fn begin(&mut self, sent: Sent) {
        self.committing = Some(sent);
    }

    /// The commit that was under way is answered.
    pub(crate) fn end(&mut self) -> Option<Sent> {
        self.committing.take()
    }

    /// Membership was proven by what was sent then.
    pub(crate) fn proven(&mut self, began: Duration) {
        self.proven_at = self.proven_at.max(began);
    }

    /// The group took a commit that was sent then.
    pub(crate) fn taken(&mut self, began: Duration) {
        self.proven(began);
        self.refusals = 0;
    }

    /// The group refused a commit. The answer is how often it has, since it took one.
    pub(crate) fn refused(&mut self) -> u32 {
        self.refusals += 1;
        self.refusals
    }
}

impl Sent {
    /// Collects the acknowledged positions of the running partitions that `which` picks, to be sent now.
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
                intervals.set_uncommitted(false);
                numbers.push(number);
            }
        }
        let sent = Sent {
            began: now,
            partitions: numbers,
        };
        (positions, sent)
    }

    /// When they were sent.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// They count as not committed.
    pub(crate) fn mark_uncommitted(&self, partitions: &mut Partitions) {
        for &number in &self.partitions {
            if let Some(partition) = partitions.running_mut(number) {
                partition.intervals_mut().set_uncommitted(true);
            }
        }
    }
}

/// Positions as the group takes them, one per source.
pub(crate) fn positions_of(partition: i32, offsets: &[i64]) -> impl Iterator<Item = Position> {
    let offsets = offsets.iter().enumerate();
    offsets.map(move |(source, &offset)| Position {
        source,
        partition,
        offset,
    })
}
