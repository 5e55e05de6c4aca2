//! Snapshots of a view. Must not know how the local copy is stored.

use std::{fmt, ops::RangeBounds};

use crate::{
    base::error::{Error, Result},
    store::{Moment, Snapshot},
    typed::{context::KeyOf, topic::Topic},
    view::{
        merge::{self, Bounds, Merge, Source},
        opened::View,
    },
};

impl<T: Topic> View<T> {
    /// Takes a snapshot of the table, for several reads of the same state.
    ///
    /// # Errors
    /// If the local copy cannot be read, or if 4096 snapshots of it are held already.
    pub fn snapshot(&self) -> Result<ViewSnapshot<T>> {
        ViewSnapshot::take(self.clone())
    }
}

/// Snapshot of a [`View`]: writes to the table after the snapshot was taken do not change what is read from it. A
/// snapshot can be sent to another thread.
///
/// A snapshot is consistent within each partition. The partitions are captured one after another: if a processor
/// writes two rows in different partitions together, a snapshot may contain only one of them.
///
/// Drop a snapshot soon. While it is held, the local copy cannot reuse the space of deleted and overwritten rows, and
/// its file grows with every write. Therefore, when a snapshot has been held for
/// [`Config::snapshot_max`](crate::Config::snapshot_max) (one minute by default), the next write to the local copy
/// releases the snapshot, and reads of the snapshot then fail with [`Error::Expired`]. Reads also fail with this error
/// after the local copy was rebuilt.
///
/// ```no_run
/// # #[goka::table(group = "my-group", value = i64)]
/// # pub struct Clicks;
/// # fn read(view: &goka::View<Clicks>) -> goka::Result {
/// let snapshot = view.snapshot()?;
/// let mut sum = 0;
/// for row in snapshot.iter() {
///     sum += row?.1;
/// }
/// let share = snapshot.get("alice")?.unwrap_or(0) as f64 / sum as f64;
/// # drop(share);
/// # Ok(())
/// # }
/// ```
pub struct ViewSnapshot<T> {
    // Dropped before `view`, which keeps the local copy open.
    moments: Vec<Moment>,
    view: View<T>,
}

impl<T> ViewSnapshot<T> {
    fn take(view: View<T>) -> Result<Self> {
        let moments = view
            .partitions()
            .map(|n| view.replica().snapshot(n).map(Snapshot::held));
        Ok(ViewSnapshot {
            moments: moments.collect::<Result<_>>()?,
            view,
        })
    }

    /// Returns the number of rows, without reading them.
    ///
    /// # Errors
    /// [`Error::Expired`] if the snapshot was released; another error if the local copy cannot be read.
    pub fn len(&self) -> Result<u64> {
        let moments = self.moments.iter();
        moments.map(|moment| moment.read(Snapshot::len)).sum()
    }

    /// Whether the snapshot has no rows.
    ///
    /// # Errors
    /// The errors of [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl<T: Topic> ViewSnapshot<T> {
    /// Reads the value at `key`; `None` if there is no row.
    ///
    /// # Errors
    /// [`Error::Decode`] if the value does not decode, [`Error::Expired`] if the snapshot was released; another error
    /// if the local copy cannot be read.
    pub fn get(&self, key: &KeyOf<T>) -> Result<Option<T::Value>> {
        let key = self.view.place(key);
        self.moments[key.index()].read(|snapshot| {
            let value = snapshot.get(&key.bytes)?;
            value
                .map(|value| self.view.decode(&key.bytes, value))
                .transpose()
        })
    }

    /// Whether there is a row at `key`. Does not decode the value.
    ///
    /// # Errors
    /// [`Error::Expired`] if the snapshot was released; another error if the local copy cannot be read.
    pub fn has(&self, key: &KeyOf<T>) -> Result<bool> {
        let key = self.view.place(key);
        self.moments[key.index()].read(|snapshot| Ok(snapshot.get(&key.bytes)?.is_some()))
    }

    /// Iterates over all rows of the snapshot, in the order of [`View::iter`].
    pub fn iter(&self) -> SnapshotRows<'_, T> {
        SnapshotRows::new(self, merge::ALL)
    }

    /// Iterates over the rows whose keys are in `range`.
    pub fn range<'k, R>(&self, range: R) -> SnapshotRows<'_, T>
    where
        R: RangeBounds<&'k KeyOf<T>>,
        KeyOf<T>: 'k,
    {
        SnapshotRows::new(self, merge::range::<T, R>(&range))
    }

    /// Iterates over the rows whose keys begin with the bytes of `prefix` (for `String` keys, with this text).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> SnapshotRows<'_, T> {
        SnapshotRows::new(self, merge::prefix(prefix.as_ref()))
    }
}

impl<'s, T: Topic> IntoIterator for &'s ViewSnapshot<T> {
    type Item = Result<(T::Key, T::Value)>;
    type IntoIter = SnapshotRows<'s, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Source for ViewSnapshot<T> {
    fn read(
        &self,
        partition: i32,
        with: &mut dyn FnMut(&Snapshot) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let moment = usize::try_from(partition).ok();
        let moment = moment.and_then(|index| self.moments.get(index));
        moment.map_or(Err(Error::Closed("the snapshot")), |moment| {
            moment.read(with)
        })
    }
}

impl<T> fmt::Debug for ViewSnapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewSnapshot")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// Iterator over the rows of a [`ViewSnapshot`], with all partitions merged by key.
pub struct SnapshotRows<'s, T> {
    snapshot: &'s ViewSnapshot<T>,
    merge: Merge,
}

impl<'s, T> SnapshotRows<'s, T> {
    fn new(snapshot: &'s ViewSnapshot<T>, bounds: Bounds) -> Self {
        let merge = Merge::new(snapshot.view.partitions(), bounds);
        SnapshotRows { snapshot, merge }
    }
}

impl<T: Topic> SnapshotRows<'_, T> {
    fn step(&mut self, reverse: bool) -> Option<Result<(T::Key, T::Value)>> {
        let row = self.merge.next(self.snapshot, reverse)?;
        Some(row.and_then(|row| self.snapshot.view.decode_row(&row)))
    }
}

impl<T: Topic> Iterator for SnapshotRows<'_, T> {
    type Item = Result<(T::Key, T::Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl<T: Topic> DoubleEndedIterator for SnapshotRows<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}

impl<T> fmt::Debug for SnapshotRows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotRows")
            .field("snapshot", self.snapshot)
            .finish_non_exhaustive()
    }
}
