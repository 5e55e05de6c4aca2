//! Rows that are written but not committed yet: a map from key to value or tombstone whose memory
//! is reused from one commit interval to the next.
//!
//! All bytes lie in one arena, so that a row costs no allocation once the arena has grown. It knows
//! neither Kafka nor LMDB.

use std::{hash::BuildHasher, ops::Range};

use hashbrown::{DefaultHashBuilder, HashTable};

/// An arena that grew beyond this is given back when it is cleared.
const KEPT_BYTES: usize = 16 << 20;

/// Uncommitted rows of one interval.
#[derive(Default)]
pub(crate) struct Overlay {
    /// Indices of `entries`, by the hash of their key.
    index: HashTable<u32>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    order: Vec<u32>,
    hasher: DefaultHashBuilder,
}

struct Entry {
    key: Range<usize>,
    /// `None` is a tombstone.
    value: Option<Range<usize>>,
    /// Where a value may be overwritten in place.
    room: Range<usize>,
}

impl Overlay {
    /// `None`: this key was not written. `Some(None)`: it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.entries.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&i| self.key(i) == key)?;
        let value = &self.entries[*found as usize].value;
        Some(value.clone().map(|range| &self.bytes[range]))
    }

    /// Writes a row, or a tombstone.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&i| self.key(i) == key).copied();
        let i = found.unwrap_or_else(|| self.insert(hash, key));
        let entry = &mut self.entries[i as usize];
        let Some(value) = value else {
            entry.value = None;
            return;
        };
        if value.len() > entry.room.len() {
            let start = self.bytes.len();
            self.bytes.resize(start + value.len(), 0);
            entry.room = start..self.bytes.len();
        }
        let range = entry.room.start..entry.room.start + value.len();
        self.bytes[range.clone()].copy_from_slice(value);
        entry.value = Some(range);
    }

    fn insert(&mut self, hash: u64, key: &[u8]) -> u32 {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let i =
            u32::try_from(self.entries.len()).expect("a commit interval is capped below 2^32 rows");
        let end = self.bytes.len();
        self.entries.push(Entry {
            key: start..end,
            value: None,
            room: end..end,
        });
        let Self {
            index,
            entries,
            bytes,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, i, |&i| {
            hasher.hash_one(&bytes[entries[i as usize].key.clone()])
        });
        i
    }

    fn key(&self, i: u32) -> &[u8] {
        &self.bytes[self.entries[i as usize].key.clone()]
    }

    /// All rows in ascending order of keys: what LMDB writes fastest.
    pub(crate) fn sorted<E>(
        &mut self,
        mut row: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..self.entries.len() as u32);
        order.sort_unstable_by(|&a, &b| self.key(a).cmp(self.key(b)));
        let written = order.iter().try_for_each(|&i| {
            let value = self.entries[i as usize].value.clone();
            row(self.key(i), value.map(|range| &self.bytes[range]))
        });
        self.order = order;
        written
    }

    /// All rows, in the order in which their keys were first written.
    pub(crate) fn each(&self, mut row: impl FnMut(&[u8], Option<&[u8]>)) {
        for entry in &self.entries {
            let value = entry.value.clone().map(|range| &self.bytes[range]);
            row(&self.bytes[entry.key.clone()], value);
        }
    }

    /// Memory in use, bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all rows; keeps the memory, within reason.
    pub(crate) fn clear(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
            *self = Self {
                hasher: self.hasher.clone(),
                ..Self::default()
            };
            return;
        }
        self.index.clear();
        self.entries.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, convert::Infallible};

    use proptest::prelude::*;

    use super::Overlay;

    proptest! {
        #[test]
        fn behaves_as_a_map(writes in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..3), prop::option::of(prop::collection::vec(any::<u8>(), 0..9))),
            0..200,
        )) {
            let (mut overlay, mut model) = (Overlay::default(), BTreeMap::new());
            for _ in 0..2 {
                for (key, value) in &writes {
                    overlay.put(key, value.as_deref());
                    model.insert(key.clone(), value.clone());
                    prop_assert_eq!(overlay.get(key), Some(value.as_deref()));
                }
                let mut sorted = Vec::new();
                let done: Result<(), Infallible> = overlay.sorted(|key, value| {
                    sorted.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                    Ok(())
                });
                prop_assert!(done.is_ok());
                prop_assert_eq!(sorted, model.clone().into_iter().collect::<Vec<_>>());
                overlay.clear();
                model.clear();
                prop_assert_eq!(overlay.get(b"a"), None);
            }
        }
    }
}
