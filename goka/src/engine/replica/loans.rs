//! A partition of a replica can be lent: a worker that owns it writes the very copy that was kept up to
//! date here, and gives it back when it goes elsewhere. The copy stays open and where it is, so that
//! neither way reads or copies anything. Must not know what is read or written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Store;

/// Who has each partition's copy: the keeper of the replica, or somebody else.
pub(super) struct Loans(Mutex<Vec<Loan>>);

#[derive(Default)]
enum Loan {
    /// The keeper has it, or may open it.
    #[default]
    Home,
    /// The keeper has it, and is asked for it.
    Asked,
    /// The keeper has let go of it, for who asked; `None`: it was not open.
    Ready(Option<Store>),
    /// Somebody else has it.
    Out,
    /// It was given back; `None`: it is not open.
    Back(Option<Store>),
}

/// A copy that was lent; `None`: it is to be opened.
pub(crate) type Lent = (Lease, Option<Store>);

/// The right to a partition's copy. Dropped, it goes back to the keeper, who opens it again: what was
/// open of it must be dropped before.
pub(crate) struct Lease {
    loans: Arc<Loans>,
    partition: i32,
    /// What goes back.
    store: Option<Store>,
}

/// What the keeper is to do about a partition.
pub(super) enum Demand {
    /// It may have it, as it likes.
    Keep,
    /// To let go of it.
    LetGo,
    /// To leave it to somebody else.
    Leave,
    /// To take it back.
    TakeBack(Option<Store>),
}

impl Loans {
    pub(super) fn new(partitions: i32) -> Arc<Self> {
        let loans = (0..partitions).map(|_| Loan::default());
        Arc::new(Loans(Mutex::new(loans.collect())))
    }

    /// Asks for a partition's copy. `None`: the keeper, or another one who has it, has not let go of it yet: ask again.
    pub(super) fn borrow(self: &Arc<Self>, partition: i32) -> Option<Lent> {
        let taken = self.change(partition, |loan| match std::mem::take(loan) {
            Loan::Ready(store) | Loan::Back(store) => (Loan::Out, Some(store)),
            Loan::Home | Loan::Asked => (Loan::Asked, None),
            Loan::Out => (Loan::Out, None),
        });
        let store = taken.flatten()?;
        let lease = Lease {
            loans: self.clone(),
            partition,
            store: None,
        };
        Some((lease, store))
    }

    /// Who asked for a partition's copy, and was not given it, no longer wants it.
    pub(super) fn cancel(&self, partition: i32) {
        self.change(partition, |loan| {
            let loan = match std::mem::take(loan) {
                Loan::Asked => Loan::Home,
                Loan::Ready(store) => Loan::Back(store),
                other => other,
            };
            (loan, ())
        });
    }

    pub(super) fn demand(&self, partition: i32) -> Demand {
        let demand = self.change(partition, |loan| match std::mem::take(loan) {
            Loan::Home => (Loan::Home, Demand::Keep),
            Loan::Asked => (Loan::Asked, Demand::LetGo),
            Loan::Back(store) => (Loan::Home, Demand::TakeBack(store)),
            other => (other, Demand::Leave),
        });
        demand.unwrap_or(Demand::Keep)
    }

    /// The keeper has let go of a partition's copy.
    pub(super) fn let_go(&self, partition: i32, store: Option<Store>) {
        self.change(partition, |loan| {
            let loan = match std::mem::take(loan) {
                Loan::Asked => Loan::Ready(store),
                // Whoever asked has gone meanwhile.
                _ => Loan::Back(store),
            };
            (loan, ())
        });
    }

    /// Copies that nobody has, for the keeper to close them.
    pub(super) fn rest(&self) -> Vec<Store> {
        let mut loans = self.lock();
        let rest = loans.iter_mut().filter_map(|loan| match loan {
            Loan::Ready(store) | Loan::Back(store) => store.take(),
            Loan::Home | Loan::Asked | Loan::Out => None,
        });
        rest.collect()
    }

    fn change<R>(&self, partition: i32, change: impl FnOnce(&mut Loan) -> (Loan, R)) -> Option<R> {
        let mut loans = self.lock();
        let loan = usize::try_from(partition)
            .ok()
            .and_then(|n| loans.get_mut(n))?;
        let (changed, result) = change(loan);
        *loan = changed;
        Some(result)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Loan>> {
        // Nothing is left half done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Gives the copy back, open as it is: nothing of it may be written any more.
    pub(crate) fn give_back(mut self, store: Store) {
        self.store = Some(store);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let store = self.store.take();
        self.loans
            .change(self.partition, |_| (Loan::Back(store), ()));
    }
}
