//! The value of one key, awaited.

use std::fmt;

use tokio::sync::watch;

use crate::{
    base::error::{Error, Result},
    typed::{context::KeyOf, topic::Topic},
    view::opened::View,
};

impl<T: Topic> View<T> {
    /// The value at `key`, to be looked at whenever it changes.
    pub fn watch(&self, key: &KeyOf<T>) -> Watch<T> {
        Watch::new(self.clone(), self.place(key).bytes)
    }
}

/// The value at one key of a [`View`], to be looked at whenever it changes. See [`View::watch`].
///
/// Only the newest value counts: of changes that follow one another fast some may not be seen, but
/// never the last one. It goes on while the broker is away, and after.
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
    /// Taken when this is dropped.
    changes: Option<watch::Receiver<()>>,
}

impl<T: Topic> Watch<T> {
    fn new(view: View<T>, key: Vec<u8>) -> Self {
        let changes = Some(view.replica().watch(&key));
        Watch { view, key, changes }
    }

    /// The value now, which counts as seen.
    ///
    /// # Errors
    /// If the value does not decode, or the local copy cannot be read.
    pub fn value(&mut self) -> Result<Option<T::Value>> {
        // Before the value is read: a change in between is one to come.
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

    /// Waits until the row was written or deleted since it was last seen (since the watch began, if
    /// it never was), and gives the newest value, which may be the same.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    ///
    /// # Errors
    /// As [`value`](Self::value), and if the view is no longer kept up to date.
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
