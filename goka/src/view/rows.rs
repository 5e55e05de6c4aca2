//! Rows in order, from either end: the partitions of a view or of a snapshot, merged by key. Each
//! partition is read in chunks, so that no read transaction is held between them, which would keep
//! the file from reusing pages. Until [`Merge`] has put them in order, rows are bytes.

use std::{
    collections::VecDeque,
    fmt,
    ops::{Bound, Range, RangeBounds},
};

use super::{View, ViewSnapshot};
use crate::{
    base::error::{Error, Result},
    store::{Snapshot, Span},
    typed::{context::KeyOf, key::Key, topic::Topic},
};

/// A chunk ends with so many rows, or bytes.
const CHUNK_ROWS: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;

/// Where rows are read from: something that gives a snapshot of a partition.
pub(super) trait Source {
    fn read(
        &self,
        partition: i32,
        with: &mut dyn FnMut(&Snapshot) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

/// Bounds of keys, as bytes.
pub(super) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

pub(super) const ALL: Bounds = (Bound::Unbounded, Bound::Unbounded);

/// The bounds of a range.
pub(super) fn range<'k, T, R>(range: &R) -> Bounds
where
    T: Topic,
    R: RangeBounds<&'k KeyOf<T>>,
    KeyOf<T>: 'k,
{
    let encoded = |bound: Bound<&&KeyOf<T>>| {
        bound.map(|key| {
            let mut bytes = Vec::new();
            T::Key::encode(key, &mut bytes);
            bytes
        })
    };
    (encoded(range.start_bound()), encoded(range.end_bound()))
}

/// The bounds of all keys that begin with a prefix.
pub(super) fn prefix(prefix: &[u8]) -> Bounds {
    // Behind them comes the next prefix of no greater length; behind 255s comes nothing.
    let behind = prefix.iter().rposition(|byte| *byte < 255).map(|last| {
        let mut behind = prefix[..=last].to_vec();
        behind[last] += 1;
        behind
    });
    let to = behind.map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(prefix.to_vec()), to)
}

/// A merge of partitions, from both ends.
pub(super) struct Merge {
    bounds: Bounds,
    ascending: End,
    descending: End,
}

/// What is read from one end.
struct End {
    reverse: bool,
    cursors: Vec<Cursor>,
    /// The key that was given last.
    given: Option<Vec<u8>>,
}

/// Where it is in one partition.
struct Cursor {
    partition: i32,
    rows: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// The last key that was read.
    read: Option<Vec<u8>>,
    at_end: bool,
}

impl Merge {
    pub(super) fn new(partitions: Range<i32>, bounds: Bounds) -> Self {
        let end = |reverse| {
            let cursors = partitions.clone().map(|partition| Cursor {
                partition,
                rows: VecDeque::new(),
                read: None,
                at_end: false,
            });
            End {
                reverse,
                cursors: cursors.collect(),
                given: None,
            }
        };
        Merge {
            bounds,
            ascending: end(false),
            descending: end(true),
        }
    }

    /// The next row from the front, or from the back.
    fn next(&mut self, source: &dyn Source, reverse: bool) -> Option<Result<(Vec<u8>, Vec<u8>)>> {
        let (end, other) = match reverse {
            false => (&mut self.ascending, &self.descending),
            true => (&mut self.descending, &self.ascending),
        };
        for cursor in &mut end.cursors {
            if let Err(error) = cursor.fill(source, &self.bounds, reverse) {
                // Told once; there is nothing behind it.
                self.ascending.cursors.clear();
                self.descending.cursors.clear();
                return Some(Err(error));
            }
        }
        let (key, value) = end.pop()?;
        let met = |given: &Vec<u8>| match reverse {
            false => key >= *given,
            true => key <= *given,
        };
        if other.given.as_ref().is_some_and(met) {
            end.cursors.clear();
            return None;
        }
        end.given.get_or_insert_default().clone_from(&key);
        Some(Ok((key, value)))
    }
}

impl End {
    fn pop(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let waiting = self.cursors.iter_mut();
        let waiting = waiting.filter(|cursor| !cursor.rows.is_empty());
        let by_key = |a: &&mut Cursor, b: &&mut Cursor| a.rows[0].0.cmp(&b.rows[0].0);
        let first = match self.reverse {
            false => waiting.min_by(by_key),
            true => waiting.max_by(by_key),
        };
        first?.rows.pop_front()
    }
}

impl Cursor {
    fn fill(&mut self, source: &dyn Source, bounds: &Bounds, reverse: bool) -> Result<(), Error> {
        if self.at_end || !self.rows.is_empty() {
            return Ok(());
        }
        let span = |read: &'_ Option<Vec<u8>>| -> Bounds {
            let (from, to) = bounds.clone();
            match (read.clone(), reverse) {
                (Some(read), false) => (Bound::Excluded(read), to),
                (Some(read), true) => (from, Bound::Excluded(read)),
                (None, _) => (from, to),
            }
        };
        let (from, to) = span(&self.read);
        let span = Span {
            from: from.as_ref().map(Vec::as_slice),
            to: to.as_ref().map(Vec::as_slice),
            reverse,
        };
        let (rows, mut bytes, mut full) = (&mut self.rows, 0, false);
        source.read(self.partition, &mut |snapshot| {
            snapshot.scan_span(span, &mut |key, value| {
                rows.push_back((key.to_vec(), value.to_vec()));
                bytes += key.len() + value.len();
                full = rows.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES;
                !full
            })
        })?;
        self.at_end = !full;
        if let Some((key, _)) = self.rows.back() {
            self.read.get_or_insert_default().clone_from(key);
        }
        Ok(())
    }
}

/// Rows of a [`View`], all partitions merged by key. See [`View::iter`].
pub struct Rows<T> {
    view: View<T>,
    merge: Merge,
}

impl<T> Rows<T> {
    pub(super) fn new(view: View<T>, bounds: Bounds) -> Self {
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
        Some(row.and_then(|row| typed(&self.view, &row)))
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

/// Rows of a [`ViewSnapshot`], all partitions merged by key.
pub struct SnapshotRows<'s, T> {
    snapshot: &'s ViewSnapshot<T>,
    merge: Merge,
}

impl<'s, T> SnapshotRows<'s, T> {
    pub(super) fn new(snapshot: &'s ViewSnapshot<T>, bounds: Bounds) -> Self {
        let merge = Merge::new(snapshot.view().partitions(), bounds);
        SnapshotRows { snapshot, merge }
    }
}

impl<T: Topic> SnapshotRows<'_, T> {
    fn step(&mut self, reverse: bool) -> Option<Result<(T::Key, T::Value)>> {
        let row = self.merge.next(self.snapshot, reverse)?;
        Some(row.and_then(|row| typed(self.snapshot.view(), &row)))
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

fn typed<T: Topic>(
    view: &View<T>,
    (key, value): &(Vec<u8>, Vec<u8>),
) -> Result<(T::Key, T::Value)> {
    Ok((view.decode_key(key)?, view.decode(key, value)?))
}
