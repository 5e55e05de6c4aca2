//! Snapshots that readers hold, and how they expire.
//!
//! LMDB does not reuse a page that a snapshot can see, so a snapshot that is held for ever would make the file grow
//! with every change. The writer therefore ends snapshots that are too old. While the copy does not change, a snapshot
//! lasts; when the copy changes, old snapshots end, and the size of the file stays bounded. Must not know how a
//! snapshot is read.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// A snapshot that is held; `None` once it has expired.
pub(super) type Held<S> = Mutex<Option<S>>;

/// A held snapshot of any type, which the writer can end.
trait Expire: Send + Sync {
    /// Ends the snapshot and returns `true`. If the snapshot has a reader right now, does nothing and returns `false`.
    fn expire(&self) -> bool;
}

impl<S: Send> Expire for Held<S> {
    fn expire(&self) -> bool {
        let mut snapshot = match self.try_lock() {
            Ok(snapshot) => snapshot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        *snapshot = None;
        true
    }
}

/// The held snapshots of one local copy.
#[derive(Default)]
pub(super) struct Moments {
    held: Mutex<Vec<(Instant, Weak<dyn Expire>)>>,
    /// Upper bound of the number of held snapshots. Most copies have no held snapshots and are written to often, so a
    /// writer reads this number before it locks `held`.
    count: AtomicUsize,
}

impl Moments {
    pub(super) fn hold<S: Send + 'static>(&self, snapshot: S) -> Arc<Held<S>> {
        let snapshot = Arc::new(Mutex::new(Some(snapshot)));
        let weak: Weak<Held<S>> = Arc::downgrade(&snapshot);
        let mut held = lock(&self.held);
        held.retain(|(_, moment)| moment.strong_count() > 0);
        held.push((Instant::now(), weak));
        self.count.store(held.len(), Ordering::Relaxed);
        snapshot
    }

    /// Ends snapshots that are older than `max_age`. A snapshot that is being read stays until the next call, so that a
    /// writer never waits for a reader.
    pub(super) fn expire(&self, max_age: Duration) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut held = lock(&self.held);
        held.retain(|(taken, moment)| {
            let Some(moment) = moment.upgrade() else {
                return false;
            };
            taken.elapsed() < max_age || !moment.expire()
        });
        self.count.store(held.len(), Ordering::Relaxed);
    }
}

/// Locks a mutex and ignores poisoning: a reader that panics leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
