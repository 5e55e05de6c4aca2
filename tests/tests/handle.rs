//! The handle of a running processor: it reads the partitions that run in this process, and returns an error that names
//! the partition if a key belongs to another partition.

mod place;

use std::collections::BTreeMap;

use goka::{App, Error, app::PartitionState, graph::Graph};
use goka_tests::{DEADLINE, Message, broker, produce, wait_for_records};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "handled", value = i64)]
struct Sums;

#[goka::processor(group = "handled", input = "numbers", table = Sums)]
fn sum(ctx: &mut sum::Context, number: i64) -> goka::Result {
    let sum = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(sum + number))
}

#[tokio::test]
async fn a_handle_tells_what_is_here_and_what_is_elsewhere() {
    let place = Place::new("handle");
    broker().create_topic(&place.physical("numbers"), 4);
    let numbers = (1..=100).map(|n| Message::new(format!("key-{}", n % 10), n.to_string()));
    produce(broker().address(), &place.physical("numbers"), numbers);
    let app = App::new(place.config()).processor(sum::Processor);
    let running = app.start().await.expect("the app starts");
    let handle = running
        .processor::<sum::Processor>()
        .expect("the app runs the processor");
    let recovered = timeout(DEADLINE, running.recovered()).await;
    recovered
        .expect("recovery ends in time")
        .expect("the app runs");
    wait_for_records(place.physical("handled-state"), 100).await;
    let stored = async {
        // A row is in the changelog before it is in the local copy, so this waits for the local copy.
        while handle.get::<Sums>("key-7").ok().flatten() != Some(520) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, stored)
        .await
        .expect("the row is stored in time");

    let all: BTreeMap<i32, PartitionState> = (0..4).map(|n| (n, PartitionState::Running)).collect();
    assert_eq!(handle.state(), all);
    assert_eq!(handle.graph(), Graph::of::<sum::Processor>());
    assert_eq!(
        handle
            .get::<Sums>("nobody")
            .expect("the partition runs here"),
        None
    );

    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
    assert_eq!(handle.state(), BTreeMap::new());
    let elsewhere = handle
        .get::<Sums>("key-7")
        .expect_err("the partition does not run here");
    assert!(
        matches!(
            &elsewhere,
            Error::Elsewhere {
                group: "handled",
                ..
            }
        ),
        "{elsewhere}"
    );
    let said = elsewhere.to_string();
    for part in ["`handled`", "query its owner", "`View`"] {
        assert!(
            said.contains(part),
            "the text must contain `{part}`: {said}"
        );
    }
}
