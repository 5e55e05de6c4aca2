//! The coordinator of transactions: whose a transactional id is, and what becomes of its
//! transaction.
//!
//! As brokers do it: records and positions of a transaction are there at once, and undecided; when
//! it is decided, each partition and the group learn of it by a marker of its own, at a moment of its
//! own. Whoever initialises an id takes it over, and what it had begun is aborted. Must not know
//! what is behind a connection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use super::{positions::Positions, producer::Place};
use crate::base::error::Error;

/// All transactional ids, and what is asked of them.
#[derive(Default)]
pub(super) struct Coordinator {
    pub(super) ids: BTreeMap<Rc<str>, Id>,
    pub(super) jobs: Vec<Job>,
    pub(super) answers: BTreeMap<u64, VecDeque<(Duration, Answer)>>,
    /// Connections whose last transaction is in doubt: they need a new producer.
    pub(super) in_doubt: BTreeSet<u64>,
}

#[derive(Default)]
pub(super) struct Id {
    /// Who may write; the others are fenced.
    pub(super) producer: u64,
    /// Of that producer, transactions up to this one are over.
    pub(super) finished: u64,
    pub(super) open: Option<Transaction>,
}

pub(super) struct Transaction {
    /// In all logs.
    pub(super) name: u64,
    pub(super) times_out_at: Duration,
    pub(super) places: BTreeSet<Place>,
    pub(super) positions: Option<Positions>,
    /// Once it is: whether it is committed, and when which marker is written.
    pub(super) decided: Option<(bool, Vec<(Duration, Marker)>)>,
}

pub(super) enum Marker {
    In(Place),
    InGroup,
}

/// A request on its way.
pub(super) struct Job {
    pub(super) at: Duration,
    /// Whose it is.
    pub(super) connection: u64,
    pub(super) id: Rc<str>,
    pub(super) producer: u64,
    pub(super) number: u64,
    pub(super) wish: Wish,
}

pub(super) enum Wish {
    Commit(Positions),
    Abort,
    /// Somebody else's id is initialised.
    Fence,
}

/// With a new producer, if one took over.
pub(super) type Answer = Result<Option<u64>, Error>;

/// What becomes of a record of a transaction.
pub(super) enum Landing {
    At(i64),
    NotBefore(Duration),
    Never(&'static str),
}

impl Coordinator {
    /// A connection's requests are worked off one after another.
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

    /// Its process is gone: a request may be on its way all the same.
    pub(super) fn forget(&mut self, connection: u64, is_lost: bool) {
        self.jobs
            .retain(|job| job.connection != connection || !is_lost);
        self.answers.remove(&connection);
    }

    /// When something will happen here next, after `now`.
    pub(super) fn next_at(&self, now: Duration, broker_is_back_at: Duration) -> Option<Duration> {
        let jobs = self.jobs.iter().map(|job| job.at);
        let open = self.ids.values().filter_map(|id| id.open.as_ref());
        let steps = open.flat_map(|transaction| match &transaction.decided {
            None => vec![transaction.times_out_at],
            Some((_, markers)) => markers.iter().map(|(at, _)| *at).collect(),
        });
        let answers = self.answers.values().flatten().map(|(at, _)| *at);
        // They wait for who has asked.
        let answers = answers.filter(|at| *at > now);
        let first = jobs.chain(steps).min().map(|at| at.max(broker_is_back_at));
        first.into_iter().chain(answers).min()
    }

    /// Whether a transaction holds positions of a partition that is not decided, or not known to be.
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
