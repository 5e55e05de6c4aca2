//! Producers outside the group that write to the group's topics in transactions: open transactions, aborted
//! transactions, and transaction markers at the end of a log.

use std::time::Duration;

use goka::{App, Guarantee};
use goka_tests::{DEADLINE, Message, broker, read_until};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::time::timeout;

use super::{BOTH, Group, end, local, of};

const WAIT: Duration = Duration::from_secs(20);
/// Transaction timeout of these producers, in milliseconds. The broker looks for timed-out transactions every 10 s.
const TIMEOUT_MS: &str = "3000";

/// Opens a transaction in a topic, and writes a wrong row of `key` in it. Returns the producer, which has not ended it.
fn open_transaction(topic: &str, key: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker().address())
        .set("transactional.id", goka_tests::unique("foreign"))
        .set("transaction.timeout.ms", TIMEOUT_MS)
        .create()
        .expect("the settings of the producer are valid");
    producer
        .init_transactions(WAIT)
        .expect("the producer gets a producer id");
    producer.begin_transaction().expect("a transaction");
    let wrong = BaseRecord::to(topic)
        .partition(0)
        .key(key)
        .payload("999999");
    let sent = producer.send(wrong);
    sent.map_err(|(error, _)| error)
        .expect("the producer's queue has room");
    producer.flush(WAIT).expect("the broker accepts the record");
    producer
}

fn commit(producer: &BaseProducer) {
    let committed = producer.commit_transaction(WAIT);
    committed.expect("the transaction has not timed out yet");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_open_transaction_in_the_tables_topic_is_waited_for() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group.feed(&[("a", 1), ("b", 2)]);
        let running = group.start().await;
        group.rows(2).await;
        end(running).await;

        let _left_open = open_transaction(&group.table(), "a");
        group.feed(&[("a", 10)]);
        for is_lost in [false, true] {
            if is_lost {
                group.lose_state();
            }
            let running = group.start().await;
            assert_eq!(
                group.rows(3).await,
                of(&[("a", 11), ("b", 2)]),
                "{guarantee:?}"
            );
            end(running).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_open_transaction_in_an_input_is_waited_for() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group.feed(&[("a", 1)]);
        let _left_open = open_transaction(&group.input(), "a");
        group.feed(&[("a", 10)]);
        let running = group.start().await;
        assert_eq!(group.rows(2).await, of(&[("a", 11)]), "{guarantee:?}");
        end(running).await;
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_log_that_ends_in_markers_is_read_to_its_end() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group.create_table(&[]);
        // The log has first only markers, then rows and a marker, then an aborted row and its marker.
        let aborted = open_transaction(&group.table(), "a");
        aborted
            .abort_transaction(WAIT)
            .expect("the transaction is aborted");
        commit(&open_transaction(&group.table(), "b"));
        group.write([Message::new("a", "5"), Message::new("b", "6")]);
        commit(&open_transaction(&group.table(), "c"));
        let aborted = open_transaction(&group.table(), "b");
        aborted
            .abort_transaction(WAIT)
            .expect("the transaction is aborted");

        let expected = of(&[("a", 5), ("b", 6), ("c", 999_999)]);
        assert_eq!(group.written(), expected);
        // The first start of the processor reads the log from its beginning, and the second start reads from the offset
        // after the last marker. The start below reads from the middle of the log.
        for _ in 0..2 {
            let running = group
                .start_with(group.config().start(goka::config::Start::Earliest))
                .await;
            assert_eq!(local(&running, &["a", "b", "c"]), expected, "{guarantee:?}");
            end(running).await;
        }
        group.write([Message::tombstone("c")]);
        commit(&open_transaction(&group.table(), "d"));
        let running = group.start().await;
        let expected = of(&[("a", 5), ("b", 6), ("d", 999_999)]);
        assert_eq!(
            local(&running, &["a", "b", "c", "d"]),
            expected,
            "{guarantee:?}"
        );
        end(running).await;
    }
}

/// Only the group itself may write to its changelog. With at-least-once, the owner of a partition overwrites rows of
/// other writers, because nothing else protects the table from late rows of a previous owner.
#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn rows_of_others_are_written_over_at_least_once() {
    let group = Group::new(Guarantee::AtLeastOnce);
    group.feed(&[("a", 1)]);
    let running = group.start().await;
    group.rows(1).await;
    group.write([Message::new("a", "999999"), Message::new("x", "999999")]);
    group.feed(&[("a", 10)]);
    let table = group.table();
    let deleted = tokio::task::spawn_blocking(move || {
        read_until(broker().address(), &table, |row| {
            row.key_text() == "x" && row.value.is_none()
        })
    });
    deleted.await.expect("the reading thread does not panic");
    assert_eq!(local(&running, &["a", "x"]), of(&[("a", 11)]));
    end(running).await;
    assert_eq!(group.written(), of(&[("a", 11)]));
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn rows_of_others_are_found_at_the_next_recovery_exactly_once() {
    let group = Group::new(Guarantee::ExactlyOnce);
    group.feed(&[("a", 1)]);
    let running = group.start().await;
    group.rows(1).await;
    group.write([Message::new("x", "5")]);
    group.feed(&[("a", 10)]);
    assert_eq!(group.rows(3).await, of(&[("a", 11), ("x", 5)]));
    assert_eq!(local(&running, &["x"]), of(&[]));
    end(running).await;
    group.lose_state();
    let running = group.start().await;
    assert_eq!(local(&running, &["a", "x"]), of(&[("a", 11), ("x", 5)]));
    end(running).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_partition_does_not_run_before_an_open_transaction_is_decided() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group.create_table(&[]);
        let open = open_transaction(&group.table(), "x");
        group.feed(&[("a", 1)]);
        let config = group.config().start(goka::config::Start::Earliest);
        let app = App::new(config).processor(super::sum::Processor);
        let running = app.start().await.expect("the app starts");
        let early = timeout(Duration::from_secs(2), running.recovered()).await;
        assert!(
            early.is_err(),
            "{guarantee:?}: the processor runs too early"
        );
        commit(&open);
        let recovered = timeout(DEADLINE, running.recovered()).await;
        recovered
            .expect("recovery ends in time")
            .expect("recovery succeeds");
        let expected = of(&[("a", 1), ("x", 999_999)]);
        assert_eq!(group.rows(2).await, expected, "{guarantee:?}");
        end(running).await;
        assert_eq!(
            group.written(),
            expected,
            "{guarantee:?}: no row must be overwritten"
        );
    }
}
