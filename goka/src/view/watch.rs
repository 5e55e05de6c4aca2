//! Watches of single keys of a view. Must not know how changes are found.

use std::fmt;

use tokio::sync::watch;

use crate::{
    base::error::{Error, Result},
    typed::{context::KeyOf, topic::Topic},
    view::opened::View,
};

impl<T: Topic> View<T> {
    /// Returns a watch of the row at `key`, which waits for changes of the row.
    pub fn watch(&self, key: &KeyOf<T>) -> Watch<T> {
        Watch::new(self.clone(), self.place(key).bytes)
    }
}

/// Watch of the row at one key of a [`View`]. See [`View::watch`].
///
/// A watch returns the newest value. If the row changes several times in quick succession, the watch may skip some of
/// the values, but never the last value. A watch continues after outages of the broker.
///
/// ```no_run
/// # #[goka::table(group = "my-group", value = i64)]
/// # pub struct Clicks;
/// # async fn follow(view: &goka::View<Clicks>) -> goka::Result {
/// let mut clicks = view.watch("alice");
/// let mut now = clicks.value()?;
/// loop {
///     println!("alice clicked {} times", now.unwrap_or(0));
///     now = clicks.changed().await?;
/// }
/// # }
/// ```
pub struct Watch<T> {
    view: View<T>,
    key: Vec<u8>,
    /// `Some` until the watch is dropped.
    changes: Option<watch::Receiver<()>>,
}

impl<T: Topic> Watch<T> {
    fn new(view: View<T>, key: Vec<u8>) -> Self {
        let changes = Some(view.replica().watch(&key));
        Watch { view, key, changes }
    }

    /// Reads the current value, and marks it as seen; `None` if there is no row.
    ///
    /// # Errors
    /// [`Error::Decode`] if the value does not decode; another error if the local copy cannot be read.
    pub fn value(&mut self) -> Result<Option<T::Value>> {
        // Marked before the value is read, so that the next call of `changed` reports a change that comes in between.
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
        let replica = self.view.replica();
        let partition = T::PARTITIONER.partition(&self.key, replica.partitions());
        let snapshot = replica.snapshot(partition)?;
        let value = snapshot.get(&self.key)?;
        value
            .map(|value| self.view.decode(&self.key, value))
            .transpose()
    }

    /// Waits until the row has been written or deleted since this watch last returned its value, and returns the
    /// newest value, which may equal the previous value. Until a value has been returned, this method waits for a
    /// change since the watch was made.
    ///
    /// Cancel safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// The errors of [`value`](Self::value), and [`Error::Stale`] if the local copy is no longer updated.
    pub async fn changed(&mut self) -> Result<Option<T::Value>> {
        if let Some(failed) = self.view.failed() {
            return Err(failed);
        }
        let changed = match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            return Err(Error::Closed("the view"));
        }
        match self.view.failed() {
            Some(failed) => Err(failed),
            None => self.value(),
        }
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        if let Some(changes) = self.changes.take() {
            self.view.replica().unwatch(&self.key, changes);
        }
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}
