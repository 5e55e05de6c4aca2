//! Visits that a worker is asked for, from any thread. Must not know how rows are visited.

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
    /// Whether the queue has some: looked at in every turn.
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

/// A visit, and who waits for its end.
pub(crate) struct Asked {
    pub(crate) visit: Arc<dyn Visit>,
    pub(crate) reply: oneshot::Sender<Result<u64, Cancelled>>,
}

/// A partition went to another worker before its rows were visited, or it is not known which of them were.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) partition: i32,
    /// How many keys were visited, and committed.
    pub(crate) keys: u64,
}

impl Visits {
    /// Asks for a visit. The answer is the number of keys that were visited; dropped without an answer: the worker has
    /// ended.
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

    /// The next visit that was asked for.
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
        // Nothing is left half done under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
