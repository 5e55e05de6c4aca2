//! Work that continues after a handler has returned: the user holds a guard, and the worker polls the outcome of the
//! work. Must not know what the worker holds back in the meantime.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::base::error::BoxError;

/// Guard of a deferred record: a record whose work continues after its handler has returned. See
/// [`Context::defer`](crate::Context::defer).
///
/// The guard can be sent to any thread or task. If the guard is dropped without [`done`](Self::done), the record fails,
/// as if its handler had returned an error.
#[derive(Debug)]
#[must_use = "a guard that is dropped without `done` fails its record"]
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

    /// Completes the record: its effects are committed, after the effects of the earlier records of its partition.
    pub fn done(self) {
        self.shared.done.store(true, Ordering::Release);
    }

    /// Fails the record, as if its handler had returned this error.
    pub fn fail(self, error: impl Into<BoxError>) {
        // Nothing else can have set `failed`: this call consumes the only guard.
        let _ = self.shared.failed.set(error.into());
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.shared.done.load(Ordering::Relaxed) {
            let dropped =
                || BoxError::from("the guard from `ctx.defer()` was dropped without `done`");
            self.shared.failed.get_or_init(dropped);
        }
    }
}

impl Pending {
    /// The outcome of the deferred record; `None` while the guard is held.
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
