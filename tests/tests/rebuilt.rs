//! goka rebuilds local copies that it cannot trust, and logs the reason. Needs a real Kafka, because the tests need
//! topic ids and topic settings.

use std::{fs, path::Path};

use goka_tests::{Clicks, Message, Program, broker, needs_kafka, produce};

const USERS: u64 = 2_000;

fn clicks() -> Clicks<'static> {
    needs_kafka();
    let mut clicks = Clicks::on(broker());
    clicks.set("RUST_LOG", "goka=info");
    clicks.set("NO_COLOR", "1");
    clicks.set("GOKA_MEMBERSHIP", "dynamic");
    clicks.set("GOKA_WORKERS", "1");
    clicks
}

/// Counts one click for each user, and shuts the processor down.
fn count_once(clicks: &Clicks<'_>) {
    clicks.produce(USERS, USERS);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(USERS);
    processor.interrupt();
    processor.succeed();
}

fn wait_until_all_run(processor: &mut Program) -> String {
    processor.wait_for("4 partitions that run", |line| {
        line.contains("4 of 4 partitions run here").then_some(())
    });
    processor.output()
}

/// Asserts that no unfinished rebuild of a local copy is left.
fn no_rebuild_is_left(clicks: &Clicks<'_>) {
    let mut left = vec![clicks.state("one")];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("the directory can be read") {
            let path = entry
                .expect("the entry of the directory can be read")
                .path();
            let is_new = path.extension().is_some_and(|new| new == "new");
            assert!(
                !is_new,
                "the unfinished rebuild {} must be deleted",
                path.display()
            );
            if path.is_dir() {
                left.push(path);
            }
        }
    }
}

/// Compaction removes tombstones after `delete.retention.ms`, so a copy that is older than that may have missed
/// deletions.
#[test]
#[ignore = "needs a real Kafka"]
fn a_copy_that_is_older_than_deletions_are_kept() {
    let clicks = clicks();
    let compacted = [("cleanup.policy", "compact"), ("delete.retention.ms", "1")];
    broker().create_topic_with(&clicks.table(), 4, &compacted);
    count_once(&clicks);
    // The old local copies do not have these rows.
    let rows = (0..USERS).map(|n| Message::new(format!("user-{n}"), "1"));
    produce(clicks.address(), &clicks.table(), rows);

    let mut processor = clicks.processor("one");
    let output = wait_until_all_run(&mut processor);
    let rebuilt = output.matches("local copy not trusted; rebuilding").count();
    assert_eq!(rebuilt, 4, "{output}");
    assert!(output.contains("deleted keys could come back"), "{output}");
    no_rebuild_is_left(&clicks);
    clicks.produce_more(USERS, USERS);
    clicks.wait_until_all_counted(&clicks.expected());
    processor.interrupt();
    processor.succeed();
    assert_eq!(clicks.counted(), clicks.expected());
}

/// The rows of a deleted topic do not belong to a new topic with the same name.
#[test]
#[ignore = "needs a real Kafka"]
fn a_copy_of_a_topic_that_was_deleted_and_created_again() {
    let clicks = clicks();
    count_once(&clicks);
    broker().delete_topic(&clicks.table());
    while broker().count_offsets(&clicks.table()).is_some() {
        std::thread::yield_now();
    }
    let mut processor = clicks.processor("one");
    let output = wait_until_all_run(&mut processor);
    assert!(output.contains("was deleted and created again"), "{output}");
    // The earlier clicks have been counted, but the rows with these counts were deleted with the topic.
    clicks.produce_more(USERS, USERS);
    clicks.wait_for_rows(usize::try_from(USERS).expect("the number of clicks is small"));
    processor.interrupt();
    processor.succeed();
    let counted = clicks.counted();
    assert_eq!(counted.len() as u64, USERS);
    assert!(counted.values().all(|clicks| *clicks == 1), "{counted:?}");
    no_rebuild_is_left(&clicks);
}

/// Overwrites the boot id that each open copy has noted, and returns the number of these copies.
fn pretend_a_power_cut(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let cut = entries.map(|entry| {
        let path = entry
            .expect("the entry of the directory can be read")
            .path();
        if path.is_dir() {
            return pretend_a_power_cut(&path);
        }
        let is_note = path.ends_with("not-closed");
        if is_note {
            fs::write(&path, "another boot").expect("the file can be written");
        }
        usize::from(is_note)
    });
    cut.sum()
}

/// When a process is killed, the kernel keeps the pages that the process has written; in a power failure, they are
/// lost.
#[test]
#[ignore = "needs a real Kafka"]
fn a_copy_that_was_open_when_the_machine_stopped() {
    let clicks = clicks();
    clicks.produce(USERS, USERS);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(USERS);
    clicks.wait_until_committed();
    processor.kill();
    assert_eq!(pretend_a_power_cut(&clicks.state("one")), 4);

    let mut processor = clicks.processor("one");
    let output = wait_until_all_run(&mut processor);
    let rebuilt = output.matches("local copy discarded; rebuilding").count();
    let reason = "the machine crashed or restarted before the local copy was closed";
    assert_eq!(rebuilt, 4, "{output}");
    assert_eq!(output.matches(reason).count(), 4, "{output}");
    no_rebuild_is_left(&clicks);
    clicks.produce_more(USERS, USERS);
    clicks.wait_until_all_counted(&clicks.expected());
    processor.interrupt();
    processor.succeed();
    assert_eq!(clicks.counted(), clicks.expected());
}
