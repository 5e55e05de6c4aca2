//! A row in one cache line: its key, its newest value and, where needed, the previous value. Keys and values that are
//! too long for the line are in an arena. Must not know intervals.

/// A row.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Entry {
    /// Offset of key and values in the arena, or [`HERE`].
    start: u32,
    /// Length of the key.
    key: u32,
    /// Room for one value, bytes.
    room: u32,
    /// Lengths of the two values, or [`TOMBSTONE`].
    values: [u32; 2],
    /// Number of the interval that wrote the row last, or [`NEVER`].
    pub(super) written: u32,
    /// For how many values there is room after the key: 1 or 2.
    rooms: u8,
    /// Which of the values is the newest.
    newest: u8,
    /// Whether some interval wrote the row and it is not stored.
    pub(super) is_unstored: bool,
    here: [u8; HERE_BYTES],
}

const _: () = assert!(size_of::<Entry>() == 64);

/// What the fields leave of the 64 bytes of a cache line.
const HERE_BYTES: usize = 37;
/// Key and values are in the entry, not in the arena.
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

    /// The newest value. `None`: a tombstone.
    pub(super) fn newest<'a>(&'a self, arena: &'a [u8]) -> Option<&'a [u8]> {
        self.value(self.newest, arena)
    }

    /// The value that was the newest one at the last [`keep`](Self::keep).
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

    /// Reads one byte of the key, which brings its cache line into the cache.
    pub(super) fn touch(&self, arena: &[u8]) -> u8 {
        self.bytes(arena).first().copied().unwrap_or_default()
    }

    /// Keeps the newest value: the next value is written beside it, over the previous one.
    pub(super) fn keep(&mut self) {
        self.newest ^= 1;
    }

    /// Writes the newest value.
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

    /// Offset of a value from the start of the key.
    fn place(&self, which: u8) -> usize {
        self.key as usize + usize::from(which) * self.room as usize
    }

    /// Moves key and values to the end of the arena, with room for `len` bytes a value.
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

/// Room for a value of `len` bytes, and some more: a value that grows does not move each time.
fn room_for(len: usize) -> u32 {
    let room = (len + len / 8).next_multiple_of(8);
    u32::try_from(room).expect("a record is shorter than 4 GiB")
}
