//! The queue of visits that other threads request from a worker. A visit calls a visitor for every row of the worker's
//! partitions. Must not know how rows are visited.

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
    /// Whether the queue is not empty. The worker reads this flag in every turn, without the lock.
    some: AtomicBool,
    /// The requested visits, oldest first. `None`: the worker has ended.
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

/// Why a visit did not finish: `partition` went to another worker before all of its rows were visited, or it is
/// unknown which of its rows were visited.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) partition: i32,
    /// The number of visited keys that were committed.
    pub(crate) keys: u64,
}

impl Visits {
    /// Requests a visit, and returns the receiver of its result: the number of visited keys. If the worker ends before
    /// the visit is finished, the receiver gets no result, because the sender is dropped.
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

    /// Takes the next requested visit from the queue. `None`: no visit is requested.
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
        // A poisoned lock may be used: no change under this lock can be left half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
