//! What a worker tells about itself: which partitions it has and what they do, how much it did.
//! Written by the worker's thread, read by any other.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use crate::{
    base::{error::Error, state::PartitionState},
    store::{Snapshot, Snapshots},
};

/// Status of one worker.
pub(crate) struct Status {
    handled: AtomicU64,
    skipped: AtomicU64,
    dead_letters: AtomicU64,
    retries: AtomicU64,
    /// Whether the group knows this worker: what it has not is at another one.
    is_member: AtomicBool,
    partitions: Mutex<BTreeMap<i32, PartitionState>>,
    /// Local copies of the partitions that are here.
    copies: Mutex<BTreeMap<i32, Snapshots>>,
    changes: watch::Sender<u64>,
}

impl Status {
    /// `changes` counts up whenever a state changes.
    pub(crate) fn new(changes: watch::Sender<u64>) -> Self {
        Status {
            handled: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            is_member: AtomicBool::new(false),
            partitions: Mutex::default(),
            copies: Mutex::default(),
            changes,
        }
    }

    /// A record was handled.
    pub(crate) fn handled(&self) {
        // Only this worker writes it, so that no locked instruction is needed.
        let before = self.handled.load(Ordering::Relaxed);
        self.handled.store(before + 1, Ordering::Relaxed);
    }

    /// How many records were handled.
    pub(crate) fn handled_so_far(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// A record was passed over.
    pub(crate) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A dead letter was written.
    pub(crate) fn set_aside(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    /// A record is to be handled again.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records were skipped, how many dead letters written, how many attempts begun anew.
    pub(crate) fn failed_so_far(&self) -> [u64; 3] {
        let counters = [&self.skipped, &self.dead_letters, &self.retries];
        counters.map(|counter| counter.load(Ordering::Relaxed))
    }

    /// The group has given this worker its partitions, maybe none.
    pub(crate) fn joined(&self) {
        self.is_member.store(true, Ordering::Relaxed);
        self.changed();
    }

    /// The group takes this worker for gone, or its partitions for another's: it will join anew.
    pub(crate) fn left(&self) {
        self.is_member.store(false, Ordering::Relaxed);
    }

    /// Whether the group has given this worker what it has, and not taken it for gone since.
    pub(crate) fn is_member(&self) -> bool {
        self.is_member.load(Ordering::Relaxed)
    }

    pub(crate) fn recovering(&self, partition: i32, rows: u64, bytes: u64, progress: f64) {
        self.set(
            partition,
            PartitionState::Recovering {
                rows,
                bytes,
                progress,
            },
        );
    }

    pub(crate) fn running(&self, partition: i32) {
        self.set(partition, PartitionState::Running);
    }

    /// There is no room for its local copy.
    pub(crate) fn no_room(&self, partition: i32) {
        self.set(partition, PartitionState::NoRoom);
    }

    /// Its local copy is open.
    pub(crate) fn opened(&self, partition: i32, copy: Snapshots) {
        lock(&self.copies).insert(partition, copy);
    }

    /// What is committed of a partition that runs here; `None` if it does not.
    pub(crate) fn snapshot(&self, partition: i32) -> Result<Option<Snapshot>, Error> {
        if self.lock().get(&partition) != Some(&PartitionState::Running) {
            return Ok(None);
        }
        let copies = lock(&self.copies);
        copies.get(&partition).map(Snapshots::take).transpose()
    }

    /// It is no longer here.
    pub(crate) fn gone(&self, partition: i32) {
        self.lock().remove(&partition);
        lock(&self.copies).remove(&partition);
        self.changed();
    }

    /// All partitions that are here.
    pub(crate) fn partitions(&self) -> BTreeMap<i32, PartitionState> {
        self.lock().clone()
    }

    fn set(&self, partition: i32, state: PartitionState) {
        self.lock().insert(partition, state);
        self.changed();
    }

    /// Wakes whoever waits for a change.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, PartitionState>> {
        lock(&self.partitions)
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
