//! Compares the local copies on disk with the changelog, byte for byte. The copies are read with LMDB, after all
//! processes have ended. A copy has to hold what the changelog holds up to the position that is stored in the copy. If
//! a process was killed while it stored rows in several parts, single rows may be newer: as new as the changelog up to
//! the offset `reaches`, which is also stored in the copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, bail};
use goka_tests::{
    Record,
    stored::{self, Stored},
};

/// The tag byte before a stored key whose rest is the key itself. All keys of the input are short enough to be stored
/// like this.
const WHOLE: u8 = 0;

/// Maps the key of each row to its value.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The local copy of one partition.
struct Copy {
    rows: Rows,
    /// The offset of the next changelog record that the owner of this copy would read.
    position: i64,
    /// An upper limit: each row in the copy comes from a changelog record with a smaller offset.
    reaches: i64,
}

/// Compares every copy below the directory `state` with the changelog. The records in `table` must be in the order of
/// their offsets. Calls `complain` for each row that differs, and returns the partition and the position of each copy.
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
        // A copy that is being rebuilt is in a directory next to the old copy's, named with the suffix `.new`. The same
        // rules hold for both.
        let partition = partition.strip_suffix(".new").unwrap_or(partition);
        let partition: i32 = partition
            .parse()
            .context("the name of the directory is not a partition number")?;
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

/// The rows that result from a partition's changelog records before the offset `end`, and the offset of each key's last
/// record.
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
    let position = meta
        .get(&txn, b"position")?
        .context("the local copy has no position")?;
    let (position, _inputs, _at_ms, _whole_from): (i64, Vec<(String, i64)>, i64, i64) =
        rmp_serde::from_slice(position)
            .context("the position of the local copy does not decode")?;
    let reaches = meta.get(&txn, b"reaches")?.and_then(<[u8]>::first_chunk);
    let reaches = reaches.copied().map_or(position, i64::from_be_bytes);
    let mut all = Rows::new();
    for row in rows.iter(&txn)? {
        let (key, value) = row?;
        let Some((&WHOLE, key)) = key.split_first() else {
            bail!("stored key {key:?} does not begin with the tag byte 0");
        };
        all.insert(key.to_vec(), value.to_vec());
    }
    Ok(Copy {
        rows: all,
        position,
        reaches,
    })
}
