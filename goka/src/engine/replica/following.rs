//! A replica: a thread that follows the topic of a table, and those who read what it has stored. Knows no types and no
//! handlers.

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
        port::Reader,
        replica::{
            board::{Board, Standing, Wanted},
            keeper::Keeper,
            loans::Lent,
            spec::Spec,
            subscribers::Feed,
        },
    },
    store::Snapshot,
};

/// How long one turn may wait when there is nothing to read, and how soon a change of what is
/// wanted is seen.
const IDLE: Duration = Duration::from_millis(20);

/// A replica; its thread ends when it is dropped, which waits for that.
pub(crate) struct Replica {
    spec: Arc<Spec>,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Replica {
    /// Begins with no partition wanted, and reads on a thread of its own.
    pub(crate) fn open(spec: Spec, reader: Box<dyn Reader + Send>) -> Result<Self, Error> {
        let mut replica = Self::without_thread(spec);
        let name = format!("goka-replica-{}", replica.spec.identity.topic);
        let (spec, board) = (replica.spec.clone(), replica.board.clone());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let keeper = AssertUnwindSafe(|| keep(Keeper::new(spec, board.clone(), reader)));
            if catch_unwind(keeper).is_err() {
                board.fail("its thread panicked, which is a bug of goka".to_owned());
            }
        });
        let thread =
            thread.map_err(|error| Error::system("start the thread of a replica", error))?;
        replica.thread = Some(thread);
        Ok(replica)
    }

    /// One whose [`keeper`](Self::keeper) somebody else gives its turns.
    pub(crate) fn without_thread(spec: Spec) -> Self {
        Replica {
            board: Arc::new(Board::new(spec.identity.partitions)),
            spec: Arc::new(spec),
            thread: None,
        }
    }

    /// The one that writes it. There must be one only.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn keeper(&self, reader: Box<dyn Reader>) -> Keeper {
        Keeper::new(self.spec.clone(), self.board.clone(), reader)
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How many partitions the table has.
    pub(crate) fn partitions(&self) -> i32 {
        self.spec.identity.partitions
    }

    /// Reads `partition` for as long as one who wants it is left. A partition that the table does
    /// not have is never open.
    pub(crate) fn want(&self, partition: i32) -> Wanted {
        Wanted::new(&self.board, partition)
    }

    /// [`want`](Self::want) for every partition.
    pub(crate) fn want_all(&self) -> Vec<Wanted> {
        (0..self.partitions()).map(|n| self.want(n)).collect()
    }

    /// Asks for the copy of a partition that is wanted, to write it elsewhere: once a turn of the
    /// keeper has come between, it is given, and open here no longer. Several may ask, one gets it.
    pub(crate) fn borrow(&self, partition: i32) -> Option<Lent> {
        self.board.loans.borrow(partition)
    }

    /// Who asked by [`borrow`](Self::borrow), and was not given it, no longer asks.
    pub(crate) fn cancel(&self, partition: i32) {
        self.board.loans.cancel(partition);
    }

    /// A moment of a partition that is open: from soon after it was wanted, whatever it has been
    /// read to, and for as long as it is wanted.
    pub(crate) fn snapshot(&self, partition: i32) -> Result<Snapshot, Error> {
        self.board.snapshot(partition)
    }

    /// Whether a partition was read to its end once since it was wanted.
    pub(crate) fn is_up_to_date(&self, partition: i32) -> bool {
        self.state(partition) == Some(PartitionState::Running)
    }

    /// What is done with a partition; `None` if it is not open.
    pub(crate) fn state(&self, partition: i32) -> Option<PartitionState> {
        self.board.state(partition)
    }

    /// Why it is no longer kept up to date. What is open stays so, and can be read.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.board.failure()
    }

    /// The error for who needs it up to date.
    ///
    /// # Errors
    /// [`Error::Stale`] if it is no longer kept up to date.
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

    /// Counts up whenever the state of a partition changes, and when the replica fails.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.board.changes()
    }

    /// Where a partition stands; `None` if it is not open.
    pub(crate) fn standing(&self, partition: i32) -> Option<Standing> {
        self.board.standing(partition)
    }

    /// Counts up whenever rows become visible, and when the replica fails.
    pub(crate) fn stored(&self) -> watch::Receiver<u64> {
        self.board.stored()
    }

    /// Changes of rows that become visible from now on. Several of one key that become visible at
    /// once are one. Woken up also when the replica fails.
    pub(crate) fn feed(&self) -> Arc<Feed> {
        self.board.subscribers.feed()
    }

    /// Changes whenever the row of `key` may have changed, and when the replica fails.
    pub(crate) fn watch(&self, key: &[u8]) -> watch::Receiver<()> {
        self.board.subscribers.watch(key)
    }

    /// Ends a [`watch`](Self::watch).
    pub(crate) fn unwatch(&self, key: &[u8], receiver: watch::Receiver<()>) {
        self.board.subscribers.unwatch(key, receiver);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.board.stop();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has caught its own failures; a panic of it was printed.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn keep(mut keeper: Keeper) {
    let (topic, board) = (keeper.topic().to_owned(), keeper.board().clone());
    let failed = |error: &Error| error!(topic, %error, "the replica is no longer kept up to date");
    let began = Instant::now();
    while !board.is_stopped() {
        if let Err(error) = keeper.turn(IDLE, began.elapsed(), to_ms(SystemTime::now())) {
            failed(&error);
            board.fail(error.to_string());
            // Readers go on with what is there.
            while !board.is_stopped() {
                std::thread::park();
            }
        }
    }
    if let Err(error) = keeper.close(to_ms(SystemTime::now())) {
        failed(&error);
    }
}
