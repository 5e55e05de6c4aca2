//! A replica as its readers see it, and the thread of the replica. Must not know types or handlers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;
use tracing::error;

use crate::{
    base::{error::Error, record::to_ms, state::PartitionState},
    engine::{
        port::{Cuts, Reader},
        replica::{
            board::{Board, Progress, Wanted},
            keeper::Keeper,
            loans::Lent,
            spec::Spec,
            subscribers::Feed,
        },
    },
    store::Snapshot,
};

/// How long a turn waits if there is nothing to read, and therefore how long it can take until the thread notices that
/// a partition is wanted.
const IDLE: Duration = Duration::from_millis(20);

/// A replica of a table. Dropping it stops its thread, and waits until the local copies are closed.
pub(crate) struct Replica {
    spec: Arc<Spec>,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Replica {
    /// Opens a replica with a thread of its own. The replica reads nothing until a partition is wanted. With `cuts`,
    /// the replica has only rows that the group has committed.
    pub(crate) fn open(
        spec: Spec,
        reader: Box<dyn Reader + Send>,
        cuts: Option<Box<dyn Cuts + Send>>,
    ) -> Result<Self, Error> {
        let mut replica = Self::without_thread(spec);
        let name = format!("goka-replica-{}", replica.spec.identity.topic);
        let (spec, board) = (replica.spec.clone(), replica.board.clone());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let cuts = cuts.map(|cuts| cuts as Box<dyn Cuts>);
            let keeper = AssertUnwindSafe(|| keep(Keeper::new(spec, board.clone(), reader, cuts)));
            if catch_unwind(keeper).is_err() {
                board.fail(
                    "the thread of the replica panicked; this is a bug in goka, please report it"
                        .to_owned(),
                );
            }
        });
        let thread =
            thread.map_err(|error| Error::system("start the thread of a replica", error))?;
        replica.thread = Some(thread);
        Ok(replica)
    }

    /// A replica without a thread: the caller gives turns to its [`keeper`](Self::keeper).
    pub(crate) fn without_thread(spec: Spec) -> Self {
        Replica {
            board: Arc::new(Board::new(spec.identity.partitions)),
            spec: Arc::new(spec),
            thread: None,
        }
    }

    /// The keeper, which writes the local copies. A replica must have only one.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn keeper(&self, reader: Box<dyn Reader>) -> Keeper {
        Keeper::new(self.spec.clone(), self.board.clone(), reader, None)
    }

    /// The keeper of a replica that has only rows that the group has committed.
    #[cfg(test)]
    pub(crate) fn committed_keeper(&self, reader: Box<dyn Reader>, cuts: Box<dyn Cuts>) -> Keeper {
        Keeper::new(self.spec.clone(), self.board.clone(), reader, Some(cuts))
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The number of partitions of the table.
    pub(crate) fn partitions(&self) -> i32 {
        self.spec.identity.partitions
    }

    /// Keeps the local copy of `partition` open and up to date until the returned value is dropped. A partition that
    /// the table does not have is never open.
    pub(crate) fn want(&self, partition: i32) -> Wanted {
        Wanted::new(&self.board, partition)
    }

    /// [`want`](Self::want) for every partition.
    pub(crate) fn want_all(&self) -> Vec<Wanted> {
        (0..self.partitions()).map(|n| self.want(n)).collect()
    }

    /// Borrows the local copy of a wanted partition, for a caller that writes the copy. `None`: the keeper releases
    /// the copy at its next turn, so ask again. While the copy is lent, the partition is not open here. If several
    /// callers ask, only one of them gets the copy.
    pub(crate) fn borrow(&self, partition: i32) -> Option<Lent> {
        self.board.loans.borrow(partition)
    }

    /// Cancels a request by [`borrow`](Self::borrow) for which no copy was handed over yet.
    pub(crate) fn cancel(&self, partition: i32) {
        self.board.loans.cancel(partition);
    }

    /// A snapshot of an open partition. Soon after a partition is wanted, it is open, and it stays open until it is no
    /// longer wanted. An open partition is not necessarily up to date.
    ///
    /// # Errors
    /// [`Error::Closed`] if the partition is not open; another error if the local copy cannot be read.
    pub(crate) fn snapshot(&self, partition: i32) -> Result<Snapshot, Error> {
        self.board.snapshot(partition)
    }

    /// Whether a partition has been read to its end since it was wanted.
    pub(crate) fn is_up_to_date(&self, partition: i32) -> bool {
        self.state(partition) == Some(PartitionState::Running)
    }

    /// The state of a partition; `None` if it is not open.
    pub(crate) fn state(&self, partition: i32) -> Option<PartitionState> {
        self.board.state(partition)
    }

    /// The reason why the local copies are no longer updated; `None` while they are updated. Open partitions stay
    /// open, and can still be read.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.board.failure()
    }

    /// # Errors
    /// [`Error::Stale`] if the local copies are no longer updated.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.failure() {
            None => Ok(()),
            Some(reason) => Err(Error::Stale {
                topic: self.spec.identity.topic.clone(),
                reason: reason.to_owned(),
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn fail(&self, reason: String) {
        self.board.fail(reason);
    }

    /// A counter that increases when the state of a partition changes, and when the replica fails.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.board.changes()
    }

    /// The progress of a partition; `None` if it is not open.
    pub(crate) fn progress(&self, partition: i32) -> Option<Progress> {
        self.board.progress(partition)
    }

    /// A counter that increases when rows become visible, and when the replica fails.
    pub(crate) fn stored(&self) -> watch::Receiver<u64> {
        self.board.stored()
    }

    /// A feed of the rows that become visible from now on. Several changes of a key that become visible together count
    /// as one change. The feed is also woken when the replica fails.
    pub(crate) fn feed(&self) -> Arc<Feed> {
        self.board.subscribers.feed()
    }

    /// A channel that changes when the row at `key` may have changed, and when the replica fails.
    pub(crate) fn watch(&self, key: &[u8]) -> watch::Receiver<()> {
        self.board.subscribers.watch(key)
    }

    /// Ends a [`watch`](Self::watch) of a key.
    pub(crate) fn unwatch(&self, key: &[u8], receiver: watch::Receiver<()>) {
        self.board.subscribers.unwatch(key, receiver);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.board.stop();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread catches its panics itself.
            let _ = thread.join();
        }
    }
}

/// The main function of the replica's thread.
fn keep(mut keeper: Keeper) {
    let (topic, board) = (keeper.topic().to_owned(), keeper.board().clone());
    let failed =
        |error: &Error| error!(topic, %error, "the local copy of a table is no longer updated");
    let began = Instant::now();
    while !board.is_stopped() {
        if let Err(error) = keeper.turn(IDLE, began.elapsed(), to_ms(SystemTime::now())) {
            failed(&error);
            board.fail(error.to_string());
            // The thread does not end yet, because readers can still read the local copies.
            while !board.is_stopped() {
                std::thread::park();
            }
        }
    }
    if let Err(error) = keeper.close(to_ms(SystemTime::now())) {
        failed(&error);
    }
}
