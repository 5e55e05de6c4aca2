//! Bad input and bad surroundings: each is refused with a sentence that says what to do, and nothing is lost.

use std::{fs, time::Duration};

use goka::{App, Config, Error, Running};
use goka_tests::{DEADLINE, Message, broker, last_values, produce, read_topic, read_until, unique};
use tempfile::TempDir;
use tokio::time::timeout;

#[goka::table(group = "refusals", value = i64)]
struct Sums;

#[goka::processor(group = "refusals", input = "numbers", table = Sums)]
fn sum(ctx: &mut sum::Context, number: i64) -> goka::Result {
    let sum = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(sum + number))
}

/// Names and a state of its own.
struct Place {
    prefix: String,
    state: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            prefix: unique("refusals") + "-",
            state: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn config(&self) -> Config {
        Config::new()
            .brokers(broker().address())
            .prefix(&self.prefix)
            .state_dir(self.state.path().join("state"))
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn produce(&self, messages: impl IntoIterator<Item = Message>) {
        produce(broker().address(), &self.topic("numbers"), messages);
    }

    async fn start(&self) -> goka::Result<Running> {
        App::new(self.config())
            .processor(sum::Processor)
            .start()
            .await
    }

    /// Why it does not start.
    async fn refusal(&self) -> String {
        let started = self.start().await;
        started.expect_err("it is refused").to_string()
    }

    /// Why it ends.
    async fn failure(&self, running: &mut Running) -> Error {
        let ended = timeout(DEADLINE, running.wait()).await;
        ended
            .expect("it ends by itself")
            .expect_err("it ends by a failure")
    }
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not said: {text}");
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer() {
    let config = Place::new().config().brokers("127.0.0.1:9");
    let started = App::new(config).processor(sum::Processor).start().await;
    contains(
        &started.expect_err("nobody is there").to_string(),
        &["127.0.0.1:9"],
    );
}

#[tokio::test]
async fn an_input_that_is_missing() {
    if !broker().is_kafka() {
        return; // the embedded broker creates what it is asked for
    }
    let place = Place::new();
    contains(
        &place.refusal().await,
        &[&place.topic("numbers"), "refusals"],
    );
}

#[tokio::test]
async fn a_table_with_other_partitions_than_the_input() {
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 4);
    broker().create_topic_with(
        &place.topic("refusals-state"),
        3,
        &[("cleanup.policy", "compact")],
    );
    contains(
        &place.refusal().await,
        &[&place.topic("refusals-state"), "3", "4"],
    );
}

#[tokio::test]
async fn a_table_that_is_not_compacted() {
    if !broker().is_kafka() {
        return; // the embedded broker knows no settings of topics
    }
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 2);
    broker().create_topic(&place.topic("refusals-state"), 2);
    contains(
        &place.refusal().await,
        &[&place.topic("refusals-state"), "compact"],
    );
}

#[tokio::test]
async fn a_state_directory_that_is_a_file() {
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 4);
    let path = place.state.path().join("state");
    fs::write(&path, "not a directory").expect("a file in a temporary directory");
    contains(&place.refusal().await, &[&path.to_string_lossy()]);
}

#[tokio::test]
async fn settings_that_mean_nothing_or_contradict() {
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 4);
    for (key, value) in [
        ("sesion.timeout.ms", "6000"),
        ("enable.idempotence", "false"),
    ] {
        let config = place.config().set(key, value);
        let started = App::new(config).processor(sum::Processor).start().await;
        contains(&started.expect_err("it is refused").to_string(), &[key]);
    }
}

#[tokio::test]
async fn a_message_that_does_not_decode() {
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 4);
    let bad = Message {
        partition: Some(2),
        ..Message::new("b", "many")
    };
    let good = |key: &str, value: &str| Message {
        partition: Some(2),
        ..Message::new(key, value)
    };
    place.produce([good("a", "1"), bad, good("a", "10")]);
    for _ in 0..2 {
        // Also after a restart: nothing is committed past it.
        let mut running = place.start().await.expect("topics are there");
        let failure = place.failure(&mut running).await;
        let Error::Record {
            partition, offset, ..
        } = &failure
        else {
            panic!("{failure}");
        };
        assert_eq!((*partition, *offset), (2, 1), "{failure}");
        contains(
            &failure.to_string(),
            &[&place.topic("numbers"), "invalid digit"],
        );
    }
    let rows = read_topic(broker().address(), &place.topic("refusals-state"));
    assert!(
        rows.iter().all(|row| row.value.as_deref() == Some(b"1")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_null_key() {
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 4);
    place.produce([Message {
        key: None,
        partition: Some(1),
        ..Message::new("", "1")
    }]);
    let mut running = place.start().await.expect("topics are there");
    let failure = place.failure(&mut running).await.to_string();
    contains(
        &failure,
        &[&place.topic("numbers"), "partition 1", "offset 0", "key"],
    );
}

#[tokio::test]
async fn partitions_that_were_added_to_an_input() {
    if !broker().is_kafka() {
        return; // partitions cannot be added on the embedded broker
    }
    let place = Place::new();
    broker().create_topic(&place.topic("numbers"), 2);
    let config = place.config().metadata_interval(Duration::from_millis(200));
    let app = App::new(config).processor(sum::Processor);
    let mut running = app.start().await.expect("topics are there");
    broker().add_partitions(&place.topic("numbers"), 3);
    let failure = place.failure(&mut running).await.to_string();
    contains(&failure, &[&place.topic("numbers"), "3", "2"]);
}

#[tokio::test]
async fn two_prefixes_live_side_by_side() {
    let places = [Place::new(), Place::new()];
    for (place, number) in places.iter().zip(["1", "2"]) {
        broker().create_topic(&place.topic("numbers"), 4);
        place.produce((0..100).map(|n| Message::new(format!("key-{}", n % 7), number)));
    }
    let mut running = Vec::new();
    for place in &places {
        running.push(place.start().await.expect("topics are there"));
    }
    for (place, sum) in places.iter().zip([100, 200]) {
        let mut rows = 0;
        let rows = read_until(broker().address(), &place.topic("refusals-state"), |_| {
            rows += 1;
            rows == 100
        });
        let sums = last_values(&rows);
        let sums = sums
            .values()
            .map(|sum| sum.parse::<i64>().expect("sums are numbers"));
        assert_eq!(sums.sum::<i64>(), sum);
    }
    for running in running {
        running.shutdown().await.expect("nothing failed");
    }
}
