//! Visits: a visitor is called for every row of the partitions that are here, between records, within the commit protocol.
//! Rows are read in chunks, so that memory is bounded.
//!
//! How far a visit has come in a partition belongs to the partition's commit intervals: a dropped interval is visited again,
//! an acknowledged one is not. Must not know what a visitor does.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::Handling;
use crate::{
    base::{error::Error, policy::OnError},
    engine::{
        env::Env,
        partition::{
            Partition, Partitions,
            origin::{By, Origin},
        },
        program::Visit,
        visits::{Asked, Cancelled},
    },
};

/// Keys read from the local copy at a time.
const KEYS_PER_CHUNK: usize = 256;

/// The visit that a worker is at.
pub(crate) struct Visiting {
    id: u64,
    visit: Arc<dyn Visit>,
    reply: oneshot::Sender<Result<u64, Cancelled>>,
    walks: BTreeMap<i32, Walk>,
}

/// A row that is to be visited.
pub(crate) struct RowVisit {
    pub(crate) visit: Arc<dyn Visit>,
    pub(crate) origin: Origin,
    pub(crate) key: Vec<u8>,
}

/// The visit of one partition.
struct Walk {
    stage: Stage,
    /// The partition's count of drops when the keys ahead were read.
    drops: u64,
    ahead: VecDeque<Vec<u8>>,
    /// The last key that was read.
    at: Option<Vec<u8>>,
    /// How many keys are visited and acknowledged.
    keys: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for rows that are not stored yet: they would not be found.
    Starting,
    Walking,
    /// All rows are visited, and not all acknowledged.
    Ending,
    Done,
}

impl Visiting {
    /// Whether it is the visit of this number.
    pub(super) fn is(&self, id: u64) -> bool {
        self.id == id
    }

    pub(super) fn visit(&self) -> Arc<dyn Visit> {
        self.visit.clone()
    }

    /// The policy for rows that the visitor cannot handle.
    pub(super) fn on_error(&self) -> OnError {
        self.visit.on_error()
    }

    /// The visitor's name.
    pub(super) fn name(&self) -> &'static str {
        self.visit.name()
    }
}

impl Handling {
    /// The partitions of the visit that is under way, after beginning the next one that was asked for.
    pub(crate) fn begin_visit(&mut self, env: &Env<'_>, partitions: &Partitions) -> Vec<i32> {
        if self.visiting.is_none()
            && let Some(Asked { visit, reply }) = env.spec.visits.next()
        {
            self.visits_begun += 1;
            let walks = partitions.iter().map(|(number, _)| (number, Walk::new()));
            self.visiting = Some(Visiting {
                id: self.visits_begun,
                visit,
                reply,
                walks: walks.collect(),
            });
        }
        let walks = self
            .visiting
            .iter()
            .flat_map(|visiting| visiting.walks.keys());
        walks.copied().collect()
    }

    /// The next row of a partition, if one can be visited now.
    pub(crate) fn next_row(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Option<RowVisit>, Error> {
        let Some(visiting) = &mut self.visiting else {
            return Ok(None);
        };
        let (id, visit) = (visiting.id, visiting.visit.clone());
        let Some(walk) = visiting.walks.get_mut(&number) else {
            return Ok(None);
        };
        let Some(partition) = partitions.get_mut(number) else {
            if walk.stage != Stage::Done {
                self.end_visit(Some(number));
            }
            return Ok(None);
        };
        let Some(key) = walk.next(partition, id)? else {
            if walk.stage == Stage::Walking && !partition.intervals().visited().is_of(id) {
                self.end_visit(Some(number));
            }
            return Ok(None);
        };
        let origin = Origin {
            partition: number,
            by: By::Visit(id),
            offset: -1,
            timestamp: env.kafka.wall_ms(),
            attempts: 0,
        };
        Ok(Some(RowVisit { visit, origin, key }))
    }

    /// Ends the visit if it is through, or if nobody waits for it any more.
    pub(crate) fn end_visit_if_done(&mut self) {
        let Some(visiting) = &self.visiting else {
            return;
        };
        if visiting.reply.is_closed() {
            // The caller has given up.
            self.visiting = None;
        } else if visiting.walks.values().all(|w| w.stage == Stage::Done) {
            self.end_visit(None);
        }
    }

    /// A commit failed that may have taken place. The group can tell what it holds of the inputs, but nothing tells how far
    /// a visit came, and rows must not be visited twice: a visit with rows in it ends.
    pub(crate) fn doubt_visit(&mut self, partitions: &Partitions) {
        let Some(Visiting { id, .. }) = self.visiting else {
            return;
        };
        if let Some(number) = partitions.next(0, |p| p.intervals().is_visit_closing(id)) {
            self.end_visit(Some(number));
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
            let is_stored = partition.is_stored();
            let intervals = partition.intervals_mut();
            intervals.begin_visit(id, is_stored);
            if !intervals.visited_acknowledged().is_of(id) || !is_stored {
                return Ok(None);
            }
            (self.stage, self.drops) = (Stage::Walking, partition.drops());
        }
        let intervals = partition.intervals();
        if self.stage == Stage::Done || !intervals.visited().is_of(id) {
            return Ok(None);
        }
        self.keys = intervals.visited_acknowledged().keys();
        if self.drops != partition.drops() {
            // What was dropped is visited again.
            (self.stage, self.drops) = (Stage::Walking, partition.drops());
            self.ahead.clear();
            self.at = intervals.visited().last().cloned();
        }
        while self.stage == Stage::Walking && !partition.queue().is_stuck() {
            if let Some(key) = self.ahead.pop_front() {
                if partition.rows().read(&key, |row| row.is_some())? {
                    return Ok(Some(key));
                }
                continue;
            }
            self.read_ahead(partition)?;
            if self.ahead.is_empty() {
                if !partition.deferrals().is_empty() {
                    return Ok(None);
                }
                self.stage = Stage::Ending;
            }
        }
        let intervals = partition.intervals();
        if self.stage == Stage::Ending && intervals.visited_acknowledged() == intervals.visited() {
            self.stage = Stage::Done;
        }
        Ok(None)
    }

    fn read_ahead(&mut self, partition: &Partition) -> Result<(), Error> {
        let ahead = &mut self.ahead;
        partition
            .rows()
            .stored_keys(self.at.as_deref(), &mut |key| {
                ahead.push_back(key.to_vec());
                ahead.len() < KEYS_PER_CHUNK
            })?;
        if let Some(last) = self.ahead.back() {
            self.at = Some(last.clone());
        }
        Ok(())
    }
}
