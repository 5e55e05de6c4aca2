//! What the thread of a replica and the readers of the replica share: which partitions are wanted, and the states of
//! the partitions. Must not know how partitions are read.

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use crate::{
    base::{error::Error, state::PartitionState},
    engine::replica::{loans::Loans, subscribers::Subscribers},
    store::{Snapshot, Snapshots},
};

/// The state of a partition before anything was read.
pub(super) const BEGINNING: PartitionState = PartitionState::Recovering {
    rows: 0,
    bytes: 0,
    progress: 0.0,
};

pub(crate) struct Board {
    slots: Vec<RwLock<Slot>>,
    /// Local copies that are lent to workers.
    pub(super) loans: Arc<Loans>,
    pub(super) subscribers: Subscribers,
    failure: OnceLock<String>,
    stopped: AtomicBool,
    changes: watch::Sender<u64>,
    /// A counter that increases when rows become visible, and when the replica fails.
    stored: watch::Sender<u64>,
}

/// Progress of an open partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The position in the changelog: reads see everything before this offset.
    pub(crate) visible: i64,
    /// The last known end offset of the partition.
    pub(crate) end: i64,
    /// When rows last became visible, in milliseconds since 1970; 0: never.
    pub(crate) at_ms: i64,
}

/// A partition. One lock protects both whether it is wanted and whether it is open, so that a reader never mistakes a
/// partition that is being closed for an open one.
#[derive(Default)]
struct Slot {
    wanted: usize,
    open: Option<Open>,
}

struct Open {
    snapshots: Snapshots,
    state: PartitionState,
    progress: Progress,
}

/// A request to keep a partition open. The request holds until this value is dropped, and does not keep the replica
/// alive.
pub(crate) struct Wanted {
    board: Arc<Board>,
    partition: i32,
}

impl Wanted {
    pub(super) fn new(board: &Arc<Board>, partition: i32) -> Self {
        board.with(partition, |slot| slot.wanted += 1);
        Wanted {
            board: board.clone(),
            partition,
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.board.with(self.partition, |slot| slot.wanted -= 1);
    }
}

impl Board {
    pub(super) fn new(partitions: i32) -> Self {
        Board {
            slots: (0..partitions).map(|_| RwLock::default()).collect(),
            loans: Loans::new(partitions),
            subscribers: Subscribers::default(),
            failure: OnceLock::new(),
            stopped: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            stored: watch::Sender::new(0),
        }
    }

    /// The partitions that are wanted.
    pub(super) fn wanted(&self) -> impl Iterator<Item = i32> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(n, slot)| (read(slot).wanted > 0).then_some(n))
    }

    pub(super) fn opened(&self, partition: i32, snapshots: Snapshots, progress: Progress) {
        let open = Open {
            snapshots,
            state: BEGINNING,
            progress,
        };
        self.with(partition, |slot| slot.open = Some(open));
        self.changed();
    }

    /// Closes a partition unless it is wanted, and returns whether it was closed.
    pub(super) fn close_unwanted(&self, partition: i32) -> bool {
        let closed = self.with(partition, |slot| {
            let unwanted = slot.wanted == 0;
            if unwanted {
                slot.open = None;
            }
            unwanted
        });
        let closed = closed.unwrap_or(true);
        if closed {
            self.changed();
        }
        closed
    }

    /// Lets readers use another local copy from now on.
    pub(super) fn replaced(&self, partition: i32, snapshots: Snapshots) {
        self.with(partition, |slot| {
            if let Some(open) = &mut slot.open {
                open.snapshots = snapshots;
            }
        });
    }

    /// Removes a local copy that is lent, so that the partition is not open here any more.
    pub(super) fn lent(&self, partition: i32) {
        self.with(partition, |slot| slot.open = None);
        self.changed();
    }

    pub(super) fn set_state(&self, partition: i32, state: PartitionState) {
        self.with(partition, |slot| {
            if let Some(open) = &mut slot.open {
                open.state = state;
            }
        });
        self.changed();
    }

    /// Sets the progress of a partition, after rows became visible or a newer end offset became known.
    pub(super) fn set_progress(&self, partition: i32, progress: Progress) {
        let visible = self.with(partition, |slot| {
            let open = slot.open.as_mut()?;
            let before = std::mem::replace(&mut open.progress, progress);
            (before.visible != progress.visible).then_some(())
        });
        if visible.flatten().is_some() {
            self.stored.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn fail(&self, reason: String) {
        // Only the first reason is kept, because it is the cause of the later ones.
        let _ = self.failure.set(reason);
        self.changed();
        self.stored.send_modify(|count| *count += 1);
        self.subscribers.lock().wake();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn snapshot(&self, partition: i32) -> Result<Snapshot, Error> {
        let open = self.slot(partition).map(read);
        let open = open.as_ref().and_then(|slot| slot.open.as_ref());
        open.map_or(Err(Error::Closed("the local copy of the partition")), |o| {
            o.snapshots.take()
        })
    }

    pub(super) fn state(&self, partition: i32) -> Option<PartitionState> {
        let slot = read(self.slot(partition)?);
        slot.open.as_ref().map(|open| open.state)
    }

    pub(super) fn progress(&self, partition: i32) -> Option<Progress> {
        let slot = read(self.slot(partition)?);
        slot.open.as_ref().map(|open| open.progress)
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn stored(&self) -> watch::Receiver<u64> {
        self.stored.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn slot(&self, partition: i32) -> Option<&RwLock<Slot>> {
        usize::try_from(partition)
            .ok()
            .and_then(|n| self.slots.get(n))
    }

    fn with<R>(&self, partition: i32, change: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.slot(partition).map(|slot| change(&mut write(slot)))
    }
}

// A panic under these locks leaves no inconsistent state.

fn read(slot: &RwLock<Slot>) -> RwLockReadGuard<'_, Slot> {
    slot.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(slot: &RwLock<Slot>) -> RwLockWriteGuard<'_, Slot> {
    slot.write().unwrap_or_else(PoisonError::into_inner)
}
