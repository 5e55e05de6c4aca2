//! Snapshots that somebody may keep for long. What a snapshot sees is not used again, so one that is held for ever
//! would make the file grow with every change: whoever writes lets go of those that are too old. So without changes
//! a snapshot stays, and with them the file is bounded.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::Snapshot;
use crate::base::error::Error;

/// A snapshot; `None` once it was let go of.
type Shared = Mutex<Option<Snapshot>>;

/// A snapshot, until it is let go of.
pub(crate) struct Moment {
    snapshot: Arc<Shared>,
    max_age: Duration,
}

impl Moment {
    /// Reads in it.
    ///
    /// # Errors
    /// [`Error::Expired`] if it was held for too long.
    pub(crate) fn read<R>(
        &self,
        with: impl FnOnce(&Snapshot) -> Result<R, Error>,
    ) -> Result<R, Error> {
        match &*lock(&self.snapshot) {
            Some(snapshot) => with(snapshot),
            None => Err(Error::Expired {
                max_age: self.max_age,
            }),
        }
    }
}

/// The moments of a copy that may be held.
#[derive(Default)]
pub(super) struct Moments {
    held: Mutex<Vec<(Instant, Weak<Shared>)>>,
    /// How many there may be: most copies have none, and are written to often.
    count: AtomicUsize,
}

impl Moments {
    pub(super) fn hold(&self, snapshot: Snapshot, max_age: Duration) -> Moment {
        let snapshot = Arc::new(Mutex::new(Some(snapshot)));
        let mut held = lock(&self.held);
        held.retain(|(_, moment)| moment.strong_count() > 0);
        held.push((Instant::now(), Arc::downgrade(&snapshot)));
        self.count.store(held.len(), Ordering::Relaxed);
        Moment { snapshot, max_age }
    }

    /// Lets go of those that are too old. One that is being read at the moment stays until the next time, so that
    /// who writes never waits for who reads.
    pub(super) fn expire(&self, max_age: Duration) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut held = lock(&self.held);
        held.retain(|(taken, moment)| {
            let Some(moment) = moment.upgrade() else {
                return false;
            };
            if taken.elapsed() < max_age {
                return true;
            }
            let mut snapshot = match moment.try_lock() {
                Ok(snapshot) => snapshot,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return true,
            };
            *snapshot = None;
            false
        });
        self.count.store(held.len(), Ordering::Relaxed);
    }
}

/// A panic of who reads leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").finish_non_exhaustive()
    }
}
