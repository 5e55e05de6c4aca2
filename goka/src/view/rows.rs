//! The rows of a view, or of a range of it, in the order of their keys.

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
    /// All rows, in ascending order of the bytes of their keys (text order for `String`; integers
    /// are decimal text), or from the end with [`rev`](Iterator::rev). Each partition is read in
    /// chunks: a row that is written while the iterator runs may be seen or not. For rows of one
    /// moment, take a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// Each item may be one: a row that does not decode, or a copy that cannot be read, which is
    /// the last item.
    pub fn iter(&self) -> Rows<T> {
        Rows::new(self.clone(), merge::ALL)
    }

    /// The rows whose keys lie in `range`, as [`iter`](Self::iter).
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

    /// The rows whose keys begin with these bytes (text, for `String`), as [`iter`](Self::iter).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Rows<T> {
        Rows::new(self.clone(), merge::prefix(prefix.as_ref()))
    }
}

/// Rows of a [`View`], all partitions merged by key. See [`View::iter`].
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
