//! Scans of rows in the order of their keys, ascending or descending, although LMDB orders rows by stored keys.
//!
//! Keys that are stored whole form one stretch, in key order. The long keys form a second stretch; LMDB orders long
//! keys with equal heads by their hashes, so a scan reads these keys together and sorts them. Then the scan merges the
//! two ordered stretches. Must not know what is in a row.

use std::{cmp::Ordering, mem, ops::Bound, vec};

use heed::{Result, RoTxn};

use super::{bucket, key, rows::Rows};

/// A range of rows, and the order of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'k> {
    pub(crate) from: Bound<&'k [u8]>,
    pub(crate) to: Bound<&'k [u8]>,
    /// Whether the scan is descending, from `to` to `from`.
    pub(crate) reverse: bool,
}

/// The key and the value of a row.
type Row<'t> = (&'t [u8], &'t [u8]);

/// Stored keys and stored values from LMDB, ascending or descending.
type Stored<'t> = Box<dyn Iterator<Item = Result<Row<'t>>> + 't>;

impl Span<'_> {
    /// Every row, ascending.
    pub(crate) const ALL: Self = Span {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        reverse: false,
    };

    /// Whether `key` is before, in or after the span, in the order of the scan.
    fn place(&self, key: &[u8]) -> Ordering {
        let below = match self.from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        };
        let above = match self.to {
            Bound::Included(to) => key > to,
            Bound::Excluded(to) => key >= to,
            Bound::Unbounded => false,
        };
        let place = match (below, above) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Greater,
            _ => Ordering::Equal,
        };
        self.in_order(place)
    }

    fn in_order(&self, ordering: Ordering) -> Ordering {
        match self.reverse {
            true => ordering.reverse(),
            false => ordering,
        }
    }
}

/// Passes the rows of a span to `row`, until `row` returns `false`.
pub(super) fn scan(
    rows: &Rows,
    txn: &RoTxn<'_>,
    span: Span<'_>,
    row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<()> {
    let from = match span.from {
        Bound::Included(from) | Bound::Excluded(from) => from,
        Bound::Unbounded => &[],
    };
    let to = match span.to {
        Bound::Included(to) | Bound::Excluded(to) => Some(to),
        Bound::Unbounded => None,
    };
    if to.is_some_and(|to| to < from) {
        return Ok(());
    }
    let mut whole = stored(rows, txn, key::whole_between(from, to), span.reverse)?;
    let long = stored(rows, txn, key::long_between(from, to), span.reverse)?;
    let mut whole = move || -> Result<Option<Row<'_>>> {
        let next = whole.next().transpose()?;
        Ok(next.map(|(stored, value)| (key::whole(stored), value)))
    };
    let mut long = Long::new(long, span)?;
    let (mut next_whole, mut next_long) = (whole()?, long.next()?);
    loop {
        let long_is_first = match (next_whole, next_long) {
            (Some((whole, _)), Some((long, _))) => span.in_order(long.cmp(whole)).is_lt(),
            (whole, _) => whole.is_none(),
        };
        let next = match long_is_first {
            true => mem::replace(&mut next_long, long.next()?),
            false => mem::replace(&mut next_whole, whole()?),
        };
        let Some((key, value)) = next else {
            return Ok(());
        };
        // The bounds above are bounds of stored keys, so they may let keys outside the span through.
        match span.place(key) {
            Ordering::Less => {}
            Ordering::Equal if row(key, value) => {}
            _ => return Ok(()),
        }
    }
}

fn stored<'t>(
    rows: &Rows,
    txn: &'t RoTxn<'_>,
    (from, to): key::Stretch,
    reverse: bool,
) -> Result<Stored<'t>> {
    let bounds = (Bound::Included(&from[..]), Bound::Included(&to[..]));
    Ok(match reverse {
        true => Box::new(rows.0.rev_range(txn, &bounds)?),
        false => Box::new(rows.0.range(txn, &bounds)?),
    })
}

/// Iterates over the rows with long keys, in the order of the span.
struct Long<'t, 's> {
    buckets: Stored<'t>,
    span: Span<'s>,
    /// The stored key and the content of the next bucket, whose rows are not in `rows` yet.
    ahead: Option<Row<'t>>,
    /// The remaining rows whose keys have the current head, in the order of the span.
    rows: vec::IntoIter<Row<'t>>,
}

impl<'t, 's> Long<'t, 's> {
    fn new(mut buckets: Stored<'t>, span: Span<'s>) -> Result<Self> {
        let ahead = buckets.next().transpose()?;
        Ok(Long {
            buckets,
            span,
            ahead,
            rows: Vec::new().into_iter(),
        })
    }

    fn next(&mut self) -> Result<Option<Row<'t>>> {
        if self.rows.len() == 0 {
            self.read_one_head()?;
        }
        Ok(self.rows.next())
    }

    fn read_one_head(&mut self) -> Result<()> {
        let Some((first, _)) = self.ahead else {
            return Ok(());
        };
        let mut rows = Vec::new();
        while let Some((stored, bucket)) = self.ahead
            && key::head(stored) == key::head(first)
        {
            for entry in bucket::Entries(bucket) {
                rows.push(entry?);
            }
            self.ahead = self.buckets.next().transpose()?;
        }
        let span = self.span;
        rows.sort_unstable_by(|(a, _), (b, _)| span.in_order(a.cmp(b)));
        self.rows = rows.into_iter();
        Ok(())
    }
}
