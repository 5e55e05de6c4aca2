//! Reaching a limit causes an error that says what to do, and leaves nothing half done.

use std::{env, path::Path, process::Command};

use super::{Options, at, commit, get, identity, open, options};
use crate::store::{Store, environment::SNAPSHOTS_MAX};

fn small() -> Options {
    Options {
        map_size: 1 << 20,
        ..options()
    }
}

#[test]
fn a_full_map_stores_nothing_of_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), &identity(), &small()).unwrap();
    commit(&mut store, b"key", b"before", 1);

    let mut batch = store.batch().unwrap();
    batch.put(b"key", b"after").unwrap();
    let full = (0..1000_u32).find_map(|n| batch.put(&n.to_be_bytes(), &[0; 5000]).err());
    let full = full
        .expect("the rows must not fit into the map")
        .to_string();
    assert!(full.contains("map size"), "{full}");
    assert!(full.contains("restart with a larger map size"), "{full}");
    assert!(full.contains("Config::map_size"), "{full}");
    let error = batch.commit(at(2)).unwrap_err().to_string();
    assert!(error.contains("none of it was stored"), "{error}");

    assert_eq!(*store.position(), at(1));
    assert_eq!(get(&store, b"key").unwrap(), b"before");
    commit(&mut store, b"key", b"small enough", 3);
    store.close().unwrap();

    let mut store = open(dir.path());
    assert_eq!(get(&store, b"key").unwrap(), b"small enough");
    let mut batch = store.batch().unwrap();
    for number in 0..1000_u32 {
        batch.put(&number.to_be_bytes(), &[0; 5000]).unwrap();
    }
    batch.commit(at(4)).unwrap();
    store.close().unwrap();

    // The map is never smaller than an existing file, even if the configured map size is.
    let (store, discarded) = Store::open(dir.path(), &identity(), &small()).unwrap();
    assert_eq!(discarded, None);
    assert_eq!(store.snapshot().unwrap().len().unwrap(), 1001);
}

#[test]
fn a_part_is_stored_and_the_copy_stands_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, b"key", b"before", 1);
    let mut batch = store.batch().unwrap();
    assert!(!batch.is_large());
    batch.put(b"key", b"after").unwrap();
    batch.put(b"large", &[0; 5000]).unwrap();
    assert!(batch.is_large());
    batch.commit_part(5).unwrap();
    assert_eq!((store.position(), store.reaches()), (&at(1), 5));
    drop(store);

    let mut store = open(dir.path());
    assert_eq!((store.position(), store.reaches()), (&at(1), 5));
    assert_eq!(get(&store, b"key").unwrap(), b"after");
    // Smaller values still fit.
    commit(&mut store, b"other", b"", 4);
    assert_eq!((store.position(), store.reaches()), (&at(4), 5));
    commit(&mut store, b"other", b"", 5);
    drop(store);
    let store = open(dir.path());
    assert_eq!((store.position(), store.reaches()), (&at(5), 5));
    assert_eq!(store.snapshot().unwrap().len().unwrap(), 3);
}

#[test]
fn too_many_snapshots_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut snapshots: Vec<_> = (0..SNAPSHOTS_MAX)
        .map(|_| store.snapshot().unwrap())
        .collect();
    let error = store
        .snapshot()
        .err()
        .expect("one snapshot more than allowed must fail")
        .to_string();
    assert!(error.contains("too many snapshots are held"), "{error}");
    // Writing continues.
    commit(&mut store, b"key", b"value", 1);
    snapshots.pop();
    assert_eq!(get(&store, b"key").unwrap(), b"value");
}

#[test]
fn any_map_size_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let odd = Options {
        map_size: 1_000_001,
        ..options()
    };
    let (mut store, _) = Store::open(dir.path(), &identity(), &odd).unwrap();
    commit(&mut store, b"key", b"value", 1);
}

#[test]
fn address_space_that_is_not_to_be_had_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let all = Options {
        map_size: 1 << 62,
        ..options()
    };
    let error = Store::open(dir.path(), &identity(), &all).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("lower the map size"), "{error}");
}

#[cfg(unix)]
/// The process that the test below starts. The files of the process cannot grow far.
fn fill_the_disk(path: &Path) {
    let mut store = open(path);
    commit(&mut store, b"key", b"before", 1);
    for size in [20_000, 1_000_000, 20_000_000] {
        let mut batch = store.batch().unwrap();
        batch.put(b"key", b"after").unwrap();
        let stored = (0..20_000_000 / size)
            .try_for_each(|n: u32| batch.put(&n.to_be_bytes(), &vec![0; size as usize]))
            .and_then(|()| batch.commit(at(2)));
        let error = stored
            .expect_err("the rows must not fit into the file")
            .to_string();
        println!("{error}");
        assert!(
            error.contains("nothing in this batch was stored"),
            "{error}"
        );
        assert_eq!(*store.position(), at(1));
        assert_eq!(get(&store, b"key").unwrap(), b"before");
    }
    commit(&mut store, b"key", b"small enough", 3);
    store.close().unwrap();
}

#[cfg(unix)]
#[test]
fn a_full_disk_stores_nothing_of_the_batch() {
    if let Some(path) = env::var_os("GOKA_TEST_FULL") {
        return fill_the_disk(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    // If the signal is ignored, the write fails with an error, like a write on a full disk.
    let limited = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::limits::a_full_disk_stores_nothing_of_the_batch",
        ])
        .arg("--nocapture")
        .env("GOKA_TEST_FULL", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    assert_eq!(get(&open(dir.path()), b"key").unwrap(), b"small enough");
}
