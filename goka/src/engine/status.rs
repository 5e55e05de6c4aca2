//! The status of a worker as other threads see it: its partitions and their states, its local copies, its counters.
//! The worker's thread writes the status, and any thread may read it. Must not know who reads the status.

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

/// The status of one worker.
pub(crate) struct Status {
    handled: AtomicU64,
    skipped: AtomicU64,
    dead_letters: AtomicU64,
    retries: AtomicU64,
    /// Whether this worker is a member of the group. If so, the partitions that this worker does not have are at other
    /// workers.
    is_member: AtomicBool,
    partitions: Mutex<BTreeMap<i32, PartitionState>>,
    /// Local copies of the partitions that this worker has.
    copies: Mutex<BTreeMap<i32, Snapshots>>,
    changes: watch::Sender<u64>,
}

impl Status {
    /// The status of a worker without partitions. `changes` is incremented whenever a state changes.
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

    /// Counts a handled record.
    pub(crate) fn handled(&self) {
        // Only this worker writes the counter, so that no atomic read-modify-write is needed.
        let before = self.handled.load(Ordering::Relaxed);
        self.handled.store(before + 1, Ordering::Relaxed);
    }

    /// Number of handled records.
    pub(crate) fn handled_so_far(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Counts a skipped record.
    pub(crate) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a dead letter.
    pub(crate) fn set_aside(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a retry.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Numbers of skipped records, dead letters and retries.
    pub(crate) fn failed_so_far(&self) -> [u64; 3] {
        let counters = [&self.skipped, &self.dead_letters, &self.retries];
        counters.map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Marks this worker as a member of the group. Called when the group has assigned partitions, possibly none.
    pub(crate) fn joined(&self) {
        self.is_member.store(true, Ordering::Relaxed);
        self.changed();
    }

    /// Marks this worker as not a member of the group, until it joins again.
    pub(crate) fn left(&self) {
        self.is_member.store(false, Ordering::Relaxed);
    }

    /// Whether this worker is a member of the group.
    pub(crate) fn is_member(&self) -> bool {
        self.is_member.load(Ordering::Relaxed)
    }

    /// Sets the state of a partition to `Recovering`, with the progress of the restore.
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

    /// Sets the state of a partition to `Running`: the partition handles records.
    pub(crate) fn running(&self, partition: i32) {
        self.set(partition, PartitionState::Running);
    }

    /// Sets the state of a partition to `NoRoom`: the disk has no space for the local copy.
    pub(crate) fn no_room(&self, partition: i32) {
        self.set(partition, PartitionState::NoRoom);
    }

    /// Adds the open local copy of a partition, for snapshots.
    pub(crate) fn opened(&self, partition: i32, copy: Snapshots) {
        lock(&self.copies).insert(partition, copy);
    }

    /// A snapshot of the committed rows of a partition. `None` if the partition does not run at this worker.
    pub(crate) fn snapshot(&self, partition: i32) -> Result<Option<Snapshot>, Error> {
        if self.lock().get(&partition) != Some(&PartitionState::Running) {
            return Ok(None);
        }
        let copies = lock(&self.copies);
        copies.get(&partition).map(Snapshots::take).transpose()
    }

    /// Removes a partition that this worker does not have any more.
    pub(crate) fn gone(&self, partition: i32) {
        self.lock().remove(&partition);
        lock(&self.copies).remove(&partition);
        self.changed();
    }

    /// The states of all partitions that this worker has.
    pub(crate) fn partitions(&self) -> BTreeMap<i32, PartitionState> {
        self.lock().clone()
    }

    fn set(&self, partition: i32, state: PartitionState) {
        self.lock().insert(partition, state);
        self.changed();
    }

    /// Notifies all threads that wait for a change.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, PartitionState>> {
        lock(&self.partitions)
    }
}

/// Locks a mutex, even if a panic has poisoned it: no change under these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
