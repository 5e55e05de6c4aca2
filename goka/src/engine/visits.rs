//! The queue of visits that other threads request of a worker. Must not know how rows are visited.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::engine::program::Visit;

/// The queue of visits for one worker.
pub(crate) struct Visits {
    /// Whether the queue is not empty. The worker reads it in every turn.
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

/// A requested visit, and where its result goes.
pub(crate) struct Asked {
    pub(crate) visit: Arc<dyn Visit>,
    pub(crate) reply: oneshot::Sender<Result<u64, Cancelled>>,
}

/// Why a visit did not finish: a partition went to another worker before all of its rows were visited, or it is not
/// known which rows were visited.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) partition: i32,
    /// How many visited keys were committed.
    pub(crate) keys: u64,
}

impl Visits {
    /// Requests a visit. The result is the number of visited keys. If the worker ends first, the sender is dropped
    /// without a result.
    pub(crate) fn ask(&self, visit: Arc<dyn Visit>) -> oneshot::Receiver<Result<u64, Cancelled>> {
        let (reply, answer) = oneshot::channel();
        if let Some(queue) = &mut *self.lock() {
            queue.push_back(Asked { visit, reply });
            self.some.store(true, Ordering::Release);
        }
        answer
    }

    /// Drops the requested visits, and refuses later ones. Called when the worker ends.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    /// The next requested visit.
    pub(crate) fn next(&self) -> Option<Asked> {
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
        // No change under this lock can be left half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
