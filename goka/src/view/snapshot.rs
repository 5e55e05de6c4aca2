//! A moment of a view, for many reads.

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
    /// A moment of the table, for many reads.
    ///
    /// # Errors
    /// If the local copy cannot be read, or 4096 snapshots of it are held already.
    pub fn snapshot(&self) -> Result<ViewSnapshot<T>> {
        ViewSnapshot::take(self.clone())
    }
}

/// A moment of a [`View`]: whatever is written afterwards, it stays as it was. It can be kept, and
/// sent to another thread.
///
/// The moment is one per partition, taken one right after the other: what a processor writes to keys
/// of two partitions may be seen in one and not yet in the other.
///
/// Let go of it soon. While one is held, the local copy cannot use the room of deleted and
/// overwritten rows again, and its file grows with every write. So it is taken away after a minute
/// ([`Config::snapshot_max`](crate::Config::snapshot_max)): the first write after that ends it, and
/// its reads are errors then ([`Error::Expired`]). So they are when the copy was rebuilt.
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
    // Before the view, which keeps what they read.
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

    /// How many rows there are. Nothing is read for it.
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn len(&self) -> Result<u64> {
        let moments = self.moments.iter();
        moments.map(|moment| moment.read(Snapshot::len)).sum()
    }

    /// Whether there is no row.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl<T: Topic> ViewSnapshot<T> {
    /// As [`View::get`].
    ///
    /// # Errors
    /// If the value does not decode, or the local copy cannot be read.
    pub fn get(&self, key: &KeyOf<T>) -> Result<Option<T::Value>> {
        let key = self.view.place(key);
        self.moments[key.index()].read(|snapshot| {
            let value = snapshot.get(&key.bytes)?;
            value
                .map(|value| self.view.decode(&key.bytes, value))
                .transpose()
        })
    }

    /// As [`View::has`].
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn has(&self, key: &KeyOf<T>) -> Result<bool> {
        let key = self.view.place(key);
        self.moments[key.index()].read(|snapshot| Ok(snapshot.get(&key.bytes)?.is_some()))
    }

    /// All rows, as [`View::iter`], but of this moment.
    pub fn iter(&self) -> SnapshotRows<'_, T> {
        SnapshotRows::new(self, merge::ALL)
    }

    /// The rows whose keys lie in `range`.
    pub fn range<'k, R>(&self, range: R) -> SnapshotRows<'_, T>
    where
        R: RangeBounds<&'k KeyOf<T>>,
        KeyOf<T>: 'k,
    {
        SnapshotRows::new(self, merge::range::<T, R>(&range))
    }

    /// The rows whose keys begin with these bytes (text, for `String`).
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

/// Rows of a [`ViewSnapshot`], all partitions merged by key.
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
