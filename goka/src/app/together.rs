//! Lets the workers of a group join it at the same moment. A broker that does not wait for more
//! members (`group.initial.rebalance.delay.ms = 0`) gives the first one all partitions, and takes half of
//! them back two rounds later, while one worker does the work of all.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// One that does not come is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Those who are expected, and have not come.
#[derive(Default)]
pub(super) struct Together {
    expected: Mutex<usize>,
    all_here: Condvar,
}

/// The place of one of them. Dropped, it is not expected any more.
pub(super) struct Place(Arc<Together>);

impl Together {
    /// Expects one more.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        *self.lock() += 1;
        Place(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Nothing is left half done under this lock.
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for the others.
    pub(super) fn wait(self) {
        let together = self.0.clone();
        drop(self);
        let expected = together.lock();
        // Poisoned or timed out: they are not waited for.
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
                // Or this test took very long to get this far.
                assert!(last_is_here.load(Ordering::Relaxed) || began.elapsed() >= PATIENCE);
            });
            drop(gone);
            last_is_here.store(true, Ordering::Relaxed);
            last.wait();
        });
    }
}
