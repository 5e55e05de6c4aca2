//! A state directory can be read only by the user of the process.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{commit, identity, options};
use crate::store::{StateDir, Store};

/// Adds to `found` every directory and file below `directory`, with the bits of its mode.
fn modes(directory: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        found.push((path.clone(), mode & 0o7777));
        if path.is_dir() {
            modes(&path, found);
        }
    }
}

#[test]
fn a_state_directory_is_private_with_all_that_is_in_it() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("made/on the way/state");
    let state = StateDir::open(&root, true).unwrap();
    let copies = [
        state.group("cluster", "group", 0),
        state.replica("cluster", "topic", 0),
    ];
    let stores = copies.map(|path| {
        let mut store = Store::open(&path, &identity(), &options()).unwrap().0;
        commit(&mut store, b"key", b"value", 1);
        let rebuilt = store.rebuild(&identity(), &options()).unwrap();
        let mut rebuilt = rebuilt.expect("the rebuilt copy is next to the old copy");
        commit(&mut rebuilt, b"key", b"value", 1);
        (store, rebuilt)
    });
    let mut found = Vec::new();
    modes(temporary.path(), &mut found);
    for (path, mode) in &found {
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, &wanted, "{} has the mode {mode:o}", path.display());
    }
    let is_there = |name: &str| found.iter().any(|(path, _)| path.ends_with(name));
    for name in [
        "lock",
        "instance",
        "not-closed",
        "data.mdb",
        "lock.mdb",
        "0.new",
    ] {
        assert!(is_there(name), "{found:?} must contain {name}");
    }
    drop(stores);
}

#[test]
fn a_directory_that_the_user_made_is_left_as_it_is() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("state");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o2755)).unwrap();
    let state = StateDir::open(&root, true).unwrap();
    let path = state.group("cluster", "group", 0);
    Store::open(&path, &identity(), &options()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o755);
    assert_eq!(mode(&path), 0o700);
}
