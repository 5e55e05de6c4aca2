//! The offset commit in flight, and the membership lease: a commit that the group takes proves that this worker was a
//! member when it sent the commit. Also what a commit of a partition contains. Must not know how offsets are sent.

use std::{sync::Arc, time::Duration};

use crate::{
    base::index::SourceIx,
    engine::{
        cut::Cut,
        env::Env,
        partition::{Partition, Partitions},
        port::{Log, Position, fault::Fault},
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

/// A commit that was sent: when, and for which partitions, each with the number of changes that its positions contain.
pub(crate) struct Sent {
    began: Duration,
    partitions: Vec<(i32, u64)>,
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

    /// Treats the commit in flight, if there is one, as not made: its offsets will be committed again. The group may
    /// take the forgotten commit later, even after the next one. The committed offsets then go back, and a local copy
    /// that is beyond them is rebuilt.
    pub(crate) fn forget(&mut self, partitions: &mut Partitions) {
        if let Some(sent) = self.end() {
            sent.not_taken(partitions);
        }
    }

    /// When the commit in flight was sent. `None`: no commit is in flight.
    pub(crate) fn in_flight_since(&self) -> Option<Duration> {
        self.committing.as_ref().map(|sent| sent.began)
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
    /// now. From then on, these positions count as offered. `is_last`: the partitions are given back after the commit.
    pub(crate) fn collect(
        env: &Env<'_>,
        partitions: &mut Partitions,
        is_last: bool,
        which: impl Fn(i32, &Partition) -> bool,
    ) -> (Vec<Position>, Self) {
        let began = env.kafka.now();
        let (mut positions, mut sent) = (Vec::new(), Vec::new());
        for (number, partition) in partitions.iter_mut() {
            if partition.is_running() && which(number, partition) {
                let is_clean = is_last && partition.intervals().is_empty();
                let changelog = partition.copy().changelog();
                let inputs = partition.intervals().acknowledged();
                positions.extend(positions_of(env, number, inputs, (changelog, is_clean)));
                sent.push((number, partition.intervals_mut().offered(began)));
            }
        }
        let sent = Sent {
            began,
            partitions: sent,
        };
        (positions, sent)
    }

    /// When the commit was sent.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// The partitions of this commit.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i32> {
        self.partitions.iter().map(|(number, _)| *number)
    }

    /// Notes that the group has taken the offsets of this commit.
    pub(crate) fn taken(&self, partitions: &mut Partitions) {
        for &(number, changes) in &self.partitions {
            if let Some(partition) = partitions.running_mut(number) {
                partition.intervals_mut().taken(changes);
            }
        }
    }

    /// Notes that the group has not taken the offsets of this commit, which are therefore still to be committed.
    pub(crate) fn not_taken(&self, partitions: &mut Partitions) {
        for &(number, changes) in &self.partitions {
            if let Some(partition) = partitions.running_mut(number) {
                partition.intervals_mut().not_taken(changes);
            }
        }
    }
}

/// The positions to commit for a partition: the offset of each source and, for a group with a table, the changelog
/// offset behind the last row that belongs to these offsets. `is_clean`: the partition is given back with nothing in
/// flight.
pub(crate) fn positions_of(
    env: &Env<'_>,
    partition: i32,
    inputs: &[i64],
    (changelog, is_clean): (i64, bool),
) -> Vec<Position> {
    let offsets = inputs.iter().enumerate();
    let of_source = |(source, &offset): (usize, &i64)| Position {
        log: Log::Source(SourceIx::new(source)),
        partition,
        offset,
        metadata: env.spec.settings.instance.clone(),
    };
    let mut positions: Vec<Position> = offsets.map(of_source).collect();
    if env.edges.table().is_some() {
        let cut = Cut {
            changelog,
            guarantee: env.spec.settings.guarantee,
            is_clean,
            at_ms: env.kafka.wall_ms(),
        };
        positions.push(Position {
            log: Log::Changelog,
            partition,
            offset: changelog,
            metadata: cut.metadata(env.edges.names().zip(inputs.iter().copied())),
        });
    }
    positions
}

/// The claim of a partition.
pub(crate) struct Claim<'a> {
    pub(crate) partition: i32,
    /// The positions at which the partition resumes, one per source.
    pub(crate) inputs: &'a [i64],
    /// The changelog offset behind the rows that belong to these positions.
    pub(crate) changelog: i64,
    /// The previous owners of the partition, whose records may still arrive.
    pub(crate) previous: Vec<String>,
}

impl Claim<'_> {
    /// The positions to commit.
    pub(super) fn positions(&self, env: &Env<'_>) -> Vec<Position> {
        let is_clean = env.spec.settings.fault.is(Fault::ClaimKeepsClean);
        let changelog = (self.changelog, is_clean);
        let mut positions = positions_of(env, self.partition, self.inputs, changelog);
        if !self.previous.is_empty() {
            let names = format!("{} {}", env.spec.settings.instance, self.previous.join(" "));
            let names: Arc<str> = names.into();
            for position in &mut positions {
                if position.log != Log::Changelog {
                    position.metadata = names.clone();
                }
            }
        }
        positions
    }
}
