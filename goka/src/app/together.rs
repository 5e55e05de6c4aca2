//! Lets the workers of a group join it at the same moment. If they joined one by one, a broker that does not wait for
//! more members (`group.initial.rebalance.delay.ms = 0`) would assign all partitions to the first worker, and the other
//! workers would get their partitions only two rebalances later. Must not know the group.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Maximum time to wait for workers that have not arrived.
const PATIENCE: Duration = Duration::from_secs(3);

/// Counts the workers that are expected and have not arrived yet.
#[derive(Default)]
pub(super) struct Together {
    expected: Mutex<usize>,
    all_here: Condvar,
}

/// The place of one worker. When the place is dropped, the worker is no longer expected.
pub(super) struct Place(Arc<Together>);

impl Together {
    /// Expects one more worker.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        *self.lock() += 1;
        Place(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // A panic under this lock leaves no inconsistent state.
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until no other worker is expected any more, at most for `PATIENCE`.
    pub(super) fn wait(self) {
        let together = self.0.clone();
        drop(self);
        let expected = together.lock();
        // If the lock is poisoned or the wait timed out, the worker joins alone.
        let _ = together
            .all_here
            .wait_timeout_while(expected, PATIENCE, |expected| *expected > 0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.all_here.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::Instant,
    };

    use super::*;

    #[test]
    fn who_comes_first_waits_for_the_last_and_not_for_one_that_is_gone() {
        let together = Arc::new(Together::default());
        let (first, last, gone) = (together.place(), together.place(), together.place());
        let last_is_here = AtomicBool::new(false);
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                first.wait();
                // The second condition allows for a slow machine, on which `wait` times out before the last worker
                // arrives.
                assert!(last_is_here.load(Ordering::Relaxed) || began.elapsed() >= PATIENCE);
            });
            drop(gone);
            last_is_here.store(true, Ordering::Relaxed);
            last.wait();
        });
    }
}
