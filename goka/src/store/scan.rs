//! Rows in order of their keys, although LMDB holds them in order of stored keys.
//!
//! Keys that are stored whole lie in one stretch, in their order. Long keys lie behind them, and
//! those that share a head are in order of their hashes: they are read together and sorted. Two
//! ordered stretches are then merged.

use std::{mem, ops::Bound, vec};

use heed::{Result, RoRange, RoTxn, types::Bytes};

use super::{bucket, key, rows::Rows};

/// Key and value.
type Row<'t> = (&'t [u8], &'t [u8]);

type Range<'t> = RoRange<'t, Bytes, Bytes>;

/// Rows at or after `from` (after it, if `exclusive`), until `row` returns `false`.
pub(super) fn scan(
    rows: &Rows,
    txn: &RoTxn<'_>,
    from: &[u8],
    exclusive: bool,
    row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<()> {
    let mut whole = Whole(range(rows, txn, key::whole_from(from))?);
    let mut long = Long::new(range(rows, txn, key::long_from(from))?)?;
    let (mut next_whole, mut next_long) = (whole.next()?, long.next()?);
    loop {
        let long_is_first = match (next_whole, next_long) {
            (Some((whole, _)), Some((long, _))) => long < whole,
            (whole, _) => whole.is_none(),
        };
        let next = if long_is_first {
            mem::replace(&mut next_long, long.next()?)
        } else {
            mem::replace(&mut next_whole, whole.next()?)
        };
        let Some((key, value)) = next else {
            return Ok(());
        };
        // What was sought is a stored key, which may lie before what was asked for.
        let before = if exclusive { key <= from } else { key < from };
        if !before && !row(key, value) {
            return Ok(());
        }
    }
}

fn range<'t>(rows: &Rows, txn: &'t RoTxn<'_>, (from, to): (Vec<u8>, Vec<u8>)) -> Result<Range<'t>> {
    let bounds = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
    rows.0.range(txn, &bounds)
}

/// Rows whose keys are stored whole.
struct Whole<'t>(Range<'t>);

impl<'t> Whole<'t> {
    fn next(&mut self) -> Result<Option<Row<'t>>> {
        let next = self.0.next().transpose()?;
        Ok(next.map(|(stored, value)| (key::whole(stored), value)))
    }
}

/// Rows with long keys.
struct Long<'t> {
    buckets: Range<'t>,
    /// The first bucket that is not in `rows`.
    ahead: Option<Row<'t>>,
    /// What is left of the keys with one head, in order.
    rows: vec::IntoIter<Row<'t>>,
}

impl<'t> Long<'t> {
    fn new(mut buckets: Range<'t>) -> Result<Self> {
        let ahead = buckets.next().transpose()?;
        let rows = Vec::new().into_iter();
        Ok(Long {
            buckets,
            ahead,
            rows,
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
        rows.sort_unstable();
        self.rows = rows.into_iter();
        Ok(())
    }
}
