//! A local copy that cannot be trusted is discarded, and the reason is returned. Any other copy is kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Identity, Position, at, commit, get, identity, open, options, scan};
use crate::store::{Span, Store};

/// A closed copy with rows.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy");
    let mut store = open(&path);
    let mut batch = store.batch().unwrap();
    for number in 0..2000_u32 {
        batch.put(&number.to_be_bytes(), &[1; 50]).unwrap();
    }
    batch.put(b"large", &[2; 100_000]).unwrap();
    batch.commit(at(7)).unwrap();
    store.close().unwrap();
    (dir, path)
}

/// Opens a copy that must be discarded, and returns the reason. The copy is then usable and empty.
fn discarded(path: &Path, identity: &Identity) -> String {
    let (mut store, discarded) = Store::open(path, identity, &options()).unwrap();
    assert_eq!(*store.position(), Position::default());
    assert_eq!(scan(&store, Span::ALL), []);
    commit(&mut store, b"new", b"row", 1);
    store.close().unwrap();
    let (store, again) = Store::open(path, identity, &options()).unwrap();
    assert_eq!(again, None);
    assert_eq!(get(&store, b"new").unwrap(), b"row");
    assert_eq!(*store.position(), at(1));
    discarded.expect("the local copy must be discarded")
}

fn kept(path: &Path, identity: &Identity) {
    let (store, discarded) = Store::open(path, identity, &options()).unwrap();
    assert_eq!(discarded, None);
    assert_eq!(*store.position(), at(7));
    assert_eq!(store.snapshot().unwrap().len().unwrap(), 2001);
    store.close().unwrap();
}

#[test]
fn a_copy_of_something_else() {
    let (cluster, topic) = ("cluster-2".to_owned(), "other-state".to_owned());
    let others = [
        (
            Identity {
                cluster,
                ..identity()
            },
            "the local copy is from cluster `cluster-1`, but the brokers belong to cluster `cluster-2`",
        ),
        (
            Identity {
                topic,
                ..identity()
            },
            "the local copy is of topic `clicks-state`, not of `other-state`",
        ),
        (
            Identity {
                partitions: 16,
                ..identity()
            },
            "topic `clicks-state` had 8 partitions and now has 16",
        ),
        (
            Identity {
                partition: 4,
                ..identity()
            },
            "the local copy is of partition 3, not of 4",
        ),
    ];
    for (other, reason) in others {
        let (_dir, path) = closed();
        kept(&path, &identity());
        assert_eq!(discarded(&path, &other), reason);
    }
}

#[test]
fn a_topic_that_was_deleted_and_created_again() {
    let with_id = |id: &str| Identity {
        topic_id: id.to_owned(),
        ..identity()
    };
    let (_dir, path) = closed();
    kept(&path, &with_id("first"));
    // The copy has stored the id by now, and keeps it.
    kept(&path, &with_id(""));
    assert_eq!(
        discarded(&path, &with_id("second")),
        "topic `clicks-state` was deleted and created again: its id was `first` and is now `second`"
    );
}

#[test]
fn another_codec_is_refused() {
    let (_dir, path) = closed();
    let changed = Identity {
        codec: "Text, Json".to_owned(),
        ..identity()
    };
    let error = Store::open(&path, &changed, &options()).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("`Text, MessagePack`"), "{error}");
    assert!(error.contains("`Text, Json` now"), "{error}");
    assert!(error.contains("delete this directory"), "{error}");
    kept(&path, &identity());
}

#[test]
fn another_format() {
    let (_dir, path) = closed();
    let mut store = open(&path);
    let meta = store.open.environment.meta;
    let mut txn = store.open.environment.env.write_txn().unwrap();
    meta.put(&mut txn, b"format", &2_u32.to_be_bytes()).unwrap();
    meta.put(&mut txn, b"identity", b"who knows").unwrap();
    txn.commit().unwrap();
    store.marked = true;
    store.close().unwrap();
    assert_eq!(
        discarded(&path, &identity()),
        "the local copy has format 2, but this version of goka has format 1"
    );
}

#[test]
fn a_header_that_is_no_header() {
    for key in ["identity", "position"] {
        let (_dir, path) = closed();
        let store = open(&path);
        let meta = store.open.environment.meta;
        let mut txn = store.open.environment.env.write_txn().unwrap();
        meta.put(&mut txn, key.as_bytes(), b"who knows").unwrap();
        txn.commit().unwrap();
        store.close().unwrap();
        assert_eq!(
            discarded(&path, &identity()),
            "the header of the local copy is unreadable"
        );
    }
}

#[test]
fn a_machine_that_stopped() {
    let (_dir, path) = closed();
    fs::write(path.join("not-closed"), "another boot").unwrap();
    assert!(discarded(&path, &identity()).starts_with("the machine crashed or restarted"));

    // The machine crashed while the mark was written.
    fs::write(path.join("not-closed"), "").unwrap();
    assert!(discarded(&path, &identity()).starts_with("the machine crashed or restarted"));
}

#[test]
fn a_process_that_stopped_loses_nothing() {
    let (_dir, path) = closed();
    let mut store = open(&path);
    commit(&mut store, b"more", b"rows", 8);
    drop(store);
    assert!(path.join("not-closed").exists());
    let store = open(&path);
    assert_eq!(*store.position(), at(8));
    assert_eq!(get(&store, b"more").unwrap(), b"rows");
    store.close().unwrap();
    assert!(!path.join("not-closed").exists());
}

#[test]
fn a_note_is_made_before_the_first_write_only() {
    let (_dir, path) = closed();
    let mut store = open(&path);
    assert!(!path.join("not-closed").exists());
    drop(store.batch().unwrap());
    assert!(path.join("not-closed").exists());
}

#[test]
fn a_file_cut_short() {
    let (_dir, path) = closed();
    let whole = fs::read(path.join("data.mdb")).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 40, "{pages}");
    let lengths = (0..pages).flat_map(|page| [page * 4096, page * 4096 + 1, page * 4096 + 4095]);
    for length in lengths {
        fs::write(path.join("data.mdb"), &whole[..length]).unwrap();
        let (store, reason) = Store::open(&path, &identity(), &options()).unwrap();
        assert_eq!(scan(&store, Span::ALL), [], "{length}");
        // An empty file counts as a new copy.
        assert_eq!(reason.is_none(), length == 0, "{length}: {reason:?}");
        store.close().unwrap();
    }
    fs::write(path.join("data.mdb"), &whole).unwrap();
    kept(&path, &identity());
}

#[test]
fn a_file_of_garbage() {
    for length in [1, 4095, 4096, 10_000, 1_000_000] {
        for byte in [0, 255, b'x'] {
            let (_dir, path) = closed();
            fs::write(path.join("data.mdb"), vec![byte; length]).unwrap();
            let reason = discarded(&path, &identity());
            assert!(
                reason.starts_with("the file of the local copy is damaged, or not from goka"),
                "{reason}"
            );
        }
    }
}

#[test]
fn an_environment_of_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    // SAFETY: nobody else knows the new directory.
    let env = unsafe { heed::EnvOpenOptions::new().max_dbs(1).open(dir.path()) }.unwrap();
    let txn = env.write_txn().unwrap();
    env.create_databases_and_commit(txn, |opener, txn| {
        opener
            .create_database::<heed::types::Bytes, heed::types::Bytes>(txn, Some("theirs"))
            .map(heed::CommitOrAbort::<_, ()>::Commit)
    })
    .unwrap();
    env.prepare_for_closing().wait();
    let reason = discarded(dir.path(), &identity());
    assert!(reason.starts_with("the file of the local copy is damaged, or not from goka"));
}

#[test]
fn a_lock_file_of_garbage_does_no_harm() {
    let (_dir, path) = closed();
    fs::write(path.join("lock.mdb"), [b'x'; 100]).unwrap();
    kept(&path, &identity());
}

/// LMDB does not write a page that one transaction both added and freed.
#[test]
fn a_file_with_unwritten_pages_at_its_end_is_kept() {
    let (_dir, path) = closed();
    let mut store = open(&path);
    let length = || fs::metadata(path.join("data.mdb")).unwrap().len();
    let before = length();
    let mut batch = store.batch().unwrap();
    batch.put(b"passing", &[3; 1_000_000]).unwrap();
    batch.delete(b"passing").unwrap();
    batch.commit(at(7)).unwrap();
    assert!(length() >= before + 1_000_000, "{before} {}", length());
    drop(store);
    kept(&path, &identity());
}
