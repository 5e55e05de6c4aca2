//! Rows of one partition in memory, on top of its local copy: rows that are not stored yet and, within bounds, stored
//! rows that are likely to be read again.
//!
//! Two commit intervals can be unacknowledged at the same time: the *open* interval takes what handlers write now, and
//! the *closing* interval waits for its delivery reports. Once a closing interval is acknowledged, its rows are
//! *unstored* until they are written to the local copy. This may be several intervals later: a row that each of these
//! intervals wrote is then stored only once. A row has room for two values, that of the open interval and the previous
//! value, so that a single search finds the newest value, whichever interval wrote it.
//!
//! A search waits for memory, not for the processor: with 100,000 rows, each cache line that a search touches costs as
//! much as decoding a record. Therefore a row is one cache line ([`Entry`]), and rows that will soon be read are
//! prefetched together. Memory is reused: a new row costs an allocation only if there are more rows than ever before.
//! Must not know Kafka or LMDB.

mod entry;
#[cfg(test)]
mod tests;

use std::{cell::Cell, hash::BuildHasher};

use entry::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// An overlay that takes more memory than this, in bytes, gives all of its memory back when it is cleared.
const KEPT_BYTES: usize = 16 << 20;

/// How many rows are prefetched together, see [`Overlay::look_ahead`].
const AHEAD: usize = 32;

/// The rows of a partition that are in memory.
#[derive(Default)]
pub(crate) struct Overlay {
    /// Indices into `entries`, by the hash of the entry's key.
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// Keys and values that are too long for their entries.
    arena: Vec<u8>,
    /// The number of the open interval.
    now: u32,
    /// The rows of the open interval: indices into `entries`.
    open: Vec<u32>,
    /// Memory that the open interval takes, in bytes.
    open_bytes: usize,
    /// The rows of the closing interval: indices into `entries`.
    closing: Vec<u32>,
    /// All rows that are not stored, in the order in which they were first written: first the rows that acknowledged
    /// intervals wrote, then the further rows that the closing interval wrote, then the further rows that the open
    /// interval wrote.
    unstored: Vec<u32>,
    /// The number of rows at the beginning of `unstored` that acknowledged intervals wrote.
    acknowledged: usize,
    /// The number of rows at the beginning of `unstored` that acknowledged intervals or the closing interval wrote.
    closed: usize,
    /// A buffer for sorting, kept to reuse its memory.
    order: Vec<(u64, u32)>,
    /// The index of the row that was found last: the row that a handler has just read is often the row that it writes
    /// next.
    found: Cell<u32>,
    hasher: DefaultHashBuilder,
}

impl Overlay {
    /// The newest value of a key. `None`: the overlay does not have this key. `Some(None)`: the row was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.entries.is_empty() {
            return None;
        }
        let found = self.find(self.hasher.hash_one(key), key)?;
        self.found.set(found);
        Some(self.entries[found as usize].newest(&self.arena))
    }

    /// Prefetches the rows of these keys into the processor's cache. A processor waits for a dozen cache lines at the
    /// same time if no other work separates the loads. Therefore this method first computes all hashes, then finds all
    /// indices, then touches all rows.
    pub(crate) fn look_ahead(&self, keys: &mut dyn Iterator<Item = &[u8]>) {
        if self.entries.is_empty() {
            return;
        }
        let (mut hashes, mut places) = ([0; AHEAD], [0; AHEAD]);
        loop {
            let mut count = 0;
            for (hash, key) in hashes.iter_mut().zip(&mut *keys) {
                *hash = self.hasher.hash_one(key);
                count += 1;
            }
            for (place, hash) in places.iter_mut().zip(&hashes[..count]) {
                // The first index whose hash has the same leading bits, which in most cases is the right one.
                *place = self.index.find(*hash, |_| true).copied().unwrap_or(0);
            }
            let entries = places[..count].iter().map(|i| &self.entries[*i as usize]);
            let touched = entries.fold(0, |all, entry| all ^ entry.touch(&self.arena));
            std::hint::black_box(touched);
            if count < AHEAD {
                return;
            }
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |&i| self.key(i) == key).copied()
    }

    /// Writes a row, or a tombstone, in the open interval.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let before = self.arena.len();
        let i = self.find_or_insert(key, value.map_or(0, <[u8]>::len));
        let entry = &mut self.entries[i as usize];
        if entry.written != self.now {
            entry.written = self.now;
            // A value that is not stored is kept beside the new value.
            match std::mem::replace(&mut entry.is_unstored, true) {
                true => entry.keep(),
                false => self.unstored.push(i),
            }
            self.open.push(i);
            self.open_bytes += size_of::<Entry>();
        }
        entry.set(value, &mut self.arena);
        self.open_bytes += self.arena.len() - before;
    }

    fn find_or_insert(&mut self, key: &[u8], len: usize) -> u32 {
        let last = self.found.get();
        let entry = self.entries.get(last as usize);
        if entry.is_some_and(|entry| entry.key(&self.arena) == key) {
            return last;
        }
        let hash = self.hasher.hash_one(key);
        let found = self.find(hash, key);
        found.unwrap_or_else(|| self.insert(hash, key, len))
    }

    fn insert(&mut self, hash: u64, key: &[u8], len: usize) -> u32 {
        let i = u32::try_from(self.entries.len()).expect("an overlay is bounded below 2^32 rows");
        self.entries.push(Entry::new(key, len, &mut self.arena));
        let Self {
            index,
            entries,
            arena,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, i, |&i| {
            hasher.hash_one(entries[i as usize].key(arena))
        });
        i
    }

    fn key(&self, i: u32) -> &[u8] {
        self.entries[i as usize].key(&self.arena)
    }

    /// Makes the open interval the closing interval. The previous closing interval must be acknowledged already.
    pub(crate) fn close_interval(&mut self) {
        debug_assert!(self.closing.is_empty(), "one interval is closed at a time");
        std::mem::swap(&mut self.open, &mut self.closing);
        self.open_bytes = 0;
        self.closed = self.unstored.len();
        self.now = self.now.wrapping_add(1);
    }

    /// Makes the rows of the open interval part of the closing interval, after the rows that it already has. A row that
    /// both intervals wrote has the value of the open one, and appears twice. Returns the number of rows that the
    /// closing interval had.
    pub(crate) fn join_intervals(&mut self) -> usize {
        let before = self.closing.len();
        self.closing.append(&mut self.open);
        self.open_bytes = 0;
        self.closed = self.unstored.len();
        self.now = self.now.wrapping_add(1);
        before
    }

    /// The value that a row had before the open interval: the value from the last earlier interval that wrote the row.
    fn value_before(&self, i: u32) -> Option<&[u8]> {
        let entry = &self.entries[i as usize];
        match entry.written == self.now {
            true => entry.before(&self.arena),
            false => entry.newest(&self.arena),
        }
    }

    /// Marks the closing interval as acknowledged: its rows may be stored.
    pub(crate) fn acknowledge(&mut self) {
        self.closing.clear();
        self.acknowledged = self.closed;
    }

    /// The number of rows that are acknowledged but not stored.
    pub(crate) fn unstored(&self) -> usize {
        self.acknowledged
    }

    /// The rows that are acknowledged but not stored, in ascending order of their keys: LMDB writes rows fastest in
    /// this order. No interval may be closing, because its values would be among those returned.
    pub(crate) fn sorted(&mut self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut order = std::mem::take(&mut self.order);
        self.sort(&mut order);
        self.order = order;
        let sorted = self.order.iter();
        sorted.map(|&(_, i)| (self.key(i), self.value_before(i)))
    }

    /// Fills `order` with the rows that are acknowledged but not stored, in ascending order of their keys. Compares
    /// first the eight bytes after the prefix that all keys share: these bytes differ for most pairs of keys and,
    /// unlike the keys, are next to each other in memory.
    fn sort(&self, order: &mut Vec<(u64, u32)>) {
        debug_assert!(
            self.closing.is_empty(),
            "unacknowledged rows are not stored"
        );
        order.clear();
        let unstored = &self.unstored[..self.acknowledged];
        let Some(first) = unstored.first().map(|&i| self.key(i)) else {
            return;
        };
        let common = unstored.iter().fold(first.len(), |common, &i| {
            let both = self.key(i).iter().zip(&first[..common]);
            both.take_while(|(a, b)| a == b).count()
        });
        order.extend(unstored.iter().map(|&i| {
            let rest = &self.key(i)[common..];
            let mut eight = [0; 8];
            let len = rest.len().min(8);
            eight[..len].copy_from_slice(&rest[..len]);
            (u64::from_be_bytes(eight), i)
        }));
        order.sort_unstable_by(|(a, i), (b, j)| {
            a.cmp(b).then_with(|| self.key(*i).cmp(self.key(*j)))
        });
    }

    /// The rows of the closing interval, in the order in which this interval first wrote them.
    pub(crate) fn closing(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let closing = self.closing.iter();
        closing.map(|&i| (self.key(i), self.value_before(i)))
    }

    /// The rows that are acknowledged but not stored, in the order in which they were first written.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let acknowledged = self.unstored[..self.acknowledged].iter();
        acknowledged.map(|&i| (self.key(i), self.value_before(i)))
    }

    /// Notes that the acknowledged rows are stored. These rows are kept in memory if all rows together take at most
    /// `kept` bytes; otherwise only the rows of the open interval are kept.
    pub(crate) fn stored(&mut self, kept: usize) {
        debug_assert!(
            self.closing.is_empty(),
            "unacknowledged rows are not stored"
        );
        let (entries, now) = (&mut self.entries, self.now);
        self.unstored.retain(|&i| {
            let entry = &mut entries[i as usize];
            entry.is_unstored = entry.written == now;
            entry.is_unstored
        });
        (self.acknowledged, self.closed) = (0, 0);
        if self.size() <= kept {
            return;
        }
        let mut left = Self::default();
        for &i in &self.open {
            let entry = &self.entries[i as usize];
            left.put(entry.key(&self.arena), entry.newest(&self.arena));
        }
        if self.open.is_empty() {
            self.clear();
        } else {
            *self = left;
        }
    }

    /// Approximate memory that the open interval takes, in bytes.
    pub(crate) fn open_size(&self) -> usize {
        self.open_bytes
    }

    /// Approximate memory that all rows take, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.arena.len() + self.entries.len() * (size_of::<Entry>() + 2 * size_of::<u32>())
    }

    /// Forgets all rows. Keeps the memory for later rows, unless it is more than [`KEPT_BYTES`].
    pub(crate) fn clear(&mut self) {
        if self.arena.capacity() + self.entries.capacity() * size_of::<Entry>() > KEPT_BYTES {
            *self = Self {
                hasher: self.hasher.clone(),
                ..Self::default()
            };
            return;
        }
        self.index.clear();
        self.entries.clear();
        self.arena.clear();
        self.open.clear();
        self.open_bytes = 0;
        self.closing.clear();
        self.unstored.clear();
        (self.acknowledged, self.closed) = (0, 0);
    }
}
