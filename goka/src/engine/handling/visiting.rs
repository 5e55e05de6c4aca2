//! Visits: a visitor is called for every row of the partitions that are here, between records,
//! within the commit protocol. Rows are read in chunks, so that memory is bounded.
//!
//! How far a visit has come in a partition belongs to the partition's commit intervals
//! ([`Visited`]): what is dropped with an interval is visited again, and what is settled is not.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::{
    base::{
        error::Error,
        policy::OnError,
        record::{Headers, Record},
    },
    engine::{
        partition::{By, Origin, Partition, Visited},
        port::Kafka,
        program::Visit,
        worker::Core,
    },
};

/// Keys read from the local copy at a time.
const KEYS_PER_CHUNK: usize = 256;
/// Keys of a partition visited in one turn, so that records get their turn too.
const KEYS_PER_TURN: usize = 64;

/// Visits that a worker is asked for, from any thread.
pub(crate) struct Visits {
    /// Whether there are some: looked at in every turn.
    some: AtomicBool,
    /// `None`: the worker has ended.
    queue: Mutex<Option<VecDeque<Asked>>>,
}

impl Default for Visits {
    fn default() -> Self {
        Visits {
            some: AtomicBool::new(false),
            queue: Mutex::new(Some(VecDeque::new())),
        }
    }
}

struct Asked {
    visit: Arc<dyn Visit>,
    reply: oneshot::Sender<Result<u64, Cancelled>>,
}

/// A partition went elsewhere before its rows were visited, or nobody knows which of them were.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) partition: i32,
    /// How many keys were visited, and committed.
    pub(crate) keys: u64,
}

/// The visit that a worker is at.
pub(crate) struct Visiting {
    id: u64,
    visit: Arc<dyn Visit>,
    reply: oneshot::Sender<Result<u64, Cancelled>>,
    walks: BTreeMap<i32, Walk>,
}

/// The visit of one partition.
struct Walk {
    stage: Stage,
    /// Of the partition, when the keys ahead were read.
    drops: u64,
    ahead: VecDeque<Vec<u8>>,
    /// The last key that was read.
    at: Option<Vec<u8>>,
    /// How many keys are visited and settled.
    keys: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Rows that are not stored yet would not be found: they are waited for.
    Starting,
    Walking,
    /// The rows are through, and not all settled.
    Ending,
    Done,
}

impl Visits {
    /// The answer is the number of keys that were visited. Dropped without an answer: the worker
    /// has ended.
    pub(crate) fn ask(&self, visit: Arc<dyn Visit>) -> oneshot::Receiver<Result<u64, Cancelled>> {
        let (reply, answer) = oneshot::channel();
        if let Some(queue) = &mut *self.lock() {
            queue.push_back(Asked { visit, reply });
            self.some.store(true, Ordering::Release);
        }
        answer
    }

    /// The worker has ended, and answers nothing any more.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn next(&self) -> Option<Asked> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let mut queue = self.lock();
        let queue = queue.as_mut()?;
        let next = queue.pop_front();
        self.some.store(!queue.is_empty(), Ordering::Release);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Asked>>> {
        // Nothing is left half done under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Goes on with the visit that was asked for; whether there is more to do at once.
    pub(crate) fn visit(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        if self.visiting.is_none() {
            let Some(Asked { visit, reply }) = self.spec.visits.next() else {
                return Ok(false);
            };
            self.visits_begun += 1;
            let walks = self.partitions.keys().map(|&number| (number, Walk::new()));
            self.visiting = Some(Visiting {
                id: self.visits_begun,
                visit,
                reply,
                walks: walks.collect(),
            });
        }
        let Some(visiting) = &self.visiting else {
            return Ok(false);
        };
        let numbers: Vec<i32> = visiting.walks.keys().copied().collect();
        let mut more = false;
        for number in numbers {
            more |= self.visit_some(kafka, number, KEYS_PER_TURN)?;
        }
        if let Some(visiting) = &self.visiting {
            // Nobody waits for it any more: the caller has given up.
            if visiting.reply.is_closed() {
                self.visiting = None;
            } else if visiting
                .walks
                .values()
                .all(|walk| walk.stage == Stage::Done)
            {
                self.end_visit(None);
            }
        }
        Ok(more)
    }

    /// A commit failed that may have taken place. What it holds of the inputs the group can tell; how far a
    /// visit came it cannot, and rows must not be visited twice.
    pub(crate) fn doubt_visit(&mut self) {
        let Some(Visiting { id, .. }) = self.visiting else {
            return;
        };
        let is_in_doubt = |partition: &&Partition| {
            let closing = partition.closing.as_ref();
            let visited = closing.map(|closing| &closing.visited);
            visited
                .is_some_and(|visited| visited.visit == id && *visited != partition.visited_settled)
        };
        if let Some(partition) = self.partitions.values().find(is_in_doubt) {
            self.end_visit(Some(partition.number));
        }
    }

    fn end_visit(&mut self, lost: Option<i32>) {
        if let Some(Visiting { reply, walks, .. }) = self.visiting.take() {
            let keys = walks.values().map(|walk| walk.keys).sum();
            let answer = match lost {
                None => Ok(keys),
                Some(partition) => Err(Cancelled { partition, keys }),
            };
            // The caller may have given up.
            let _ = reply.send(answer);
        }
    }

    /// Visits at most `max` rows of a partition; whether there is more to do at once.
    pub(crate) fn visit_some(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        max: usize,
    ) -> Result<bool, Error> {
        for _ in 0..max {
            let (Some(visiting), Some(edge)) = (&mut self.visiting, self.table_edge) else {
                return Ok(false);
            };
            let (id, visit) = (visiting.id, visiting.visit.clone());
            let Some(walk) = visiting.walks.get_mut(&number) else {
                return Ok(false);
            };
            let Some(partition) = self.partitions.get_mut(&number) else {
                if walk.stage != Stage::Done {
                    self.end_visit(Some(number));
                }
                return Ok(false);
            };
            let Some(key) = walk.next(partition, id)? else {
                if walk.stage == Stage::Walking && partition.visited.visit != id {
                    self.end_visit(Some(number));
                }
                return Ok(false);
            };
            let timestamp = kafka.wall_ms();
            let (by, offset) = (By::Visit(id), -1);
            let origin = Origin {
                partition: number,
                by,
                offset,
                timestamp,
                attempts: 0,
            };
            let record = Record {
                edge,
                partition: number,
                offset,
                timestamp,
                key: Some(&key),
                value: None,
                headers: Headers::default(),
            };
            self.call(kafka, origin, record, Some(&*visit))?;
        }
        Ok(true)
    }
}

impl Visiting {
    /// Whether it is the visit of this number.
    pub(crate) fn is(&self, id: u64) -> bool {
        self.id == id
    }

    pub(crate) fn visit(&self) -> Arc<dyn Visit> {
        self.visit.clone()
    }

    /// What is done about rows that the visitor cannot handle.
    pub(crate) fn on_error(&self) -> OnError {
        self.visit.on_error()
    }

    /// Of the visitor.
    pub(crate) fn name(&self) -> &'static str {
        self.visit.name()
    }
}

impl Walk {
    fn new() -> Self {
        Walk {
            stage: Stage::Starting,
            drops: 0,
            ahead: VecDeque::new(),
            at: None,
            keys: 0,
        }
    }

    /// The next key, if one can be visited now.
    fn next(&mut self, partition: &mut Partition, id: u64) -> Result<Option<Vec<u8>>, Error> {
        if !partition.is_running() {
            return Ok(None);
        }
        if self.stage == Stage::Starting {
            let is_stored = !partition.unstored;
            let nothing_open = partition.open.records == 0 && partition.closing.is_none();
            if partition.visited.visit != id {
                partition.visited = Visited {
                    visit: id,
                    ..Visited::default()
                };
            }
            if is_stored && nothing_open {
                partition.visited_settled.clone_from(&partition.visited);
            }
            if partition.visited_settled.visit != id || !is_stored {
                return Ok(None);
            }
            (self.stage, self.drops) = (Stage::Walking, partition.drops);
        }
        if self.stage == Stage::Done || partition.visited.visit != id {
            return Ok(None);
        }
        self.keys = partition.visited_settled.keys;
        if self.drops != partition.drops {
            // What was dropped is visited again.
            (self.stage, self.drops) = (Stage::Walking, partition.drops);
            self.ahead.clear();
            self.at.clone_from(&partition.visited.key);
        }
        while self.stage == Stage::Walking && !partition.is_stuck() {
            if let Some(key) = self.ahead.pop_front() {
                if partition.rows.read(&key, |row| row.is_some())? {
                    return Ok(Some(key));
                }
                continue;
            }
            self.read_ahead(partition)?;
            if self.ahead.is_empty() {
                if !partition.deferrals.is_empty() {
                    return Ok(None);
                }
                self.stage = Stage::Ending;
            }
        }
        if self.stage == Stage::Ending && partition.visited_settled == partition.visited {
            self.stage = Stage::Done;
        }
        Ok(None)
    }

    fn read_ahead(&mut self, partition: &Partition) -> Result<(), Error> {
        let ahead = &mut self.ahead;
        partition.rows.stored_keys(self.at.as_deref(), &mut |key| {
            ahead.push_back(key.to_vec());
            ahead.len() < KEYS_PER_CHUNK
        })?;
        if let Some(last) = self.ahead.back() {
            self.at = Some(last.clone());
        }
        Ok(())
    }
}
