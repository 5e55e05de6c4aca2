//! Restarts of a group whose committed offsets have expired or were changed by an operator.

use goka::{App, Error, config::Start};
use goka_tests::{broker, kafka_tool};
use tokio::time::timeout;

use super::{BOTH, DEADLINE, Group, end, of, sum};

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// Runs Kafka's tool for consumer groups with these arguments on the group.
fn operate(group: &Group, arguments: &[&str]) {
    let (address, name) = (broker().address(), group.name());
    let whom = ["--bootstrap-server", address, "--group", &name];
    kafka_tool(GROUPS, &[&whom, arguments].concat());
}

/// Starts the group, waits until it has processed ten numbers, and shuts it down.
async fn group_that_ended(group: &Group) {
    let numbers: Vec<_> = (1..=10).map(|number| ("a", number)).collect();
    group.feed(&numbers);
    let running = group.start().await;
    group.rows(10).await;
    end(running).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn expired_offsets_are_known_from_the_local_copy() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group_that_ended(&group).await;
        operate(&group, &["--delete"]);
        group.feed(&[("a", 100), ("b", 1)]);
        let running = group.start().await;
        assert_eq!(
            group.rows(12).await,
            of(&[("a", 155), ("b", 1)]),
            "{guarantee:?}"
        );
        end(running).await;
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn offsets_that_an_operator_reset_win() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group_that_ended(&group).await;
        let input = group.input();
        let reset = [
            "--reset-offsets",
            "--topic",
            &input,
            "--to-offset",
            "7",
            "--execute",
        ];
        operate(&group, &reset);
        let running = group.start().await;
        assert_eq!(
            group.rows(13).await,
            of(&[("a", 55 + 8 + 9 + 10)]),
            "{guarantee:?}"
        );
        end(running).await;
        // A reset forwards is kept as well: the records that it skips stay skipped.
        group.feed(&[("a", 1_000), ("a", 10_000)]);
        let reset = [
            "--reset-offsets",
            "--topic",
            &input,
            "--to-offset",
            "11",
            "--execute",
        ];
        operate(&group, &reset);
        let running = group.start().await;
        assert_eq!(
            group.rows(14).await,
            of(&[("a", 82 + 10_000)]),
            "{guarantee:?}"
        );
        end(running).await;
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn with_neither_offsets_nor_a_local_copy_it_asks_what_to_do() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group_that_ended(&group).await;
        operate(&group, &["--delete"]);
        group.lose_state();
        let app = App::new(group.config()).processor(sum::Processor);
        let mut running = app.start().await.expect("the app starts");
        let recovered = timeout(DEADLINE, running.recovered()).await;
        let recovered = recovered.expect("`recovered` returns when the app ends");
        assert!(matches!(recovered, Err(Error::Closed(_))), "{recovered:?}");
        let ended = timeout(DEADLINE, running.wait())
            .await
            .expect("the app ends by itself");
        let refusal = ended
            .expect_err("the app has no position to resume at")
            .to_string();
        for part in [
            &group.table(),
            "`start`",
            "`earliest`",
            "`latest`",
            "`reset`",
        ] {
            assert!(
                refusal.contains(part),
                "the text must contain `{part}`: {refusal}"
            );
        }
        drop(running);
        // The instance has written and committed nothing. The group refuses to start until an operator chooses a
        // position.
        assert_eq!(group.written(), of(&[("a", 55)]), "{guarantee:?}");
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn the_setting_start_chooses_where_the_group_begins() {
    for guarantee in BOTH {
        let choices = [
            (Start::Earliest, 11 + 10, 55 + 55 + 100),
            (Start::Latest, 10 + 1, 55 + 1_000),
            (Start::Reset, 10 + 1 + 11, 55 + 100),
        ];
        for (start, rows, sum) in choices {
            let group = Group::new(guarantee);
            group_that_ended(&group).await;
            operate(&group, &["--delete"]);
            group.lose_state();
            group.feed(&[("a", 100)]);
            let running = group.start_with(group.config().start(start)).await;
            if start == Start::Latest {
                group.feed(&[("a", 1_000)]);
            }
            assert_eq!(
                group.rows(rows).await,
                of(&[("a", sum)]),
                "{guarantee:?}, {start:?}"
            );
            end(running).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn the_local_copy_of_a_previous_owner_does_not_set_the_position() {
    for guarantee in BOTH {
        let group = Group::new(guarantee);
        group_that_ended(&group).await;
        // Another instance, with a state directory of its own, continues.
        let elsewhere = group.place.state_dir().with_file_name("elsewhere");
        group.feed(&[("a", 100)]);
        let other = group.start_with(group.config().state_dir(&elsewhere)).await;
        group.rows(11).await;
        end(other).await;
        operate(&group, &["--delete"]);
        // The group refuses the first start, and also the second.
        for _ in 0..2 {
            let app = App::new(group.config()).processor(sum::Processor);
            let mut running = app.start().await.expect("the app starts");
            let ended = timeout(DEADLINE, running.wait())
                .await
                .expect("the app ends by itself");
            let refusal = ended
                .expect_err("the transaction was not the last")
                .to_string();
            assert!(refusal.contains("`start`"), "{guarantee:?}: {refusal}");
        }
        assert_eq!(group.written(), of(&[("a", 155)]), "{guarantee:?}");
        // The local copy of the last owner has the right positions, so this instance starts.
        let other = group.start_with(group.config().state_dir(&elsewhere)).await;
        end(other).await;
        assert_eq!(group.written(), of(&[("a", 155)]), "{guarantee:?}");
    }
}
