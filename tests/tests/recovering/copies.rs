//! Local copies that do not match the changelog any more: the changelog was compacted, was deleted and created again,
//! or is empty, or the copy is so old that it may have missed deletions.

use goka::{App, Guarantee, config::Start};
use goka_tests::{Message, broker, read_topic, read_until};

use tokio::time::timeout;

use super::{BOTH, DEADLINE, Group, end, local, of, sum};

/// Topic settings with tiny segments. With them, the broker compacts the topic at its next check, every 15 s.
const COMPACTED_SOON: [(&str, &str); 4] = [
    ("segment.ms", "50"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("max.compaction.lag.ms", "100"),
    ("delete.retention.ms", "100"),
];

/// Waits until compaction has removed all rows and tombstones of a key. In the meantime, writes rows of another key,
/// because a segment ends only when a later record is written.
fn compact_away(group: &Group, key: &str) {
    loop {
        group.write([Message::new("filler", "0")]);
        let rows = read_topic(broker().address(), &group.table());
        if !rows.iter().any(|row| row.key_text() == key) {
            return;
        }
        wait_for_broker();
    }
}

/// Pauses between two reads, because the broker does not notify of compaction.
fn wait_for_broker() {
    let (_kept, never) = std::sync::mpsc::channel::<()>();
    let _timed_out = never.recv_timeout(std::time::Duration::from_millis(500));
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_empty_table_runs_at_once() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        for _ in 0..2 {
            let running = group.start().await;
            assert_eq!(local(&running, &["a"]), of(&[]), "{guarantee:?}");
            end(running).await;
        }
        group.feed(&[("a", 1)]);
        let running = group.start().await;
        assert_eq!(group.rows(1).await, of(&[("a", 1)]), "{guarantee:?}");
        end(running).await;
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_compacted_log_is_read_to_its_end_and_deletions_are_not_missed() {
    for guarantee in BOTH {
        compacted(guarantee).await;
    }
}

async fn compacted(guarantee: Guarantee) {
    let group = Group::new(guarantee);
    group.create_table(&COMPACTED_SOON);
    group.feed(&[("deleted", 1), ("a", 1), ("b", 1)]);
    let running = group.start().await;
    group.rows(3).await;
    assert_eq!(
        local(&running, &["deleted", "a"]),
        of(&[("deleted", 1), ("a", 1)])
    );
    end(running).await;

    // While no instance runs, a row is deleted, and compaction removes the row's tombstone as well.
    group.write([Message::tombstone("deleted"), Message::new("a", "2")]);
    group.write((3..=50).map(|row| Message::new("a", row.to_string())));
    compact_away(&group, "deleted");
    let rows = read_topic(broker().address(), &group.table());
    let end_of_log = rows.last().map_or(0, |row| row.offset + 1);
    assert!(
        rows.len() < 50,
        "the changelog must be compacted, but has {} rows before offset {end_of_log}",
        rows.len()
    );
    let expected = of(&[("a", 50), ("b", 1)]);
    let keys = ["deleted", "a", "b"];

    let running = group.start().await;
    assert_eq!(
        local(&running, &keys),
        expected,
        "{guarantee:?}, with the old copy"
    );
    end(running).await;
    group.lose_state();
    let running = group.start().await;
    assert_eq!(
        local(&running, &keys),
        expected,
        "{guarantee:?}, without a copy"
    );
    group.feed(&[("deleted", 7)]);
    let written = tokio::task::spawn_blocking({
        let table = group.table();
        move || {
            read_until(broker().address(), &table, |row| {
                row.key_text() == "deleted"
            })
        }
    });
    written.await.expect("the reading thread does not panic");
    end(running).await;
    assert_eq!(
        group.written()["deleted"],
        7,
        "{guarantee:?}: the deleted key must be counted from zero again"
    );
}

/// Kafka forgets committed offsets in a topic that is deleted, and the positions in the local copy belong to the
/// deleted topic.
#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_input_that_was_created_again_is_read_from_its_start() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group.feed(&[("a", 1), ("a", 2)]);
        let running = group.start().await;
        group.rows(2).await;
        end(running).await;

        broker().delete_topic(&group.input());
        broker().create_topic(&group.input(), 1);
        // There are more records than in the old topic, so that the end offset does not show that the topic is new.
        group.feed(&[("a", 10), ("a", 20), ("a", 30), ("a", 40)]);
        let app = App::new(group.config()).processor(sum::Processor);
        let mut running = app.start().await.expect("the app starts");
        let ended = timeout(DEADLINE, running.wait()).await;
        let refusal = ended
            .expect("the app ends by itself")
            .expect_err("the app refuses to choose a position");
        assert!(refusal.to_string().contains("`earliest`"), "{refusal}");
        drop(running);
        let running = group
            .start_with(group.config().start(Start::Earliest))
            .await;
        assert_eq!(group.rows(6).await, of(&[("a", 103)]), "{guarantee:?}");
        end(running).await;
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_changelog_that_was_created_again_is_empty_whatever_the_copy_has() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group.feed(&[("a", 1), ("b", 2), ("a", 3)]);
        let running = group.start().await;
        group.rows(3).await;
        end(running).await;

        broker().delete_topic(&group.table());
        group.create_table(&[]);
        // There are not fewer records than in the old topic, so that the end offset does not show that the topic is
        // new.
        group.write((0..10).map(|row| Message::new("x", row.to_string())));
        let running = group.start().await;
        assert_eq!(
            local(&running, &["a", "b", "x"]),
            of(&[("x", 9)]),
            "{guarantee:?}"
        );
        group.feed(&[("a", 10)]);
        assert_eq!(
            group.rows(11).await,
            of(&[("a", 10), ("x", 9)]),
            "{guarantee:?}"
        );
        end(running).await;
    }
}
