//! Keeps track of the directories that this process has open, because LMDB must not map a file twice in one process.
//!
//! LMDB's own lock is per process and does not prevent that. A claim lives as long as anything that can touch the map,
//! so a directory is opened again, or deleted, only when nothing can touch its map any more. Must not know what is in a
//! directory.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::base::error::Error;

static CLAIMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static RELEASED: Condvar = Condvar::new();

/// The right to open or delete a directory. Dropping the claim passes the right to the next waiter.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Waits up to `wait` for the holder of `path` to drop its claim. `path` must be canonical.
    pub(super) fn take(path: &Path, wait: Duration) -> Result<Claim, Error> {
        let (mut claimed, waited) = RELEASED
            .wait_timeout_while(lock(), wait, |claimed| claimed.contains(path))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let problem = format!(
                "this process still has the local copy open after {wait:?}: close the copy and drop all its snapshots \
                 before you open or delete it again"
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
    // Poisoning is ignored: every change of the set is one call, so a panic does not leave the set half changed.
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}
