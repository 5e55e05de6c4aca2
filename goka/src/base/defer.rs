//! Work that goes on after a handler returned: a guard on the user's side, a question on the
//! worker's. Must not know what is held back meanwhile.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::base::error::BoxError;

/// A record whose work goes on elsewhere, see [`Context::defer`](crate::Context::defer). It may be
/// sent to any thread or task.
///
/// Dropped without [`done`](Self::done), the record has failed.
#[derive(Debug)]
#[must_use = "dropped without `done`, it fails the record"]
pub struct Deferred {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicBool,
    failed: OnceLock<BoxError>,
}

/// The worker's side of a [`Deferred`].
pub(crate) struct Pending(Arc<Shared>);

impl Deferred {
    pub(crate) fn new() -> (Self, Pending) {
        let shared = Arc::<Shared>::default();
        let pending = Pending(shared.clone());
        (Deferred { shared }, pending)
    }

    /// The work is done: the record takes effect, once those before it in its partition have.
    pub fn done(self) {
        self.shared.done.store(true, Ordering::Release);
    }

    /// The work has failed, and with it the record, as by an error of its handler.
    pub fn fail(self, error: impl Into<BoxError>) {
        // Nobody else can have set it: the guard is used up.
        let _ = self.shared.failed.set(error.into());
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.shared.done.load(Ordering::Relaxed) {
            let dropped = || BoxError::from("what it deferred was dropped without `done`");
            self.shared.failed.get_or_init(dropped);
        }
    }
}

impl Pending {
    /// `None`: it is not known yet.
    pub(crate) fn outcome(&self) -> Option<Result<(), String>> {
        if self.0.done.load(Ordering::Acquire) {
            return Some(Ok(()));
        }
        self.0.failed.get().map(|error| Err(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_failed_or_dropped_on_another_thread() {
        let (guard, pending) = Deferred::new();
        assert!(pending.outcome().is_none());
        std::thread::spawn(|| guard.done()).join().expect("ends");
        assert_eq!(pending.outcome(), Some(Ok(())));
        let (guard, pending) = Deferred::new();
        guard.fail("no route");
        assert_eq!(pending.outcome(), Some(Err("no route".to_owned())));
        let (guard, pending) = Deferred::new();
        drop(guard);
        assert!(pending.outcome().is_some_and(|outcome| outcome.is_err()));
    }
}
