//! Rows of one partition in memory: those that are written but not stored yet, and, within bounds,
//! those that were stored before, which are likely to be asked for again.
//!
//! Two commit intervals can be uncommitted at once: the *open* one takes what is written now, the
//! *closing* one waits to be *settled*. What is settled is *unstored* until it is stored, which may be
//! several intervals later: a row that was written in each of them is then stored once. A row has a
//! place for its value in the open interval and one for that before it, so that reading it is one
//! search, whichever interval wrote it. All bytes lie in one arena whose memory is used again: a row
//! costs no allocation once the arena has grown. It knows neither Kafka nor LMDB.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// An arena that grew beyond this is given back when it is cleared.
const KEPT_BYTES: usize = 16 << 20;

/// The rows of a partition that are in memory.
#[derive(Default)]
pub(crate) struct Overlay {
    /// Indices of `entries`, by the hash of their key.
    index: HashTable<u32>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Which interval is the open one, counted from 1: no interval has the number 0.
    now: u64,
    /// What was written in the open interval: places in `entries`.
    open: Vec<u32>,
    /// Bytes of it.
    open_bytes: usize,
    /// What was written in the closing interval.
    closing: Vec<u32>,
    /// What was written in settled ones, and is not stored.
    unstored: Vec<u32>,
    order: Vec<(u64, u32)>,
    hasher: DefaultHashBuilder,
}

struct Entry {
    key: Span,
    /// The newest value.
    value: Value,
    /// The interval that wrote it.
    written: u64,
    /// What was written before the open interval and is not stored, if the open one wrote over it; else
    /// only room.
    before: Value,
    /// Whether it is in `unstored`.
    is_unstored: bool,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

/// A value, or a tombstone, and the place for it.
#[derive(Clone, Copy)]
struct Value {
    start: u32,
    /// [`TOMBSTONE`], or how long it is.
    len: u32,
    /// How long one at this place may be.
    room: u32,
}

const TOMBSTONE: u32 = u32::MAX;

const NO_VALUE: Value = Value {
    start: 0,
    len: TOMBSTONE,
    room: 0,
};

impl Overlay {
    /// The newest value. `None`: nothing is known of this key. `Some(None)`: it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.entries.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&i| self.key(i) == key)?;
        Some(self.value(&self.entries[*found as usize].value))
    }

    /// Writes a row, or a tombstone, in the open interval.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&i| self.key(i) == key).copied();
        let i = found.unwrap_or_else(|| self.insert(hash, key));
        let now = self.now;
        let entry = &mut self.entries[i as usize];
        if entry.written != now {
            let is_closing = entry.written + 1 == now && !self.closing.is_empty();
            if is_closing || entry.is_unstored {
                std::mem::swap(&mut entry.value, &mut entry.before);
            }
            entry.written = now;
            self.open.push(i);
            self.open_bytes += size_of::<Entry>() + key.len();
        }
        let place = &mut entry.value;
        let Some(value) = value else {
            place.len = TOMBSTONE;
            return;
        };
        if value.len() > place.room as usize {
            // Values that grow do not need another place each time.
            let room = (value.len() + value.len() / 8).next_multiple_of(8);
            place.start = end_of(&self.bytes);
            place.room = room as u32;
            self.bytes.resize(self.bytes.len() + room, 0);
            self.open_bytes += room;
        }
        place.len = value.len() as u32;
        let start = place.start as usize;
        self.bytes[start..start + value.len()].copy_from_slice(value);
    }

    fn insert(&mut self, hash: u64, key: &[u8]) -> u32 {
        let span = Span {
            start: end_of(&self.bytes),
            len: key.len() as u32,
        };
        self.bytes.extend_from_slice(key);
        let i = u32::try_from(self.entries.len()).expect("an overlay is bounded below 2^32 rows");
        self.entries.push(Entry {
            key: span,
            value: NO_VALUE,
            written: 0,
            before: NO_VALUE,
            is_unstored: false,
        });
        let Self {
            index,
            entries,
            bytes,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, i, |&i| {
            hasher.hash_one(&bytes[entries[i as usize].key.range()])
        });
        self.now = self.now.max(1);
        i
    }

    fn key(&self, i: u32) -> &[u8] {
        &self.bytes[self.entries[i as usize].key.range()]
    }

    fn value(&self, value: &Value) -> Option<&[u8]> {
        let Value { start, len, .. } = *value;
        (len != TOMBSTONE).then(|| &self.bytes[Span { start, len }.range()])
    }

    /// The open interval becomes the closing one, which was settled before.
    pub(crate) fn close_interval(&mut self) {
        debug_assert!(self.closing.is_empty(), "one interval is closed at a time");
        std::mem::swap(&mut self.open, &mut self.closing);
        self.open_bytes = 0;
        self.now += 1;
    }

    /// What was written there last before the open interval, of what is not stored.
    fn value_before(&self, i: u32) -> Option<&[u8]> {
        let entry = &self.entries[i as usize];
        match entry.written == self.now {
            true => self.value(&entry.before),
            false => self.value(&entry.value),
        }
    }

    /// Nothing of the closing interval can fail any more: it may be stored.
    pub(crate) fn settle(&mut self) {
        for i in self.closing.drain(..) {
            let entry = &mut self.entries[i as usize];
            if !std::mem::replace(&mut entry.is_unstored, true) {
                self.unstored.push(i);
            }
        }
    }

    /// How many rows are settled and not stored.
    pub(crate) fn unstored(&self) -> usize {
        self.unstored.len()
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
        let Some(first) = self.unstored.first().map(|&i| self.key(i)) else {
            return;
        };
        let common = self.unstored.iter().fold(first.len(), |common, &i| {
            let both = self.key(i).iter().zip(&first[..common]);
            both.take_while(|(a, b)| a == b).count()
        });
        order.extend(self.unstored.iter().map(|&i| {
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
        let unstored = self.unstored.iter();
        unstored.map(|&i| (self.key(i), self.value_before(i)))
    }

    /// What was settled is stored. Its rows are kept, as long as all take no more than `kept` bytes; if
    /// they do, only those of the open interval are.
    pub(crate) fn stored(&mut self, kept: usize) {
        for i in self.unstored.drain(..) {
            self.entries[i as usize].is_unstored = false;
        }
        if self.size() <= kept {
            return;
        }
        let mut left = Self::default();
        for &i in &self.open {
            left.put(self.key(i), self.value(&self.entries[i as usize].value));
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
        self.bytes.len() + self.entries.len() * (size_of::<Entry>() + 2 * size_of::<u32>())
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
        self.open.clear();
        self.open_bytes = 0;
        self.closing.clear();
        self.unstored.clear();
    }
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

fn end_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("an overlay is bounded below 4 GiB")
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
