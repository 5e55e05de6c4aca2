//! Rows of one partition in memory: those that are written but not stored yet, and, within bounds,
//! those that were stored before, which are likely to be asked for again.
//!
//! Two commit intervals can be uncommitted at once: the *open* one takes what is written now, the
//! *closing* one waits to be *settled*. What is settled is *unstored* until it is stored, which may be
//! several intervals later: a row that was written in each of them is then stored once. A row has a
//! place for its value in the open interval and one for that before it, so that reading it is one
//! search, whichever interval wrote it.
//!
//! Searches wait for memory, not for the processor: with 100,000 rows, each line of the cache that is
//! touched costs as much as decoding a record. So a row is one line ([`Entry`]), and rows that are about
//! to be read are fetched side by side. All memory is used again: a row costs no allocation once there
//! were as many. It knows neither Kafka nor LMDB.

mod entry;
#[cfg(test)]
mod tests;

use std::{cell::Cell, hash::BuildHasher};

use entry::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Memory beyond this is given back when it is cleared.
const KEPT_BYTES: usize = 16 << 20;

/// How many rows are looked for at a time, see [`Overlay::look_ahead`].
const AHEAD: usize = 32;

/// The rows of a partition that are in memory.
#[derive(Default)]
pub(crate) struct Overlay {
    /// Indices of `entries`, by the hash of their key.
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// Keys and values that are too long for their entries.
    arena: Vec<u8>,
    /// Which interval is the open one.
    now: u32,
    /// What was written in the open interval: places in `entries`.
    open: Vec<u32>,
    /// Bytes of it.
    open_bytes: usize,
    /// What was written in the closing interval.
    closing: Vec<u32>,
    /// What was written in any of them and is not stored, in the order in which it was first written:
    /// first what settled intervals wrote, then what only the closing one did, and the open one.
    unstored: Vec<u32>,
    /// How many of those are of settled intervals, and of those or the closing one.
    settled: usize,
    closed: usize,
    order: Vec<(u64, u32)>,
    /// What was found last: a row that was read is often written next.
    found: Cell<u32>,
    hasher: DefaultHashBuilder,
}

impl Overlay {
    /// The newest value. `None`: nothing is known of this key. `Some(None)`: it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.entries.is_empty() {
            return None;
        }
        let found = self.find(self.hasher.hash_one(key), key)?;
        self.found.set(found);
        Some(self.entries[found as usize].newest(&self.arena))
    }

    /// Brings rows to the cache that will soon be read. A processor waits for a dozen lines at a time if nothing is
    /// between one and the next: so first all hashes, then all places, and then all rows.
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
                // The first one whose hash begins as this one does: most often it is the right one.
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
            // What is not stored stays as it is, beside what is written over it.
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

    /// The open interval becomes the closing one, which was settled before.
    pub(crate) fn close_interval(&mut self) {
        debug_assert!(self.closing.is_empty(), "one interval is closed at a time");
        std::mem::swap(&mut self.open, &mut self.closing);
        self.open_bytes = 0;
        self.closed = self.unstored.len();
        self.now = self.now.wrapping_add(1);
    }

    /// What was written there last before the open interval, of what is not stored.
    fn value_before(&self, i: u32) -> Option<&[u8]> {
        let entry = &self.entries[i as usize];
        match entry.written == self.now {
            true => entry.before(&self.arena),
            false => entry.newest(&self.arena),
        }
    }

    /// Nothing of the closing interval can fail any more: it may be stored.
    pub(crate) fn settle(&mut self) {
        self.closing.clear();
        self.settled = self.closed;
    }

    /// How many rows are settled and not stored.
    pub(crate) fn unstored(&self) -> usize {
        self.settled
    }

    /// The rows that are settled and not stored, in ascending order of keys: what LMDB writes fastest. No
    /// interval is closing: its values would be among them.
    pub(crate) fn sorted(&mut self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut order = std::mem::take(&mut self.order);
        self.sort(&mut order);
        self.order = order;
        let sorted = self.order.iter();
        sorted.map(|&(_, i)| (self.key(i), self.value_before(i)))
    }

    /// By the eight bytes behind what all keys begin with, which are seldom the same: keys are not
    /// next to each other in memory, numbers are.
    fn sort(&self, order: &mut Vec<(u64, u32)>) {
        debug_assert!(self.closing.is_empty(), "what is not settled is not stored");
        order.clear();
        let unstored = &self.unstored[..self.settled];
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

    /// The rows of the closing interval, in the order in which they were first written in it.
    pub(crate) fn closing(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let closing = self.closing.iter();
        closing.map(|&i| (self.key(i), self.value_before(i)))
    }

    /// The rows that are settled and not stored, in the order in which they were first written.
    pub(crate) fn settled(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let settled = self.unstored[..self.settled].iter();
        settled.map(|&i| (self.key(i), self.value_before(i)))
    }

    /// What was settled is stored. Its rows are kept, as long as all take no more than `kept` bytes; if
    /// they do, only those of the open interval are.
    pub(crate) fn stored(&mut self, kept: usize) {
        debug_assert!(self.closing.is_empty(), "what is not settled is not stored");
        let (entries, now) = (&mut self.entries, self.now);
        self.unstored.retain(|&i| {
            let entry = &mut entries[i as usize];
            // What the open interval wrote.
            entry.is_unstored = entry.written == now;
            entry.is_unstored
        });
        (self.settled, self.closed) = (0, 0);
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

    /// Memory that the open interval takes, about, bytes.
    pub(crate) fn open_size(&self) -> usize {
        self.open_bytes
    }

    /// Memory that all rows take, about, bytes.
    pub(crate) fn size(&self) -> usize {
        self.arena.len() + self.entries.len() * (size_of::<Entry>() + 2 * size_of::<u32>())
    }

    /// Forgets all rows; keeps the memory, within reason.
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
        (self.settled, self.closed) = (0, 0);
    }
}
