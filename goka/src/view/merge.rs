//! Merges the rows of partitions by key, from either end. Each partition is read in chunks, because a read transaction
//! that is held between reads would prevent the local copy from reusing pages. Must not know types: rows are bytes.

use std::{
    collections::VecDeque,
    ops::{Bound, Range, RangeBounds},
};

use crate::{
    base::error::{Error, Result},
    store::{Snapshot, Span},
    typed::{context::KeyOf, key::Key, topic::Topic},
};

/// Maximum number of rows in a chunk.
const CHUNK_ROWS: usize = 256;
/// Maximum size of a chunk, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// A source of rows, which gives access to a snapshot of each partition.
pub(super) trait Source {
    fn read(
        &self,
        partition: i32,
        with: &mut dyn FnMut(&Snapshot) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

/// A range of encoded keys.
pub(super) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

pub(super) const ALL: Bounds = (Bound::Unbounded, Bound::Unbounded);

/// Encodes the bounds of a range of typed keys.
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

/// Returns the range of all keys that begin with `prefix`.
pub(super) fn prefix(prefix: &[u8]) -> Bounds {
    // The range ends before the next greater prefix of at most the same length. If all bytes of the prefix are 255,
    // the range has no end.
    let behind = prefix.iter().rposition(|byte| *byte < 255).map(|last| {
        let mut behind = prefix[..=last].to_vec();
        behind[last] += 1;
        behind
    });
    let to = behind.map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(prefix.to_vec()), to)
}

/// A merge of the rows of partitions, readable from both ends.
pub(super) struct Merge {
    bounds: Bounds,
    ascending: End,
    descending: End,
}

/// The state of reading from one end.
struct End {
    reverse: bool,
    cursors: Vec<Cursor>,
    /// The last key that was returned from this end.
    given: Option<Vec<u8>>,
}

/// The progress of reading in one partition.
struct Cursor {
    partition: i32,
    rows: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// The last key that was read from the partition.
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

    /// Returns the next row: from the front, or from the back if `reverse`. `None` if the two ends have met.
    pub(super) fn next(
        &mut self,
        source: &dyn Source,
        reverse: bool,
    ) -> Option<Result<(Vec<u8>, Vec<u8>)>> {
        let (end, other) = match reverse {
            false => (&mut self.ascending, &self.descending),
            true => (&mut self.descending, &self.ascending),
        };
        for cursor in &mut end.cursors {
            if let Err(error) = cursor.fill(source, &self.bounds, reverse) {
                // The error is returned once, as the last item.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next() {
        let to = |bytes: &[u8]| prefix(bytes).1;
        assert_eq!(to(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(to(&[1, 255, 255]), Bound::Excluded(vec![2]));
        assert_eq!(to(&[255]), Bound::Unbounded);
        assert_eq!(to(b""), Bound::Unbounded);
    }
}
