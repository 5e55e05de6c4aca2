//! Loans of local copies: a worker that is assigned a partition borrows the local copy that the standby kept up to
//! date, and gives the copy back when the partition moves to another instance. The local copy stays open and in its
//! place, so that nothing has to be read or copied when it is lent or given back. Must not know what is read or
//! written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Store;

/// Who has the local copy of each partition: the keeper of the replica, or a borrower.
pub(super) struct Loans(Mutex<Vec<Holder>>);

#[derive(Default)]
enum Holder {
    /// The keeper has the local copy, or may open it.
    #[default]
    Home,
    /// The keeper has the local copy, and a borrower asks for it.
    Asked,
    /// The keeper has released the local copy for the borrower; `None`: the copy was not open.
    Ready(Option<Store>),
    /// A borrower has the local copy.
    Out,
    /// The borrower has given the local copy back; `None`: the copy is not open.
    Back(Option<Store>),
}

/// A loan, with the local copy; `None`: the copy is not open, and the borrower opens it.
pub(crate) type Lent = (Loan, Option<Store>);

/// A loan of the local copy of a partition. When the loan is dropped, the keeper gets the local copy back and opens it
/// again. By then, the borrower must have closed the copy, unless it gave the copy back open.
pub(crate) struct Loan {
    loans: Arc<Loans>,
    partition: i32,
    /// The local copy that goes back, if it goes back open.
    store: Option<Store>,
}

/// What the keeper has to do about a partition.
pub(super) enum Demand {
    /// Nothing: the keeper may have the local copy.
    Keep,
    /// Release the local copy for a borrower.
    LetGo,
    /// Leave the local copy to the borrower.
    Leave,
    /// Take the local copy back.
    TakeBack(Option<Store>),
}

impl Loans {
    pub(super) fn new(partitions: i32) -> Arc<Self> {
        let loans = (0..partitions).map(|_| Holder::default());
        Arc::new(Loans(Mutex::new(loans.collect())))
    }

    /// Borrows a local copy. `None`: the keeper or another borrower has not released the copy yet, so ask again.
    pub(super) fn borrow(self: &Arc<Self>, partition: i32) -> Option<Lent> {
        let taken = self.change(partition, |loan| match std::mem::take(loan) {
            Holder::Ready(store) | Holder::Back(store) => (Holder::Out, Some(store)),
            Holder::Home | Holder::Asked => (Holder::Asked, None),
            Holder::Out => (Holder::Out, None),
        });
        let store = taken.flatten()?;
        let loan = Loan {
            loans: self.clone(),
            partition,
            store: None,
        };
        Some((loan, store))
    }

    /// Cancels a request for which no copy was handed over yet.
    pub(super) fn cancel(&self, partition: i32) {
        self.change(partition, |loan| {
            let loan = match std::mem::take(loan) {
                Holder::Asked => Holder::Home,
                Holder::Ready(store) => Holder::Back(store),
                other => other,
            };
            (loan, ())
        });
    }

    pub(super) fn demand(&self, partition: i32) -> Demand {
        let demand = self.change(partition, |loan| match std::mem::take(loan) {
            Holder::Home => (Holder::Home, Demand::Keep),
            Holder::Asked => (Holder::Asked, Demand::LetGo),
            Holder::Back(store) => (Holder::Home, Demand::TakeBack(store)),
            other => (other, Demand::Leave),
        });
        demand.unwrap_or(Demand::Keep)
    }

    /// Gives the borrower a local copy that the keeper has released. If the borrower has cancelled, the keeper gets
    /// the copy back.
    pub(super) fn let_go(&self, partition: i32, store: Option<Store>) {
        self.change(partition, |loan| {
            let loan = match std::mem::take(loan) {
                Holder::Asked => Holder::Ready(store),
                // The borrower has cancelled in the meantime.
                _ => Holder::Back(store),
            };
            (loan, ())
        });
    }

    /// The local copies that were released or given back, but that nobody has taken. The keeper closes them.
    pub(super) fn rest(&self) -> Vec<Store> {
        let mut loans = self.lock();
        let rest = loans.iter_mut().filter_map(|loan| match loan {
            Holder::Ready(store) | Holder::Back(store) => store.take(),
            Holder::Home | Holder::Asked | Holder::Out => None,
        });
        rest.collect()
    }

    fn change<R>(
        &self,
        partition: i32,
        change: impl FnOnce(&mut Holder) -> (Holder, R),
    ) -> Option<R> {
        let mut loans = self.lock();
        let loan = usize::try_from(partition)
            .ok()
            .and_then(|n| loans.get_mut(n))?;
        let (changed, result) = change(loan);
        *loan = changed;
        Some(result)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Holder>> {
        // A panic under this lock leaves no inconsistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loan {
    /// Gives the local copy back, still open. The borrower must not write to the copy any more.
    pub(crate) fn give_back(mut self, store: Store) {
        self.store = Some(store);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let store = self.store.take();
        self.loans
            .change(self.partition, |_| (Holder::Back(store), ()));
    }
}
