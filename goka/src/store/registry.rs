//! Which directories this process has open: LMDB forbids to map one twice.
//!
//! LMDB's own lock is one of the process, and does not stop it. A claim lives as long as anything
//! that can touch the map, so that a directory is opened again or deleted only after that.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::base::error::Error;

static CLAIMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static RELEASED: Condvar = Condvar::new();

/// The right to open or delete a directory. Dropped, the next one gets it.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Waits at most `wait` for the holder of `path` to drop it. `path` must be canonical.
    pub(super) fn take(path: &Path, wait: Duration) -> Result<Claim, Error> {
        let (mut claimed, waited) = RELEASED
            .wait_timeout_while(lock(), wait, |claimed| claimed.contains(path))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let problem = format!(
                "this process has had it open all the {wait:?} that were waited: close it, and \
                 drop all snapshots of it, before it is opened or deleted"
            );
            return Err(Error::state(path, problem));
        }
        claimed.insert(path.to_owned());
        Ok(Claim(path.to_owned()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock().remove(&self.0);
        RELEASED.notify_all();
    }
}

/// Whether this process has a directory open, or is deleting it. `path` must be canonical.
pub(super) fn is_claimed(path: &Path) -> bool {
    lock().contains(path)
}

fn lock() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A panic leaves the set as it is: every change of it is one call.
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}
