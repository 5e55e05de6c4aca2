//! Invalid input, settings and topics: goka refuses each of them with an error that says what to do, and loses no data.

mod place;

use std::{fs, time::Duration};

use goka::{App, Error, Running};
use goka_tests::{
    DEADLINE, Message, broker, commit_offset, last_values, needs_kafka, produce, read_topic,
    read_until,
};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "refusals", value = i64)]
struct Sums;

#[goka::processor(group = "refusals", input = "numbers", table = Sums)]
fn sum(ctx: &mut sum::Context, number: i64) -> goka::Result {
    let sum = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(sum + number))
}

fn place() -> Place {
    Place::new("refusals")
}

fn feed(place: &Place, messages: impl IntoIterator<Item = Message>) {
    produce(broker().address(), &place.physical("numbers"), messages);
}

async fn start(place: &Place) -> goka::Result<Running> {
    let app = App::new(place.config()).processor(sum::Processor);
    app.start().await
}

/// The error of an app that fails to start.
async fn refusal(place: &Place) -> String {
    let started = start(place).await;
    started.expect_err("the app refuses to start").to_string()
}

/// The error of an app that ends by itself.
async fn failure(running: &mut Running) -> Error {
    let ended = timeout(DEADLINE, running.wait()).await;
    ended
        .expect("the app ends by itself")
        .expect_err("the app ends with an error")
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(
            text.contains(part),
            "the text must contain `{part}`: {text}"
        );
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer() {
    let config = place().config().brokers("127.0.0.1:9");
    let started = App::new(config).processor(sum::Processor).start().await;
    contains(
        &started.expect_err("no broker answers").to_string(),
        &["127.0.0.1:9"],
    );
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_input_that_is_missing() {
    // The embedded broker creates a missing topic when a client asks for the topic.
    needs_kafka();
    let place = place();
    contains(
        &refusal(&place).await,
        &[&place.physical("numbers"), "refusals"],
    );
}

#[tokio::test]
async fn a_table_with_other_partitions_than_the_input() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    broker().create_topic_with(
        &place.physical("refusals-state"),
        3,
        &[("cleanup.policy", "compact")],
    );
    contains(
        &refusal(&place).await,
        &[&place.physical("refusals-state"), "3", "4"],
    );
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_table_that_is_not_compacted() {
    // The embedded broker does not have topic settings.
    needs_kafka();
    let place = place();
    broker().create_topic(&place.physical("numbers"), 2);
    broker().create_topic(&place.physical("refusals-state"), 2);
    contains(
        &refusal(&place).await,
        &[&place.physical("refusals-state"), "compact"],
    );
}

#[tokio::test]
async fn a_state_directory_that_is_a_file() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    let path = place.state_dir();
    fs::write(&path, "not a directory").expect("the file can be written");
    contains(&refusal(&place).await, &[&path.to_string_lossy()]);
}

#[tokio::test]
async fn settings_that_mean_nothing_or_contradict() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    for (key, value) in [
        ("sesion.timeout.ms", "6000"),
        ("enable.idempotence", "false"),
    ] {
        let config = place.config().set(key, value);
        let started = App::new(config).processor(sum::Processor).start().await;
        contains(
            &started.expect_err("the app refuses to start").to_string(),
            &[key],
        );
    }
}

#[tokio::test]
async fn a_message_that_does_not_decode() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    let bad = Message {
        partition: Some(2),
        ..Message::new("b", "many")
    };
    let good = |key: &str, value: &str| Message {
        partition: Some(2),
        ..Message::new(key, value)
    };
    feed(&place, [good("a", "1"), bad, good("a", "10")]);
    for _ in 0..2 {
        // The second start fails as well, because no offset past the record is committed.
        let mut running = start(&place).await.expect("the app starts");
        let failure = failure(&mut running).await;
        let Error::Record {
            partition, offset, ..
        } = &failure
        else {
            panic!("{failure}");
        };
        assert_eq!((*partition, *offset), (2, 1), "{failure}");
        contains(
            &failure.to_string(),
            &[&place.physical("numbers"), "invalid digit"],
        );
    }
    let rows = read_topic(broker().address(), &place.physical("refusals-state"));
    assert!(
        rows.iter().all(|row| row.value.as_deref() == Some(b"1")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_null_key() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    feed(
        &place,
        [Message {
            key: None,
            partition: Some(1),
            ..Message::new("", "1")
        }],
    );
    let mut running = start(&place).await.expect("the app starts");
    let failure = failure(&mut running).await.to_string();
    contains(
        &failure,
        &[&place.physical("numbers"), "partition 1", "offset 0", "key"],
    );
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn partitions_that_were_added_to_an_input() {
    // On the embedded broker, partitions cannot be added to a topic.
    needs_kafka();
    let place = place();
    broker().create_topic(&place.physical("numbers"), 2);
    let config = place.config().metadata_interval(Duration::from_millis(200));
    let app = App::new(config).processor(sum::Processor);
    let mut running = app.start().await.expect("the app starts");
    broker().add_partitions(&place.physical("numbers"), 3);
    let failure = failure(&mut running).await.to_string();
    contains(&failure, &[&place.physical("numbers"), "3", "2"]);
}

#[tokio::test]
async fn two_prefixes_live_side_by_side() {
    let places = [place(), place()];
    for (place, number) in places.iter().zip(["1", "2"]) {
        broker().create_topic(&place.physical("numbers"), 4);
        feed(
            place,
            (0..100).map(|n| Message::new(format!("key-{}", n % 7), number)),
        );
    }
    let mut running = Vec::new();
    for place in &places {
        running.push(start(place).await.expect("the app starts"));
    }
    for (place, sum) in places.iter().zip([100, 200]) {
        let mut rows = 0;
        let rows = read_until(
            broker().address(),
            &place.physical("refusals-state"),
            |_| {
                rows += 1;
                rows == 100
            },
        );
        let sums = last_values(&rows);
        let sums = sums
            .values()
            .map(|sum| sum.parse::<i64>().expect("the row must be a number"));
        assert_eq!(sums.sum::<i64>(), sum);
    }
    for running in running {
        running
            .shutdown()
            .await
            .expect("the app ends without an error");
    }
}

#[tokio::test]
async fn an_input_offset_that_is_not_there() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    let first = Message {
        partition: Some(0),
        ..Message::new("a", "1")
    };
    feed(&place, [first]);
    // An operator might set such an offset by mistake.
    let group = place.physical("refusals");
    commit_offset(
        broker().address(),
        &group,
        &place.physical("numbers"),
        1_000,
    );
    let mut running = start(&place).await.expect("the app starts");
    let failure = failure(&mut running).await.to_string();
    contains(
        &failure,
        &[
            &place.physical("numbers"),
            "offset 1000",
            "has offsets 0 to 1",
        ],
    );
}

#[tokio::test]
async fn a_table_whose_rows_another_partitioner_placed() {
    let place = place();
    broker().create_topic(&place.physical("numbers"), 4);
    start(&place)
        .await
        .expect("the app starts")
        .shutdown()
        .await
        .expect("the app ends without an error");
    let rows = (0..200).map(|n| {
        let key = format!("key-{n}");
        Message {
            partition: Some(goka::Partitioner::Fnv1a.partition(key.as_bytes(), 4)),
            ..Message::new(key, "1")
        }
    });
    produce(broker().address(), &place.physical("refusals-state"), rows);
    let mut running = start(&place).await.expect("the app starts");
    let failure = failure(&mut running).await.to_string();
    contains(
        &failure,
        &[&place.physical("refusals-state"), "partitioner = fnv1a"],
    );
}
