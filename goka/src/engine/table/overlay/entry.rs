//! A row in one cache line: its key, its newest value and, where needed, the previous value. Keys and values that are
//! too long for the line are in an arena, which all rows share. Must not know intervals.

/// A row.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Entry {
    /// Offset of the key and the values in the arena, or [`HERE`] if they are in the entry.
    start: u32,
    /// Length of the key, in bytes.
    key: u32,
    /// Room for each value, in bytes.
    room: u32,
    /// Length of each of the two values in bytes, or [`TOMBSTONE`].
    values: [u32; 2],
    /// Number of the interval that last wrote the row, or [`NEVER`].
    pub(super) written: u32,
    /// The number of values for which there is room after the key: 1 or 2.
    rooms: u8,
    /// The index of the newest value: 0 or 1.
    newest: u8,
    /// Whether an interval wrote the row and the row is not stored yet.
    pub(super) is_unstored: bool,
    here: [u8; HERE_BYTES],
}

const _: () = assert!(size_of::<Entry>() == 64);

/// The bytes that the other fields leave free of the 64 bytes of a cache line.
const HERE_BYTES: usize = 37;
/// Value of `start` if the key and the values are in the entry, not in the arena.
const HERE: u32 = u32::MAX;
const TOMBSTONE: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;

impl Entry {
    /// A row without a value yet, with room for a value of `len` bytes.
    pub(super) fn new(key: &[u8], len: usize, arena: &mut Vec<u8>) -> Entry {
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
            entry.start = entry.reserve(arena);
            arena[entry.start as usize..][..key.len()].copy_from_slice(key);
        }
        entry
    }

    pub(super) fn key<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        &self.bytes(arena)[..self.key as usize]
    }

    /// The newest value. `None`: the newest value is a tombstone.
    pub(super) fn newest<'a>(&'a self, arena: &'a [u8]) -> Option<&'a [u8]> {
        self.value(self.newest, arena)
    }

    /// The value that was the newest one when [`keep`](Self::keep) was last called.
    pub(super) fn before<'a>(&'a self, arena: &'a [u8]) -> Option<&'a [u8]> {
        self.value(self.newest ^ 1, arena)
    }

    fn value<'a>(&'a self, which: u8, arena: &'a [u8]) -> Option<&'a [u8]> {
        let len = self.values[usize::from(which)];
        let place = self.place(which);
        (len != TOMBSTONE).then(|| &self.bytes(arena)[place..][..len as usize])
    }

    fn bytes<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        match self.start {
            HERE => &self.here,
            start => &arena[start as usize..],
        }
    }

    /// Reads the first byte of the key, to bring the cache line of the key into the processor's cache.
    pub(super) fn touch(&self, arena: &[u8]) -> u8 {
        self.bytes(arena).first().copied().unwrap_or_default()
    }

    /// Keeps the newest value as the previous one: the next value is written over the older of the two values.
    pub(super) fn keep(&mut self) {
        self.newest ^= 1;
    }

    /// Writes `value` as the newest value. `None` writes a tombstone.
    pub(super) fn set(&mut self, value: Option<&[u8]>, arena: &mut Vec<u8>) {
        let len = value.map_or(0, <[u8]>::len);
        if self.newest >= self.rooms || len > self.room as usize {
            self.grow(len, arena);
        }
        self.values[usize::from(self.newest)] = match value {
            Some(_) => len as u32,
            None => TOMBSTONE,
        };
        let place = self.place(self.newest);
        let bytes = match self.start {
            HERE => &mut self.here[place..],
            start => &mut arena[start as usize + place..],
        };
        bytes[..len].copy_from_slice(value.unwrap_or_default());
    }

    /// Distance of a value from the start of the key, in bytes.
    fn place(&self, which: u8) -> usize {
        self.key as usize + usize::from(which) * self.room as usize
    }

    /// Moves the key and the values to the end of the arena, with room for at least `len` bytes per value.
    fn grow(&mut self, len: usize, arena: &mut Vec<u8>) {
        let old = *self;
        self.rooms = old.rooms.max(old.newest + 1);
        if len > old.room as usize {
            self.room = room_for(len);
        }
        self.start = self.reserve(arena);
        let start = self.start as usize;
        let mut copy = |from: usize, to: usize, len: u32| {
            let (to, len) = (start + to, len as usize);
            match old.start {
                HERE => arena[to..to + len].copy_from_slice(&old.here[from..from + len]),
                old => arena.copy_within(old as usize + from..old as usize + from + len, to),
            }
        };
        copy(0, 0, old.key);
        for (which, len) in (0..old.rooms).zip(old.values) {
            if len != TOMBSTONE {
                copy(old.place(which), self.place(which), len);
            }
        }
    }

    fn reserve(&self, arena: &mut Vec<u8>) -> u32 {
        let start = u32::try_from(arena.len()).expect("an overlay is bounded below 4 GiB");
        arena.resize(arena.len() + self.place(self.rooms), 0);
        start
    }
}

/// The room to reserve for a value of `len` bytes: somewhat more than `len`, so that a growing value does not move
/// each time it is written.
fn room_for(len: usize) -> u32 {
    let room = (len + len / 8).next_multiple_of(8);
    u32::try_from(room).expect("a record is shorter than 4 GiB")
}
