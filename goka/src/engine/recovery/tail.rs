//! The tail of a changelog: its rows at or behind the group's cut. They belong to records that will be handled again,
//! so that they are undone before the partition is claimed. Must not know how a row is undone.

use std::hash::Hasher as _;

use siphasher::{sip::SipHasher24, sip128::Hasher128 as _, sip128::SipHasher24 as SipHasher128};

use crate::{
    base::{error::Error, record::Record},
    engine::{
        cut::Cut,
        table::{overlay::Overlay, rows::Rows},
    },
};

/// The greatest number of offsets whose rows are compared at a time. A longer tail is read several times, each time
/// for a share of the keys, so that its keys never take more than some 100 MB.
const ROWS_MAX: i64 = 1 << 20;
/// Memory, in bytes, that rows may take which were written on purpose behind a clean cut.
const KEPT_MAX: usize = 64 << 20;

/// What is behind the cut of a partition.
#[derive(Default)]
pub(super) struct Tail {
    /// `None`: nothing is undone, because there is no cut, or because the rows behind it are kept.
    cut: Option<Cut>,
    is_reached: bool,
    /// The share of the keys that this reading compares.
    share: Share,
    /// For each key, the hash of the value of its last row.
    rows: Overlay,
    /// Rows that were written on purpose while the group was stopped, with their values.
    kept: Overlay,
    /// The number of rows that were not written on purpose.
    undone: u64,
    /// The timestamp of the oldest row, milliseconds since 1970.
    oldest_ms: Option<i64>,
    /// Whether rows before the cut may have been compacted away because of rows in the tail.
    has_holes: bool,
}

/// A share of all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    nth: u64,
    of: u64,
}

impl Default for Share {
    fn default() -> Self {
        Share { nth: 0, of: 1 }
    }
}

impl Share {
    /// The first share of a tail of `rows` offsets.
    fn first(rows: i64) -> Self {
        let of = u64::try_from(rows / ROWS_MAX).unwrap_or(0) + 1;
        Share { nth: 0, of }
    }

    /// The share after this one; `None` if this one is the last.
    pub(super) fn next(self) -> Option<Self> {
        let nth = self.nth + 1;
        (nth < self.of).then_some(Share { nth, ..self })
    }

    fn has(self, key: &[u8]) -> bool {
        self.of == 1 || {
            let mut hasher = SipHasher24::new();
            hasher.write(key);
            hasher.finish() % self.of == self.nth
        }
    }
}

/// How a restore begins.
#[derive(Default)]
pub(super) struct Start {
    /// Why the rows behind the cut are kept.
    keep: Option<&'static str>,
    /// The share of the tail's keys that is compared. `None` for the first one.
    share: Option<Share>,
    /// Rows that earlier shares have found to be written on purpose.
    kept: Overlay,
}

impl Start {
    pub(super) fn keeping(reason: &'static str) -> Self {
        Start {
            keep: Some(reason),
            ..Start::default()
        }
    }

    /// Why the rows behind the cut are kept; `None` if they are undone.
    pub(super) fn keep(&self) -> Option<&'static str> {
        self.keep
    }

    pub(super) fn share(share: Share, kept: Overlay) -> Self {
        Start {
            keep: None,
            share: Some(share),
            kept,
        }
    }
}

impl Tail {
    /// The tail behind `cut` of a changelog that ends at `end`.
    pub(super) fn behind(cut: Cut, end: i64, start: Start) -> Self {
        Tail {
            share: start
                .share
                .unwrap_or_else(|| Share::first(end - cut.changelog)),
            cut: Some(cut),
            kept: start.kept,
            ..Tail::default()
        }
    }

    /// The offset at which the tail begins. `None`: there is no tail.
    pub(super) fn from(&self) -> Option<i64> {
        self.cut.map(|cut| cut.changelog)
    }

    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// Whether reading has come to the tail: the local copy has all rows before it.
    pub(super) fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// Notes that the local copy has all rows before the tail. `has_holes`: rows may have been compacted away because
    /// of rows in the tail.
    pub(super) fn reach(&mut self, has_holes: bool) {
        (self.is_reached, self.has_holes) = (true, has_holes);
    }

    /// Adds a row of the tail.
    pub(super) fn take(&mut self, record: &Record<'_>) {
        let (Some(cut), Some(key)) = (self.cut, record.key) else {
            return;
        };
        if !self.share.has(key) {
            return;
        }
        let oldest_ms = self.oldest_ms.unwrap_or(record.timestamp);
        self.oldest_ms = Some(oldest_ms.min(record.timestamp));
        if cut.is_clean && record.timestamp >= cut.at_ms {
            self.kept.put(key, record.value);
        } else {
            self.undone += 1;
        }
        let hash = record.value.map(hash);
        self.rows.put(key, hash.as_ref().map(|hash| &hash[..]));
    }

    /// Whether so many rows were written on purpose that they should not be held in memory, and no other rows were
    /// found.
    pub(super) fn is_all_on_purpose(&self) -> bool {
        self.undone == 0 && self.kept.size() > KEPT_MAX
    }

    /// Whether rows before the tail may have been compacted away because of rows in the tail.
    pub(super) fn has_holes(&self) -> bool {
        self.has_holes
    }

    /// The timestamp of the oldest row, milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.oldest_ms
    }

    /// The keys whose last row differs from the row that they have at the cut, in ascending order. `copy` are the rows
    /// at the cut.
    ///
    /// # Errors
    /// The local copy cannot be read.
    pub(super) fn changed(&mut self, copy: &Rows) -> Result<Vec<Vec<u8>>, Error> {
        self.rows.close_interval();
        self.rows.acknowledge();
        let mut changed = Vec::new();
        for (key, last) in self.rows.sorted() {
            let is_same = |value: Option<&[u8]>| value.map(hash).as_ref().map(|h| &h[..]) == last;
            let is_same = match self.kept.get(key) {
                Some(value) => is_same(value),
                None => copy.read_sent(key, is_same)?,
            };
            if !is_same {
                changed.push(key.to_vec());
            }
        }
        Ok(changed)
    }

    /// The rows that were written on purpose, which belong to the table.
    pub(super) fn into_kept(self) -> Overlay {
        self.kept
    }
}

fn hash(value: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher128::new();
    hasher.write(value);
    hasher.finish128().as_bytes()
}
