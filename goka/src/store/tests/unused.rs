//! Which unused copies are deleted, with a clock that the test sets.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use super::{commit, open};
use crate::store::{StateDir, unused::Unused};

const SECOND: Duration = Duration::from_secs(1);

/// A state directory with closed copies of these partitions.
fn stage(partitions: &[i32]) -> (tempfile::TempDir, Arc<StateDir>, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let state = Arc::new(StateDir::open(dir.path(), true).unwrap());
    let mut group = state.group("cluster", "clicks", 0);
    group.pop();
    for partition in partitions {
        let mut store = open(&group.join(partition.to_string()));
        commit(&mut store, b"key", b"value", 1);
        store.close().unwrap();
    }
    (dir, state, group)
}

fn looked(unused: &mut Unused, seconds: u32) -> Vec<PathBuf> {
    let (deleted, result) = unused.look(SECOND * seconds);
    result.unwrap();
    deleted
}

#[test]
fn a_copy_that_is_not_used_for_the_delay_is_deleted() {
    let (_dir, state, group) = stage(&[0, 1]);
    let mut unused = Unused::new(state, vec![group.clone()], SECOND * 10);
    let used = open(&group.join("0"));
    assert!(looked(&mut unused, 100).is_empty());
    assert!(looked(&mut unused, 109).is_empty());
    let one = group.canonicalize().unwrap().join("1");
    assert_eq!(looked(&mut unused, 110), std::slice::from_ref(&one));
    assert!(!one.exists());
    assert!(
        looked(&mut unused, 1000).is_empty(),
        "a copy that is in use must not be listed"
    );

    // The delay starts when the copy is closed.
    used.close().unwrap();
    assert!(looked(&mut unused, 1001).is_empty());
    assert!(looked(&mut unused, 1010).is_empty());
    assert_eq!(looked(&mut unused, 1011).len(), 1);
    assert_eq!(fs::read_dir(&group).unwrap().count(), 0);
}

#[test]
fn the_delay_starts_again_with_every_use_and_when_all_checks_are_forgotten() {
    let (_dir, state, group) = stage(&[0]);
    let mut unused = Unused::new(state, vec![group.clone()], SECOND * 10);
    assert!(looked(&mut unused, 0).is_empty());
    let used = open(&group.join("0"));
    assert!(looked(&mut unused, 9).is_empty());
    used.close().unwrap();
    assert!(looked(&mut unused, 11).is_empty());
    assert!(looked(&mut unused, 20).is_empty());
    unused.forget();
    assert!(looked(&mut unused, 30).is_empty());
    assert_eq!(looked(&mut unused, 40).len(), 1);
}

#[test]
fn a_copy_is_in_use_while_a_snapshot_of_it_is_held() {
    let (_dir, state, group) = stage(&[0]);
    let mut unused = Unused::new(state, vec![group.clone()], SECOND);
    let store = open(&group.join("0"));
    let snapshot = store.snapshot().unwrap();
    store.close().unwrap();
    for seconds in 0..10 {
        assert!(looked(&mut unused, seconds).is_empty());
    }
    assert_eq!(snapshot.get(b"key").unwrap(), Some(&b"value"[..]));
    drop(snapshot);
    assert!(looked(&mut unused, 10).is_empty());
    assert_eq!(looked(&mut unused, 11).len(), 1);
}

#[test]
fn what_is_no_copy_is_left_alone() {
    let (_dir, state, group) = stage(&[0]);
    fs::create_dir(group.join("mine")).unwrap();
    fs::write(group.join("notes"), "mine").unwrap();
    let missing = group.join("missing");
    let mut unused = Unused::new(state, vec![missing, group.clone()], SECOND);
    looked(&mut unused, 0);
    assert_eq!(looked(&mut unused, 5).len(), 1);
    assert!(group.join("mine").exists() && group.join("notes").exists());
}

/// If a thread waits for a copy that is being deleted, the thread gets a new copy.
#[test]
fn a_copy_can_be_opened_again_after_it_was_deleted() {
    let (_dir, state, group) = stage(&[0]);
    let mut unused = Unused::new(state, vec![group.clone()], SECOND);
    looked(&mut unused, 0);
    assert_eq!(looked(&mut unused, 1).len(), 1);
    let store = open(&group.join("0"));
    assert_eq!(store.position().changelog, 0);
}
