//! Visits of the engine's worker in a simulation: this file requests visits, and records those that complete. Must not
//! know what is expected of them.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tokio::sync::oneshot;

use super::Visited;
use crate::{
    base::{
        index::EdgeIx,
        policy::OnError,
        record::{Meta, OwnedRecord, Record},
    },
    engine::{
        effects::Effects,
        program::{Failure, Reads, SharedReads, Visit, Waiting},
        visits::{Cancelled, Visits},
        worker::Worker,
    },
};

/// The index of the edge that visitors write to.
const TARGET: EdgeIx = EdgeIx::new(4);

/// The completed visits of all workers.
pub(super) type Answered = Rc<RefCell<Vec<Visited>>>;

/// The visits of one worker. At most one visit is in progress.
pub(super) struct Visiting {
    /// The name of the process, which is a part of the marks of its visits.
    pub(super) name: String,
    pub(super) visits: Arc<Visits>,
    pub(super) answered: Answered,
    pub(super) asked: Option<Asked>,
    pub(super) begun: u64,
}

pub(super) struct Asked {
    visited: Visited,
    is_new: bool,
    answer: oneshot::Receiver<Result<u64, Cancelled>>,
}

impl Visiting {
    pub(super) fn ask(&mut self, moment: u64) {
        if self.asked.is_some() {
            return;
        }
        self.begun += 1;
        let mark = format!("{} of {}", self.begun, self.name);
        let answer = self.visits.ask(Arc::new(Marks(mark.clone())));
        let visited = Visited {
            mark,
            moment,
            partitions: Vec::new(),
            keys: 0,
        };
        self.asked = Some(Asked {
            visited,
            is_new: true,
            answer,
        });
    }

    /// Called before each turn. When a visit begins, notes the partitions that the worker has at that moment.
    pub(super) fn before(&mut self, worker: &Worker) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.is_new) {
            asked.is_new = false;
            asked.visited.partitions = worker.partitions().numbers();
        }
    }

    pub(super) fn after(&mut self) {
        let Some(asked) = &mut self.asked else { return };
        match asked.answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {}
            Ok(Ok(keys)) => {
                let visited = asked.visited.clone();
                self.answered.borrow_mut().push(Visited { keys, ..visited });
                self.asked = None;
            }
            Ok(Err(_)) | Err(_) => self.asked = None,
        }
    }
}

/// A visitor that writes a record with its mark for every row.
struct Marks(String);

impl Visit for Marks {
    fn name(&self) -> &'static str {
        "mark"
    }

    fn waits(&self) -> bool {
        false
    }

    fn on_error(&self) -> OnError {
        OnError::FAIL
    }

    fn visit(
        &self,
        record: Record<'_>,
        effects: &mut Effects,
        _: Reads<'_>,
    ) -> Result<(), Failure> {
        let mut write = |bytes: &[u8]| {
            effects.encode(|buffer| {
                buffer.extend_from_slice(bytes);
                Ok::<(), Failure>(())
            })
        };
        let (key, mark) = (
            write(record.key.unwrap_or_default())?,
            write(self.0.as_bytes())?,
        );
        let meta = Meta::new().to_partition(record.partition);
        effects.emit(TARGET, Some(key), Some(mark), meta);
        Ok(())
    }

    fn visit_later(
        &self,
        record: Rc<OwnedRecord>,
        mut effects: Effects,
        reads: SharedReads,
    ) -> Waiting {
        let outcome = self.visit(record.as_record(), &mut effects, reads.as_reads());
        Box::pin(async move { (effects, outcome) })
    }
}
