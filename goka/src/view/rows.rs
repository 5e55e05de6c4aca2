//! Iterators over the rows of a view. Must not know how partitions are merged.

use std::{fmt, ops::RangeBounds};

use crate::{
    base::error::{Error, Result},
    store::Snapshot,
    typed::{context::KeyOf, topic::Topic},
    view::{
        merge::{self, Bounds, Merge, Source},
        opened::View,
    },
};

impl<T: Topic> View<T> {
    /// Iterates over all rows, in ascending order of the bytes of their keys, or in descending order with
    /// [`rev`](Iterator::rev).
    ///
    /// `String` keys are in the order of their text. Integer keys are encoded as decimal text, so integer keys are in
    /// the order of this text, and not in the order of their values. Partitions are read in chunks, so the iterator
    /// may or may not return a row that is written during the iteration. For consistent reads, take a
    /// [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// An item is an error if its row does not decode; the iteration then continues. If the local copy cannot be read,
    /// the error is the last item.
    pub fn iter(&self) -> Rows<T> {
        Rows::new(self.clone(), merge::ALL)
    }

    /// Iterates over the rows whose keys are in `range`, like [`iter`](Self::iter).
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # fn read(view: &goka::View<Clicks>) -> goka::Result {
    /// // The last three whose names begin with a, b or c.
    /// for row in view.range("a".."d").rev().take(3) {
    ///     let (user, clicks) = row?;
    ///     println!("{user} {clicks}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn range<'k, R>(&self, range: R) -> Rows<T>
    where
        R: RangeBounds<&'k KeyOf<T>>,
        KeyOf<T>: 'k,
    {
        Rows::new(self.clone(), merge::range::<T, R>(&range))
    }

    /// Iterates over the rows whose keys begin with the bytes of `prefix` (for `String` keys, with this text), like
    /// [`iter`](Self::iter).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Rows<T> {
        Rows::new(self.clone(), merge::prefix(prefix.as_ref()))
    }
}

/// Iterator over the rows of a [`View`], with all partitions merged by key. See [`View::iter`].
pub struct Rows<T> {
    view: View<T>,
    merge: Merge,
}

impl<T> Rows<T> {
    fn new(view: View<T>, bounds: Bounds) -> Self {
        let merge = Merge::new(view.partitions(), bounds);
        Rows { view, merge }
    }
}

impl<T> Source for View<T> {
    fn read(
        &self,
        partition: i32,
        with: &mut dyn FnMut(&Snapshot) -> Result<(), Error>,
    ) -> Result<(), Error> {
        with(&self.replica().snapshot(partition)?)
    }
}

impl<T: Topic> Rows<T> {
    fn step(&mut self, reverse: bool) -> Option<Result<(T::Key, T::Value)>> {
        let row = self.merge.next(&self.view, reverse)?;
        Some(row.and_then(|row| self.view.decode_row(&row)))
    }
}

impl<T: Topic> Iterator for Rows<T> {
    type Item = Result<(T::Key, T::Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl<T: Topic> DoubleEndedIterator for Rows<T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}

impl<T> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}
