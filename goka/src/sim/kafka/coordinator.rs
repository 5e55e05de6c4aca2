//! The transaction coordinator: the owner of each transactional id, and the state of its transaction.
//!
//! As on brokers, records and offsets of an open transaction are stored immediately, but are undecided. When the
//! transaction is decided, each partition and the group get their own markers, at different moments. A producer that
//! initializes a transactional id becomes its owner, and the open transaction of the id is aborted. Must not know what
//! is behind a connection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use super::{positions::Positions, producer::Place};
use crate::base::error::Error;

/// All transactional ids, and the requests and answers that are in flight.
#[derive(Default)]
pub(super) struct Coordinator {
    pub(super) ids: BTreeMap<Rc<str>, Id>,
    pub(super) jobs: Vec<Job>,
    pub(super) answers: BTreeMap<u64, VecDeque<(Duration, Answer)>>,
    /// Connections that do not know the outcome of their last transaction, and need a new producer.
    pub(super) in_doubt: BTreeSet<u64>,
}

#[derive(Default)]
pub(super) struct Id {
    /// The producer that owns the id and may write; all others are fenced.
    pub(super) producer: u64,
    /// The number of the last transaction of `producer` that is over.
    pub(super) finished: u64,
    pub(super) open: Option<Transaction>,
}

pub(super) struct Transaction {
    /// Identifies the transaction in the logs of all partitions.
    pub(super) name: u64,
    pub(super) times_out_at: Duration,
    pub(super) places: BTreeSet<Place>,
    pub(super) positions: Option<Positions>,
    /// `None` until the transaction is decided: whether it is committed, and the time at which each marker is written.
    pub(super) decided: Option<(bool, Vec<(Duration, Marker)>)>,
}

pub(super) enum Marker {
    In(Place),
    InGroup,
}

/// A request in flight to the coordinator.
pub(super) struct Job {
    pub(super) at: Duration,
    /// The connection that sent the request.
    pub(super) connection: u64,
    pub(super) id: Rc<str>,
    pub(super) producer: u64,
    pub(super) number: u64,
    pub(super) wish: Wish,
}

pub(super) enum Wish {
    Commit(Positions),
    Abort,
    /// Initializes the transactional id of another worker, which fences that worker.
    Fence,
}

/// The answer to a request; contains the id of the new producer if one took over.
pub(super) type Answer = Result<Option<u64>, Error>;

/// What happens to a transaction's record that reaches its partition.
pub(super) enum Landing {
    At(i64),
    NotBefore(Duration),
    Never(&'static str),
}

impl Coordinator {
    /// Sends a request. The requests of one connection are handled in order.
    pub(super) fn ask(&mut self, mut job: Job) {
        let before = self.jobs.iter().filter(|b| b.connection == job.connection);
        job.at = before.map(|before| before.at).fold(job.at, Duration::max);
        self.jobs.push(job);
    }

    pub(super) fn take_answer(&mut self, connection: u64, now: Duration) -> Option<Answer> {
        let answers = self.answers.get_mut(&connection)?;
        let (_, answer) = answers.pop_front_if(|(at, _)| *at <= now)?;
        Some(answer)
    }

    /// Forgets a connection whose process is gone. Its requests in flight still arrive, unless `is_lost`.
    pub(super) fn forget(&mut self, connection: u64, is_lost: bool) {
        self.jobs
            .retain(|job| job.connection != connection || !is_lost);
        self.answers.remove(&connection);
    }

    /// The time of the coordinator's next action after `now`.
    pub(super) fn next_at(&self, now: Duration, broker_is_back_at: Duration) -> Option<Duration> {
        let jobs = self.jobs.iter().map(|job| job.at);
        let open = self.ids.values().filter_map(|id| id.open.as_ref());
        let steps = open.flat_map(|transaction| match &transaction.decided {
            None => vec![transaction.times_out_at],
            Some((_, markers)) => markers.iter().map(|(at, _)| *at).collect(),
        });
        let answers = self.answers.values().flatten().map(|(at, _)| *at);
        // Answers that are already due are left out: they wait until their connection takes them.
        let answers = answers.filter(|at| *at > now);
        let first = jobs.chain(steps).min().map(|at| at.max(broker_is_back_at));
        first.into_iter().chain(answers).min()
    }

    /// Whether there is a transaction with offsets of this partition that is undecided, or whose marker the group
    /// lacks.
    pub(super) fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        let open = self.ids.values().filter_map(|id| id.open.as_ref());
        let positions = open.filter_map(|transaction| transaction.positions.as_ref());
        positions
            .filter(|positions| positions.group == group)
            .flat_map(|positions| &positions.entries)
            .any(|entry| *entry.topic == *topic && entry.partition == partition)
    }

    pub(super) fn open_transactions(&self) -> usize {
        self.ids.values().filter(|id| id.open.is_some()).count()
    }
}

impl Transaction {
    pub(super) fn is_decided(&self) -> bool {
        self.decided.is_some()
    }
}
