//! Topics that do not match each other, and topics that change while a group runs: in both cases, the app ends with an
//! error that says what to do.

mod place;

use std::{sync::Arc, time::Duration};

use goka::{App, Context, Processor, Running};
use goka_tests::{DEADLINE, broker, needs_kafka};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "topics", value = i64)]
struct Sums;

#[goka::processor(group = "topics", input = "numbers", table = Sums)]
fn sum(ctx: &mut sum::Context, number: i64) -> goka::Result {
    let sum = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(sum + number))
}

/// Starts an app that checks its topics often, and waits until the app has recovered.
async fn running(place: &Place) -> Running {
    broker().create_topic(&place.physical("numbers"), 2);
    let config = place.config().metadata_interval(Duration::from_millis(200));
    let app = App::new(config).processor(sum::Processor);
    let running = app.start().await.expect("the app starts");
    let recovered = timeout(DEADLINE, running.recovered()).await;
    recovered
        .expect("recovery ends in time")
        .expect("the app runs");
    running
}

/// The error of an app that ends by itself.
async fn failure(mut running: Running) -> String {
    let ended = timeout(DEADLINE, running.wait()).await;
    let ended = ended.expect("the app ends by itself");
    ended.expect_err("the app ends with an error").to_string()
}

async fn refusal<P: Processor>(place: &Place, processor: P) -> String {
    let app = App::new(place.config()).processor(processor);
    let started = app.start().await;
    started.expect_err("the app refuses to start").to_string()
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
#[ignore = "needs a real Kafka"]
async fn an_input_that_is_deleted_while_it_is_read() {
    needs_kafka();
    let place = Place::new("deleted-input");
    let running = running(&place).await;
    let input = place.physical("numbers");
    broker().delete_topic(&input);
    let cure = "Create it with kafka-topics or `Config::create_stream`";
    let said = failure(running).await;
    contains(&said, &[&input, "`topics`", "does not exist", cure]);
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_table_that_is_no_longer_compacted() {
    needs_kafka();
    let place = Place::new("altered-table");
    let running = running(&place).await;
    let table = place.physical("topics-state");
    broker().alter_topic(&table, "cleanup.policy", "delete");
    let cure = format!("--entity-name {table} --add-config cleanup.policy=compact");
    let said = failure(running).await;
    contains(&said, &[&table, "cleanup.policy=delete", &cure]);
}

/// A processor with two inputs.
struct Both;

#[goka::processor(group = "topics")]
impl Both {
    #[input("fours")]
    fn four(&self, _: &mut Context<'_, Self>, _: String) {}
    #[input("threes")]
    fn three(&self, _: &mut Context<'_, Self>, _: String) {}
}

#[tokio::test]
async fn inputs_of_different_numbers_of_partitions() {
    let place = Place::new("uneven");
    for (topic, partitions) in [("fours", 4), ("threes", 3)] {
        broker().create_topic(&place.physical(topic), partitions);
    }
    let said = refusal(&place, Both).await;
    let there = [
        format!("`{}` has 4", place.physical("fours")),
        format!("`{}` has 3", place.physical("threes")),
    ];
    let cure = "create the inputs with the same number";
    contains(&said, &[&there[0], &there[1], "`topics`", cure]);
}

#[goka::table(group = "rates", value = i64)]
struct Rates;
#[goka::table(group = "rates", value = i64, codec = Json)]
struct OtherRates;

/// A processor whose field shows whether anything still holds the processor.
struct Reads {
    _alive: Arc<()>,
}

#[goka::processor(group = "reads", lookup(Rates))]
impl Reads {
    #[input("numbers")]
    fn read(&self, _: &mut Context<'_, Self>, _: i64) {}
}

#[goka::processor(group = "reads-otherwise", input = "numbers", lookup(OtherRates))]
fn otherwise(_: &mut otherwise::Context, _: i64) {}

#[tokio::test]
async fn nothing_runs_if_the_last_of_several_processors_is_refused() {
    let place = Place::new("half-started");
    broker().create_topic(&place.physical("numbers"), 2);
    let compacted = [("cleanup.policy", "compact")];
    broker().create_topic_with(&place.physical("rates-state"), 2, &compacted);
    let alive = Arc::new(());
    let app = App::new(place.config())
        .processor(Reads {
            _alive: Arc::clone(&alive),
        })
        .processor(otherwise::Processor);
    let started = app.start().await;
    let said = started
        .expect_err("the app must refuse two codecs of one table")
        .to_string();
    contains(&said, &["`reads-otherwise`", "Declare the table once"]);
    assert_eq!(
        Arc::strong_count(&alive),
        1,
        "no worker must still hold the processor"
    );
}
