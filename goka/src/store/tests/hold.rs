//! Exclusive use: of a copy within a process, and of the state directory among processes.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, stdin},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio, id},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{Options, at, commit, get, identity, open, options};
use crate::{
    base::error::Error,
    store::{Snapshot, Snapshots, StateDir, Store, batch::Batch},
};

const DEADLINE: Duration = Duration::from_secs(30);

fn waiting() -> Options {
    Options {
        wait: DEADLINE,
        snapshot_max: Duration::from_secs(60),
        part_pages: 2,
        ..options()
    }
}

#[test]
fn a_second_store_is_refused_while_the_first_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let other_way = dir.path().join("../").join(dir.path().file_name().unwrap());
    let error = Store::open(&other_way, &identity(), &options())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("this process still has the local copy open")
    );
    store.close().unwrap();
    open(dir.path());
}

#[test]
fn a_second_store_waits_for_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, b"key", b"value", 1);
    thread::scope(|scope| {
        let (begun, begin) = mpsc::channel();
        let second = scope.spawn(move || {
            begun.send(()).unwrap();
            let (store, discarded) = Store::open(dir.path(), &identity(), &waiting()).unwrap();
            assert_eq!(discarded, None);
            assert_eq!(get(&store, b"key").unwrap(), b"value");
        });
        begin.recv().unwrap();
        store.close().unwrap();
        second.join().unwrap();
    });
}

/// A snapshot is a view into the map: while the snapshot lives, the file must not be mapped again or deleted.
#[test]
fn a_snapshot_outlives_its_store_and_keeps_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), true).unwrap();
    let path = state.replica("cluster", "topic", 0);
    for closed in [true, false] {
        let mut store = open(&path);
        commit(&mut store, b"key", b"value", 1);
        let snapshots = store.snapshots();
        let snapshot = snapshots.take().unwrap();
        if closed {
            store.close().unwrap();
        } else {
            drop(store);
        }
        assert!(matches!(snapshots.take(), Err(Error::Closed(_))));
        Store::open(&path, &identity(), &options())
            .err()
            .expect("the state directory must still be in use");
        state
            .discard(&path)
            .expect_err("the state directory must still be in use");
        assert_eq!(snapshot.get(b"key").unwrap(), Some(&b"value"[..]));
        thread::spawn(move || drop(snapshot)).join().unwrap();
        open(&path);
    }
    state.discard(&path).unwrap();
    assert!(!path.exists());
    state.discard(&path).unwrap();
}

#[test]
fn snapshots_are_taken_and_read_by_other_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, b"key", b"1", 1);
    let (snapshots, snapshot) = (store.snapshots(), store.snapshot().unwrap());
    commit(&mut store, b"key", b"2", 2);
    thread::spawn(move || {
        assert_eq!(snapshot.get(b"key").unwrap(), Some(&b"1"[..]));
        let later = snapshots.take().unwrap();
        assert_eq!(later.get(b"key").unwrap(), Some(&b"2"[..]));
    })
    .join()
    .unwrap();
}

/// Compiles only if `Batch` is not `Send`: if it were `Send`, both impls would match. The lock of a batch belongs to
/// its thread.
#[allow(dead_code)]
fn a_batch_stays_on_its_thread() {
    trait NotSend<Which> {
        fn check() {}
    }
    impl<T> NotSend<()> for T {}
    impl<T: Send> NotSend<u8> for T {}
    <Batch<'static> as NotSend<_>>::check();
}

#[test]
fn what_may_leave_its_thread() {
    fn send<T: Send>() {}
    fn share<T: Send + Sync>() {}
    send::<Store>();
    send::<Snapshot>();
    share::<Snapshots>();
    share::<StateDir>();
}

#[test]
fn only_copies_are_discarded() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(&root.path().join("state"), true).unwrap();
    for path in [root.path(), &root.path().join("state"), Path::new("/")] {
        let error = state.discard(path).unwrap_err().to_string();
        assert!(error.contains("goka did not delete it"), "{error}");
    }
}

#[test]
fn a_state_directory_is_held_once_in_a_process() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), true).unwrap();
    let error = StateDir::open(root.path(), true).unwrap_err().to_string();
    assert!(
        error.contains("this process already uses this state directory"),
        "{error}"
    );
    let id = state.instance_id().to_owned();
    drop(state);
    let state = StateDir::open(root.path(), true).unwrap();
    assert_eq!(state.instance_id(), id);
    drop(state);
    for no_id in [&b""[..], b"my instance", b"\xff\xfe\x00"] {
        fs::write(root.path().join("instance"), no_id).unwrap();
        let state = StateDir::open(root.path(), true).unwrap();
        assert_ne!(state.instance_id(), id);
        assert_eq!(state.instance_id().len(), id.len());
    }
}

#[test]
fn state_under_the_temp_directory_is_refused_unless_allowed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state");
    let error = StateDir::open(&path, false).unwrap_err().to_string();
    assert!(error.contains("choose another state directory"), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_temporary_state_directory_goes_with_its_holder() {
    let (one, two) = (
        StateDir::temporary().unwrap(),
        StateDir::temporary().unwrap(),
    );
    assert_ne!(one.root(), two.root());
    assert_ne!(one.instance_id(), two.instance_id());
    let root = one.root().to_owned();
    let mut store = open(&one.group("cluster", "my-group", 0));
    commit(&mut store, b"key", b"value", 1);
    store.close().unwrap();
    assert!(root.join("cluster/groups/my-group/0/data.mdb").exists());
    drop(one);
    assert!(!root.exists());
    assert!(two.root().exists());
}

#[test]
fn what_is_not_a_directory_one_can_write_to_is_refused_with_the_cure() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, &file.join("below")] {
        let error = StateDir::open(path, true).unwrap_err().to_string();
        assert!(error.contains("cannot use the state directory"), "{error}");
        assert!(error.contains("a file is in the way"), "{error}");
        let error = Store::open(path, &identity(), &options()).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("cannot open the local copy"), "{error}");
    }
    // Not even the superuser can write here.
    #[cfg(target_os = "linux")]
    {
        let error = StateDir::open(Path::new("/proc/goka"), true).unwrap_err();
        assert!(error.to_string().contains("GOKA_STATE_DIR"), "{error}");
    }
}

/// Environment variable of the other process. Its value is the state directory that the other process holds.
const OTHER: &str = "GOKA_TEST_HOLD";

/// A process that holds the state directory and a copy in that directory, until the standard input of the process ends.
struct Other {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(root: &Path) -> Other {
        let child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::hold::a_killed_process_leaves_what_it_committed",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(OTHER, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = child.unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.ends_with("holding\n") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended");
        }
        Other { process, output }
    }

    fn stop(mut self) {
        drop(self.process.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The code of the other process: holds the state directory `root`, and a copy with a batch that is not committed.
fn hold_until_told_to_end(root: &Path) {
    let state = StateDir::open(root, true).unwrap();
    let mut store = open(&state.group("cluster", "group", 0));
    commit(&mut store, b"key", b"committed", 1);
    let mut batch = store.batch().unwrap();
    for number in 0..100_000_u32 {
        batch.put(&number.to_be_bytes(), &[0; 100]).unwrap();
    }
    batch.put(b"key", b"not committed").unwrap();
    println!("holding");
    stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(batch);
    store.close().unwrap();
}

#[test]
fn another_process_keeps_the_state_directory_until_it_ends() {
    let root = tempfile::tempdir().unwrap();
    let other = Other::start(root.path());
    let error = StateDir::open(root.path(), true).unwrap_err().to_string();
    let holder = format!(
        "another process (pid {}) uses this state directory",
        other.process.id()
    );
    assert!(error.contains(&holder), "{error}");
    assert!(error.contains("its own state directory"), "{error}");
    assert_ne!(other.process.id(), id());
    other.stop();
    let state = StateDir::open(root.path(), true).unwrap();
    let path = state.group("cluster", "group", 0);
    assert!(!path.join("not-closed").exists());
    assert_eq!(get(&open(&path), b"key").unwrap(), b"committed");
}

#[test]
fn a_killed_process_leaves_what_it_committed() {
    if let Some(root) = env::var_os(OTHER) {
        return hold_until_told_to_end(Path::new(&root));
    }
    let root = tempfile::tempdir().unwrap();
    Other::start(root.path()).kill();
    let state = StateDir::open(root.path(), true).unwrap();
    let path = state.group("cluster", "group", 0);
    assert!(path.join("not-closed").exists());
    let store = open(&path);
    assert_eq!(get(&store, b"key").unwrap(), b"committed");
    assert_eq!(store.snapshot().unwrap().len().unwrap(), 1);
    assert_eq!(*store.position(), at(1));
}
