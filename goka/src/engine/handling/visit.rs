//! The progress of a visit (the call of a visitor for every row): which rows of which partition come next. Keys are
//! read in chunks, so that memory is bounded. Must not know what a visitor does.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::oneshot;

use crate::{
    base::{error::Error, policy::OnError},
    engine::{partition::Partition, program::Visit, visits::Cancelled},
};

/// The number of keys that are read from the local copy at a time.
const KEYS_PER_CHUNK: usize = 256;

/// The visit that is under way, and where its result goes.
pub(crate) struct Visiting {
    pub(super) id: u64,
    pub(super) visit: Arc<dyn Visit>,
    pub(super) reply: oneshot::Sender<Result<u64, Cancelled>>,
    pub(super) walks: BTreeMap<i32, Walk>,
}

/// The progress of the visit in one partition.
pub(super) struct Walk {
    stage: Stage,
    /// How often the partition had dropped work when the keys in `ahead` were read. If this number has changed, the
    /// visit goes back.
    drops: u64,
    /// Keys that were read and are not visited yet.
    ahead: VecDeque<Vec<u8>>,
    /// The last key that was read from the local copy.
    at: Option<Vec<u8>>,
    /// Number of visited keys that are acknowledged.
    keys: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits until all rows are stored, because keys are read from the local copy.
    Starting,
    /// Visits rows.
    Walking,
    /// All rows are visited, but not all are acknowledged.
    Ending,
    Done,
}

impl Visiting {
    /// Whether `id` is the number of this visit.
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

impl Walk {
    pub(super) fn new() -> Self {
        Walk {
            stage: Stage::Starting,
            drops: 0,
            ahead: VecDeque::new(),
            at: None,
            keys: 0,
        }
    }

    /// Whether all rows are visited and acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether rows are being visited.
    pub(super) fn is_walking(&self) -> bool {
        self.stage == Stage::Walking
    }

    /// Number of visited keys that are acknowledged.
    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// The next key to visit, if a key can be visited now.
    pub(super) fn next(
        &mut self,
        partition: &mut Partition,
        id: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
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
            // Go back to the first row whose visit was dropped.
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
