//! Compares local copies on disk, read with LMDB after all processes have ended, with the changelog, byte for byte. A
//! copy has to hold what the changelog holds up to the position stored with the copy. If the process was killed while
//! it stored rows in parts, single rows may be newer, up to the stored offset `reaches`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, bail};
use goka_tests::{
    Record,
    stored::{self, Stored},
};

/// The byte before a key that is stored as it is; all keys of the input are short enough for that.
const WHOLE: u8 = 0;

/// Rows by their keys.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A copy of one partition.
struct Copy {
    rows: Rows,
    /// The next offset of the changelog to be read.
    position: i64,
    /// All rows come from before this offset.
    reaches: i64,
}

/// Compares every copy below a state directory with the changelog, whose records are in order of their offsets. Returns
/// the partition and the position of each copy.
pub(crate) fn compare(
    state: &Path,
    table: &[Record],
    complain: &mut dyn FnMut(String),
) -> anyhow::Result<Vec<(i32, i64)>> {
    let mut compared = Vec::new();
    for path in stored::find(state)? {
        let copy = read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let partition = path.file_name().and_then(|name| name.to_str());
        let partition = partition.unwrap_or_default();
        // A copy that is being rebuilt is in the same directory as the old one, with the suffix `.new`; the same rules
        // hold for it.
        let partition = partition.strip_suffix(".new").unwrap_or(partition);
        let partition: i32 = partition.parse().context("its name")?;
        let table = || table.iter().filter(|record| record.partition == partition);
        let (rows, offsets) = held(table(), copy.position);
        let (later, _) = held(table(), copy.reaches);
        let keys = rows.keys().chain(later.keys()).chain(copy.rows.keys());
        for key in keys.collect::<BTreeSet<_>>() {
            let (right, stored) = (rows.get(key), copy.rows.get(key));
            if right != stored && later.get(key) != stored {
                complain(format!(
                    "local copy {} at position {}: found {} for key `{}`, expected {} ({} in the changelog)",
                    path.display(),
                    copy.position,
                    text(stored),
                    String::from_utf8_lossy(key),
                    text(right),
                    offsets
                        .get(key)
                        .map_or("no row".to_owned(), |offset| format!("offset {offset}")),
                ));
            }
        }
        compared.push((partition, copy.position));
    }
    Ok(compared)
}

/// The rows of a partition of the changelog before an offset, and the offset of each row.
fn held<'r>(records: impl Iterator<Item = &'r Record>, end: i64) -> (Rows, BTreeMap<Vec<u8>, i64>) {
    let (mut rows, mut offsets) = (Rows::new(), BTreeMap::new());
    for record in records.filter(|record| record.offset < end) {
        let key = record.key.clone().unwrap_or_default();
        offsets.insert(key.clone(), record.offset);
        match &record.value {
            Some(value) => rows.insert(key, value.clone()),
            None => rows.remove(&key),
        };
    }
    (rows, offsets)
}

fn text(value: Option<&Vec<u8>>) -> String {
    value.map_or("nothing".to_owned(), |value| {
        format!("`{}`", String::from_utf8_lossy(value))
    })
}

fn read(path: &Path) -> anyhow::Result<Copy> {
    let Some(Stored { env, rows, meta }) = stored::open(path)? else {
        return Ok(Copy {
            rows: Rows::new(),
            position: 0,
            reaches: 0,
        });
    };
    let txn = env.read_txn()?;
    let position = meta.get(&txn, b"position")?.context("it has no position")?;
    let (position, _inputs, _at_ms): (i64, Vec<(String, i64)>, i64) =
        rmp_serde::from_slice(position).context("its position")?;
    let reaches = meta.get(&txn, b"reaches")?.and_then(<[u8]>::first_chunk);
    let reaches = reaches.copied().map_or(position, i64::from_be_bytes);
    let mut all = Rows::new();
    for row in rows.iter(&txn)? {
        let (key, value) = row?;
        let Some((&WHOLE, key)) = key.split_first() else {
            bail!("a key is stored as {key:?}");
        };
        all.insert(key.to_vec(), value.to_vec());
    }
    Ok(Copy {
        rows: all,
        position,
        reaches,
    })
}
