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
//! touched costs as much as decoding a record. So a row is one line, with its key and its values in it
//! if they are small; else they stand together in an arena. All memory is used again: a row costs no
//! allocation once there were as many. It knows neither Kafka nor LMDB.

use std::{cell::Cell, hash::BuildHasher};

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

/// A row, in one line of the cache: its key, room for a value behind it, and, once it is needed, room for
/// another one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry {
    /// Where these stand in the arena; or [`HERE`].
    start: u32,
    key: u32,
    /// How long a value may be.
    room: u32,
    /// How long the values are, or [`TOMBSTONE`].
    values: [u32; 2],
    /// The interval that wrote it last; or [`NEVER`].
    written: u32,
    /// How many values there is room for, 1 or 2.
    rooms: u8,
    /// Which of the values is the newest one. The other was written before the open interval and is not
    /// stored, if the open one wrote over it.
    newest: u8,
    /// Whether it is in `unstored`.
    is_unstored: bool,
    here: [u8; HERE_BYTES],
}

/// What is left of the 64 bytes of a line.
const HERE_BYTES: usize = 37;
const HERE: u32 = u32::MAX;
const TOMBSTONE: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;

impl Overlay {
    /// The newest value. `None`: nothing is known of this key. `Some(None)`: it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.entries.is_empty() {
            return None;
        }
        let found = self.find(self.hasher.hash_one(key), key)?;
        self.found.set(found);
        let entry = &self.entries[found as usize];
        Some(entry.value(entry.newest, &self.arena))
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
            std::hint::black_box(entries.fold(0, |all, entry| all ^ entry.written));
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
        let len = value.map_or(0, <[u8]>::len);
        let i = self.find_or_insert(key, len);
        let entry = &mut self.entries[i as usize];
        if entry.written != self.now {
            entry.written = self.now;
            // What is not stored stays as it is, beside what is written over it.
            match std::mem::replace(&mut entry.is_unstored, true) {
                true => entry.newest ^= 1,
                false => self.unstored.push(i),
            }
            self.open.push(i);
            self.open_bytes += size_of::<Entry>();
        }
        let newest = entry.newest;
        if newest >= entry.rooms || len > entry.room as usize {
            self.move_to_arena(i, len);
        }
        let entry = &mut self.entries[i as usize];
        entry.values[usize::from(newest)] = match value {
            Some(_) => len as u32,
            None => TOMBSTONE,
        };
        let place = entry.place(newest);
        let bytes = match entry.start {
            HERE => &mut entry.here[place..],
            start => &mut self.arena[start as usize + place..],
        };
        bytes[..len].copy_from_slice(value.unwrap_or_default());
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
        let mut entry = Entry {
            start: HERE,
            key: key.len() as u32,
            room: 0,
            values: [TOMBSTONE; 2],
            written: NEVER,
            rooms: 2,
            newest: 0,
            is_unstored: false,
            here: [0; HERE_BYTES],
        };
        let room = HERE_BYTES.saturating_sub(key.len()) / 2;
        if room >= len.max(1) {
            entry.room = room as u32;
            entry.here[..key.len()].copy_from_slice(key);
        } else {
            (entry.rooms, entry.room) = (1, room_for(len));
            entry.start = self.reserve(&entry);
            let start = entry.start as usize;
            self.arena[start..start + key.len()].copy_from_slice(key);
        }
        let i = u32::try_from(self.entries.len()).expect("an overlay is bounded below 2^32 rows");
        self.entries.push(entry);
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

    /// Room in the arena for all of an entry.
    fn reserve(&mut self, entry: &Entry) -> u32 {
        let start = u32::try_from(self.arena.len()).expect("an overlay is bounded below 4 GiB");
        let len = entry.place(entry.rooms);
        self.arena.resize(self.arena.len() + len, 0);
        self.open_bytes += len;
        start
    }

    /// Makes room for both values of an entry, and for one that is so long.
    fn move_to_arena(&mut self, i: u32, len: usize) {
        let old = self.entries[i as usize];
        let mut new = Entry {
            rooms: old.rooms.max(old.newest + 1),
            room: match len <= old.room as usize {
                true => old.room,
                false => room_for(len),
            },
            ..old
        };
        new.start = self.reserve(&new);
        let mut copy = |from: usize, to: usize, len: u32| {
            let (len, to) = (len as usize, new.start as usize + to);
            if old.start == HERE {
                self.arena[to..to + len].copy_from_slice(&old.here[from..from + len]);
            } else {
                let from = old.start as usize + from;
                self.arena.copy_within(from..from + len, to);
            }
        };
        copy(0, 0, old.key);
        for (which, len) in (0..old.rooms).zip(old.values) {
            if len != TOMBSTONE {
                copy(old.place(which), new.place(which), len);
            }
        }
        self.entries[i as usize] = new;
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
        let is_open = entry.written == self.now;
        entry.value(entry.newest ^ u8::from(is_open), &self.arena)
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
    pub(crate) fn sorted<E>(
        &mut self,
        mut row: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut order = std::mem::take(&mut self.order);
        self.sort(&mut order);
        let written = order
            .iter()
            .try_for_each(|&(_, i)| row(self.key(i), self.value_before(i)));
        self.order = order;
        written
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
            left.put(
                entry.key(&self.arena),
                entry.value(entry.newest, &self.arena),
            );
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

impl Entry {
    fn key<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        &self.bytes(arena)[..self.key as usize]
    }

    fn value<'a>(&'a self, which: u8, arena: &'a [u8]) -> Option<&'a [u8]> {
        let len = self.values[usize::from(which)];
        let place = self.place(which);
        (len != TOMBSTONE).then(|| &self.bytes(arena)[place..place + len as usize])
    }

    /// Where a value is, behind the start of the key.
    fn place(&self, which: u8) -> usize {
        self.key as usize + usize::from(which) * self.room as usize
    }

    fn bytes<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        match self.start {
            HERE => &self.here,
            start => &arena[start as usize..],
        }
    }
}

/// Values that grow do not need another place each time.
fn room_for(len: usize) -> u32 {
    let room = (len + len / 8).next_multiple_of(8);
    u32::try_from(room).expect("a record is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, convert::Infallible};

    use proptest::prelude::*;

    use super::Overlay;

    type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    #[derive(Clone, Debug)]
    enum Act {
        Put(Vec<u8>, Option<Vec<u8>>),
        Close,
        Settle,
        Store { kept: usize },
        Clear,
    }

    fn act() -> impl Strategy<Value = Act> {
        let key = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3),
            // Those that differ late, and those that begin with others.
            "user-[0-9]{1,2}".prop_map(String::into_bytes),
            "user-00000000[0-9]{0,2}".prop_map(String::into_bytes),
        ];
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
        prop_oneof![
            20 => (key, value).prop_map(|(key, value)| Act::Put(key, value)),
            2 => Just(Act::Close),
            2 => Just(Act::Settle),
            2 => prop_oneof![Just(0), Just(400), Just(usize::MAX)].prop_map(|kept| Act::Store { kept }),
            1 => Just(Act::Clear),
        ]
    }

    fn sorted(overlay: &mut Overlay) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut rows = Vec::new();
        let done: Result<(), Infallible> = overlay.sorted(|key, value| {
            rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        });
        done.expect("it cannot fail");
        rows
    }

    proptest! {
        #[test]
        fn intervals_behave_as_maps(acts in prop::collection::vec(act(), 0..200)) {
            let mut overlay = Overlay::default();
            let (mut open, mut closing) = (Model::new(), Model::new());
            let mut unstored = Model::new();
            // What was ever stored: what is kept of it is as it was stored last.
            let mut stored = Model::new();
            for act in acts {
                match act {
                    Act::Put(key, value) => {
                        overlay.put(&key, value.as_deref());
                        open.insert(key, value);
                    }
                    Act::Close if closing.is_empty() => {
                        overlay.close_interval();
                        closing = std::mem::take(&mut open);
                    }
                    Act::Close => {}
                    Act::Settle => {
                        let mut told = Model::new();
                        for (key, value) in overlay.closing() {
                            told.insert(key.to_vec(), value.map(<[u8]>::to_vec));
                        }
                        prop_assert_eq!(&told, &closing);
                        overlay.settle();
                        unstored.append(&mut closing);
                        prop_assert_eq!(overlay.unstored(), unstored.len());
                    }
                    Act::Store { .. } if !closing.is_empty() => {}
                    Act::Store { kept } => {
                        let rows = sorted(&mut overlay);
                        prop_assert_eq!(rows, unstored.clone().into_iter().collect::<Vec<_>>());
                        overlay.stored(kept);
                        stored.append(&mut unstored);
                        if kept == 0 {
                            let left = overlay.entries.len();
                            prop_assert_eq!(left, open.len());
                        }
                        prop_assert_eq!(overlay.unstored(), 0);
                    }
                    Act::Clear => {
                        overlay.clear();
                        (open, closing, unstored) = (Model::new(), Model::new(), Model::new());
                        prop_assert!(overlay.entries.is_empty());
                    }
                }
                prop_assert_eq!(overlay.open.len(), open.len());
                for (key, value) in stored.iter().chain(&unstored).chain(&closing).chain(&open) {
                    let newest = open.get(key).or_else(|| closing.get(key));
                    let newest = newest.or_else(|| unstored.get(key));
                    let got = overlay.get(key).map(|value| value.map(<[u8]>::to_vec));
                    match newest {
                        Some(newest) => prop_assert_eq!(got.as_ref(), Some(newest)),
                        None if got.is_some() => prop_assert_eq!(got.as_ref(), Some(value)),
                        None => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_that_grows_is_written_beside_what_waits() {
        let mut overlay = Overlay::default();
        overlay.put(b"a", Some(b"1"));
        overlay.close_interval();
        overlay.put(b"a", Some(b"a longer one"));
        assert_eq!(overlay.get(b"a"), Some(Some(b"a longer one".as_slice())));
        overlay.settle();
        assert_eq!(sorted(&mut overlay), [(b"a".to_vec(), Some(b"1".to_vec()))]);
        overlay.stored(usize::MAX);
        overlay.close_interval();
        overlay.put(b"a", None);
        overlay.settle();
        let row = (b"a".to_vec(), Some(b"a longer one".to_vec()));
        assert_eq!(sorted(&mut overlay), [row]);
        assert_eq!(overlay.get(b"a"), Some(None));
    }
}
