//! The waker of all async handlers of a worker. Must not know the handlers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

/// The waker of async handlers: a flag that any thread sets and the worker reads.
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

    /// Clears the flag. A wake-up after this call sets the flag again.
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }
}
