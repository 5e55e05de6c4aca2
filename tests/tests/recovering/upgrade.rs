//! Groups whose last commit is not a cut of this version: an upgrade from a version that committed the offsets of the
//! inputs only. And rows that others write while the group is stopped.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use goka::Guarantee;
use goka_tests::{Message, an_hour_ago, broker, kafka_tool};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

use super::{BOTH, Group, end, local, of};

/// What goka logs about rows that no commit of the group covers.
const KEPT: &str = "rows behind the group's commit are kept";
const UNDOING: &str = "undoing rows behind the group's commit";

/// The log of this process: all tests that run at the same time write to it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts to log, if no other test has done so.
    fn start() -> Log {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Log::default();
            let written = log.clone();
            tracing_subscriber::fmt()
                .with_env_filter("goka=info")
                .with_ansi(false)
                .with_writer(move || written.clone())
                .init();
            log
        });
        log.clone()
    }

    /// How many lines have this text and concern the changelog of this group.
    fn count(&self, text: &str, group: &Group) -> usize {
        let log = self.0.lock().expect("no thread panicked while it logged");
        let log = String::from_utf8_lossy(&log);
        let topic = group.table();
        let lines = log.lines();
        lines
            .filter(|line| line.contains(text) && line.contains(&topic))
            .count()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().expect("no thread panicked while it logged");
        log.extend(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces all committed offsets of the group by those that the version before would have committed: the offset of
/// the input, with the name of the instance in its metadata.
fn commit_as_before(group: &Group, input: i64) {
    let (address, name) = (broker().address(), group.name());
    kafka_tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--bootstrap-server", address, "--group", &name, "--delete"],
    );
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", &name)
        .create()
        .expect("the settings of the consumer are valid");
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(&group.input(), 0, Offset::Offset(input))
        .expect("a valid offset");
    let mut found = offsets.find_partition(&group.input(), 0).expect("added");
    found.set_metadata(format!("goka {name}-0"));
    let committed = consumer.commit(&offsets, CommitMode::Sync);
    committed.expect("the group has no members");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_upgrade_keeps_the_tail_and_says_so_once() {
    let log = Log::start();
    for guarantee in BOTH {
        for is_lost in [false, true] {
            let told = format!("{guarantee:?}, local copy lost: {is_lost}");
            let group = Group::new(guarantee);
            group.feed(&[("a", 1), ("b", 2), ("a", 3)]);
            let running = group.start().await;
            group.rows(3).await;
            end(running).await;
            // The version before handles another record, and is killed before it commits the offset of that record.
            group.feed(&[("a", 10)]);
            group.write([Message::new("a", "14")]);
            commit_as_before(&group, 3);
            if is_lost {
                group.lose_state();
            }
            let running = group.start().await;
            assert_eq!(group.rows(5).await, of(&[("a", 24), ("b", 2)]), "{told}");
            assert_eq!(log.count(KEPT, &group), 1, "{told}");
            group.feed(&[("b", 20), ("c", 5)]);
            let expected = of(&[("a", 24), ("b", 22), ("c", 5)]);
            assert_eq!(group.rows(7).await, expected, "{told}");
            end(running).await;
            // The group has committed a cut, so the next start has nothing to say.
            group.feed(&[("c", 1)]);
            let running = group.start().await;
            let expected = of(&[("a", 24), ("b", 22), ("c", 6)]);
            assert_eq!(group.rows(8).await, expected, "{told}");
            assert_eq!(local(&running, &["a", "b", "c"]), expected, "{told}");
            end(running).await;
            assert_eq!(log.count(KEPT, &group), 1, "{told}");
            assert_eq!(log.count(UNDOING, &group), 0, "{told}");
        }
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn rows_that_were_written_while_the_group_was_stopped_stay() {
    let log = Log::start();
    for guarantee in BOTH {
        for is_lost in [false, true] {
            let told = format!("{guarantee:?}, local copy lost: {is_lost}");
            let group = Group::new(guarantee);
            group.feed(&[("a", 1), ("b", 2), ("c", 3)]);
            let running = group.start().await;
            group.rows(3).await;
            end(running).await;
            group.write([
                Message::new("a", "100"),
                Message::tombstone("b"),
                Message::new("x", "7"),
            ]);
            if is_lost {
                group.lose_state();
            }
            let running = group.start().await;
            let kept = of(&[("a", 100), ("c", 3), ("x", 7)]);
            assert_eq!(local(&running, &["a", "b", "c", "x"]), kept, "{told}");
            group.feed(&[("a", 1), ("b", 1), ("x", 1)]);
            let expected = of(&[("a", 101), ("b", 1), ("c", 3), ("x", 8)]);
            assert_eq!(group.rows(9).await, expected, "{told}");
            end(running).await;
            assert_eq!(group.written(), expected, "{told}");
            assert_eq!(log.count(UNDOING, &group), 0, "{told}");
        }
    }
}

/// A row that has a time before the shutdown was not written while the group was stopped: it is a late row of an
/// instance that had lost its partitions.
#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn late_rows_from_before_the_shutdown_are_undone() {
    let log = Log::start();
    for is_lost in [false, true] {
        let group = Group::new(Guarantee::AtLeastOnce);
        group.feed(&[("a", 1), ("b", 2)]);
        let running = group.start().await;
        group.rows(2).await;
        end(running).await;
        let late = |key, value| Message {
            timestamp: Some(an_hour_ago()),
            ..Message::new(key, value)
        };
        group.write([late("a", "999"), late("x", "999"), Message::new("b", "100")]);
        if is_lost {
            group.lose_state();
        }
        let running = group.start().await;
        let expected = of(&[("a", 1), ("b", 100)]);
        assert_eq!(local(&running, &["a", "b", "x"]), expected);
        group.feed(&[("a", 1), ("b", 1)]);
        // Two rows, three rows of others, two rows that undo, and two rows.
        assert_eq!(group.rows(9).await, of(&[("a", 2), ("b", 101)]));
        end(running).await;
        assert_eq!(log.count(UNDOING, &group), 1);
    }
}
