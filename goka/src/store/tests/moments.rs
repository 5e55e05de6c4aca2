//! A snapshot that is held for ever does not make the file grow for ever.

use std::{path::Path, time::Duration};

use super::{Options, commit, get, identity, options};
use crate::{base::error::Error, store::Store};

/// Opens a copy with options by which every snapshot is too old at the next write.
fn open_with_no_patience(path: &Path) -> Store {
    let options = Options {
        snapshot_max: Duration::ZERO,
        ..options()
    };
    Store::open(path, &identity(), &options).unwrap().0
}

/// Writes all rows again and again, and returns the size of the file.
fn rewrite(store: &mut Store, times: i64) -> u64 {
    for time in 0..times {
        let mut batch = store.batch().unwrap();
        for key in 0..200_u32 {
            batch.put(&key.to_be_bytes(), &[0; 500]).unwrap();
        }
        batch.commit(super::at(time)).unwrap();
    }
    store.snapshot().unwrap().file_bytes().unwrap()
}

#[test]
fn a_held_snapshot_is_let_go_of_by_who_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with_no_patience(dir.path());
    rewrite(&mut store, 10);
    let before = rewrite(&mut store, 10);

    let held = store.snapshot().unwrap().held();
    assert_eq!(held.read(|snapshot| snapshot.len()).unwrap(), 200);
    let after = rewrite(&mut store, 100);
    assert!(
        after < 3 * before,
        "the file grew from {before} to {after} bytes"
    );
    let error = held.read(|snapshot| snapshot.len()).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error}");
    assert!(
        error.to_string().contains("GOKA_SNAPSHOT_MAX_MS"),
        "{error}"
    );

    // This is what a snapshot costs that does not expire.
    let kept = store.snapshot().unwrap();
    let grown = rewrite(&mut store, 100);
    assert!(
        grown > 20 * before,
        "the file grew only from {before} to {grown} bytes"
    );
    drop(kept);
}

#[test]
fn without_writes_and_while_it_is_read_a_snapshot_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with_no_patience(dir.path());
    commit(&mut store, b"key", b"before", 1);
    let held = store.snapshot().unwrap().held();
    let value = |moment: &super::super::Moment| {
        moment.read(|snapshot| Ok(snapshot.get(b"key")?.map(<[u8]>::to_vec)))
    };
    assert_eq!(value(&held).unwrap().unwrap(), b"before");
    held.read(|snapshot| {
        commit(&mut store, b"key", b"after", 2);
        assert_eq!(snapshot.get(b"key")?, Some(&b"before"[..]));
        Ok(())
    })
    .unwrap();
    assert_eq!(value(&held).unwrap().unwrap(), b"before");
    commit(&mut store, b"key", b"later", 3);
    assert!(value(&held).is_err());
    assert_eq!(get(&store, b"key").unwrap(), b"later");
    // Held snapshots may be dropped before or after the store.
    let held = store.snapshot().unwrap().held();
    drop(store);
    assert_eq!(value(&held).unwrap().unwrap(), b"later");
}

#[test]
fn one_that_is_young_enough_stays_whatever_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = super::open(dir.path());
    commit(&mut store, b"key", b"before", 1);
    let held = store.snapshot().unwrap().held();
    commit(&mut store, b"key", b"after", 2);
    let value = held.read(|snapshot| Ok(snapshot.get(b"key")?.map(<[u8]>::to_vec)));
    assert_eq!(value.unwrap().unwrap(), b"before");
}
