//! A local copy is rebuilt in a second directory. The rebuilt copy then takes the place of the old copy, wherever the
//! rebuild is interrupted.

use std::{fs, path::PathBuf};

use super::{Position, at, commit, get, identity, open, options, scan};
use crate::store::{Span, Store};

/// A copy that must be rebuilt, its directory, and the directory of the rebuild.
fn stage() -> (tempfile::TempDir, PathBuf, PathBuf, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("3");
    let mut store = open(&path);
    for number in 0..1000_u32 {
        commit(&mut store, &number.to_be_bytes(), &[1; 100], 7);
    }
    let beside = path.with_file_name("3.new");
    (dir, path, beside, store)
}

fn rebuild(store: &mut Store) -> Store {
    let new = store.rebuild(&identity(), &options()).unwrap();
    new.expect("the copy can be rebuilt")
}

#[test]
fn a_rebuild_is_beside_until_it_takes_the_place() {
    let (_dir, path, beside, mut old) = stage();
    let length = fs::metadata(path.join("data.mdb")).unwrap().len();
    let mut new = rebuild(&mut old);
    assert_eq!(*new.position(), Position::default());
    assert_eq!(scan(&new, Span::ALL), []);
    assert!(new.is_rebuilt() && beside.exists());
    commit(&mut new, b"key", b"new", 1);
    // Readers of the old copy are not disturbed.
    assert_eq!(old.snapshot().unwrap().len().unwrap(), 1000);
    drop(old);
    let new = new.swap_in(&identity(), &options()).unwrap();
    assert!(!new.is_rebuilt() && !beside.exists());
    assert_eq!(*new.position(), at(1));
    assert_eq!(get(&new, b"key").unwrap(), b"new");
    assert!(fs::metadata(path.join("data.mdb")).unwrap().len() < length);
    new.close().unwrap();
    assert_eq!(get(&open(&path), b"key").unwrap(), b"new");
}

#[test]
fn a_rebuild_that_was_cut_off_goes_on() {
    let (_dir, path, beside, mut old) = stage();
    let mut new = rebuild(&mut old);
    commit(&mut new, b"key", b"new", 1);
    // The process is killed.
    drop((old, new));
    assert!(beside.exists());
    let store = open(&path);
    assert!(!beside.exists());
    assert_eq!(*store.position(), at(1));
    assert_eq!(get(&store, b"key").unwrap(), b"new");
}

#[test]
fn one_that_was_killed_while_it_took_the_place_does_so_again() {
    let (_dir, path, _, mut old) = stage();
    let mut new = rebuild(&mut old);
    commit(&mut new, b"key", b"new", 1);
    drop((old, new));
    // Simulates a crash between the two steps of the replacement.
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(get(&open(&path), b"key").unwrap(), b"new");
}

#[test]
fn a_rebuild_waits_for_readers_of_either() {
    let (_dir, path, beside, mut old) = stage();
    let mut new = rebuild(&mut old);
    commit(&mut new, b"key", b"new", 1);
    let reader = old.snapshot().unwrap();
    drop(old);
    let new = new.swap_in(&identity(), &options()).unwrap();
    assert!(new.is_rebuilt(), "the old copy must still be readable");
    assert_eq!(reader.len().unwrap(), 1000);
    drop(reader);
    let reader = new.snapshot().unwrap();
    let mut new = new.swap_in(&identity(), &options()).unwrap();
    assert!(new.is_rebuilt(), "the new copy must be readable");
    new.show();
    assert!(!path.join("data.mdb").exists());
    drop(reader);
    new.close().unwrap();
    assert_eq!(get(&open(&path), b"key").unwrap(), b"new");
    assert!(!beside.exists());
}

#[test]
fn what_is_rebuilt_twice_is_emptied() {
    let (_dir, path, _, mut old) = stage();
    let mut new = rebuild(&mut old);
    commit(&mut new, b"key", b"new", 1);
    drop(old);
    assert!(new.rebuild(&identity(), &options()).unwrap().is_none());
    assert_eq!(*new.position(), Position::default());
    commit(&mut new, b"other", b"newer", 2);
    let new = new.swap_in(&identity(), &options()).unwrap();
    assert_eq!(get(&new, b"key"), None);
    new.close().unwrap();
    assert_eq!(get(&open(&path), b"other").unwrap(), b"newer");
}

#[test]
fn what_is_read_is_not_emptied_by_the_next_rebuild() {
    let (_dir, path, beside, mut old) = stage();
    let mut shown = rebuild(&mut old);
    commit(&mut shown, b"key", b"new", 1);
    drop(old);
    shown.show();
    let mut newer = rebuild(&mut shown);
    commit(&mut newer, b"key", b"newer", 2);
    assert_eq!(get(&shown, b"key").unwrap(), b"new", "readers continue");
    drop((shown, newer));
    // The rebuild was interrupted: the complete copy is still there, and will be distrusted again.
    assert_eq!(get(&open(&path), b"key").unwrap(), b"new");
    assert!(!beside.exists());
}

#[test]
fn a_copy_changes_places_with_every_rebuild() {
    let (_dir, path, beside, mut shown) = stage();
    for number in 1..=4 {
        let mut newer = rebuild(&mut shown);
        commit(&mut newer, b"key", format!("{number}").as_bytes(), number);
        drop(shown);
        newer.show();
        assert_eq!(newer.is_rebuilt(), number % 2 == 1);
        assert_eq!(beside.exists(), number % 2 == 1);
        shown = newer;
    }
    shown.close().unwrap();
    assert_eq!(get(&open(&path), b"key").unwrap(), b"4");
}

/// A new rebuild contains no rows of an earlier rebuild that was not continued.
#[test]
fn a_rebuild_begins_empty() {
    let (_dir, _, beside, mut old) = stage();
    let mut left = open(&beside);
    commit(&mut left, b"left", b"over", 5);
    left.close().unwrap();
    let new = rebuild(&mut old);
    assert_eq!(scan(&new, Span::ALL), []);
}
