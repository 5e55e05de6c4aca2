//! The waker of all async handlers of a worker. Must not know the handlers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

/// The waker of async handlers: any thread sets it, and the worker reads it.
#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Woken {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// What wakes a handler from now on counts for the next time.
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }
}
