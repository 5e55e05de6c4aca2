//! Producers that have nothing to do with the group, and write to its topics in transactions: open ones, aborted ones,
//! and what they leave at the end of a log.

use std::time::Duration;

use goka_tests::{Message, broker};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{BOTH, Group, end, local, of};

const WAIT: Duration = Duration::from_secs(20);
/// The broker looks for transactions that have timed out every 10 s.
const TIMEOUT_MS: &str = "3000";

/// A producer with an open transaction in a topic. It holds a row of `key` that is wrong.
fn open_transaction(topic: &str, key: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker().address())
        .set("transactional.id", goka_tests::unique("foreign"))
        .set("transaction.timeout.ms", TIMEOUT_MS)
        .create()
        .expect("settings of a producer");
    producer.init_transactions(WAIT).expect("a producer id");
    producer.begin_transaction().expect("a transaction");
    let wrong = BaseRecord::to(topic)
        .partition(0)
        .key(key)
        .payload("999999");
    let sent = producer.send(wrong);
    sent.map_err(|(error, _)| error).expect("room for a record");
    producer.flush(WAIT).expect("a broker that takes it");
    producer
}

fn commit(producer: &BaseProducer) {
    let committed = producer.commit_transaction(WAIT);
    committed.expect("the transaction has not timed out yet");
}

#[tokio::test]
async fn an_open_transaction_in_the_tables_topic_is_waited_for() {
    for guarantee in BOTH {
        let Some(group) = Group::new(guarantee) else {
            return;
        };
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
async fn an_open_transaction_in_an_input_is_waited_for() {
    for guarantee in BOTH {
        let Some(group) = Group::new(guarantee) else {
            return;
        };
        group.feed(&[("a", 1)]);
        let _left_open = open_transaction(&group.input(), "a");
        group.feed(&[("a", 10)]);
        let running = group.start().await;
        assert_eq!(group.rows(2).await, of(&[("a", 11)]), "{guarantee:?}");
        end(running).await;
    }
}

#[tokio::test]
async fn a_log_that_ends_in_markers_is_read_to_its_end() {
    for guarantee in BOTH {
        let Some(group) = Group::new(guarantee) else {
            return;
        };
        group.create_table(&[]);
        // Markers alone, then rows and a marker, then a row that was given up and its marker.
        let aborted = open_transaction(&group.table(), "a");
        aborted
            .abort_transaction(WAIT)
            .expect("nothing was committed");
        commit(&open_transaction(&group.table(), "b"));
        group.write([Message::new("a", "5"), Message::new("b", "6")]);
        commit(&open_transaction(&group.table(), "c"));
        let aborted = open_transaction(&group.table(), "b");
        aborted
            .abort_transaction(WAIT)
            .expect("nothing was committed");

        let expected = of(&[("a", 5), ("b", 6), ("c", 999_999)]);
        assert_eq!(group.written(), expected);
        // From the start of the log, then from behind the last marker; then from within.
        for _ in 0..2 {
            let running = group
                .start_with(group.config().start(goka::Start::Earliest))
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
