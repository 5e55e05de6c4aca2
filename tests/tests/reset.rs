//! After a reset, a group counts every record once, and no instance keeps a row from before the reset.

mod place;

use std::{collections::BTreeMap, time::SystemTime};

use goka::{App, Config, Error, Running, app::ResetTo};
use goka_tests::{
    DEADLINE, Message, broker, last_values, needs_kafka, produce, read_topic, wait_for_records,
};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "walkers", value = i64)]
struct Steps;

#[goka::stream("steps", value = i64)]
struct Taken;

#[goka::processor(group = "walkers", input = Taken, table = Steps)]
fn walk(ctx: &mut walk::Context, steps: i64) -> goka::Result {
    let before = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(before + steps))
}

async fn start(config: Config) -> Running {
    let app = App::new(config).processor(walk::Processor);
    app.start().await.expect("the app starts")
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

async fn reset(config: Config, to: ResetTo) -> goka::Result {
    App::new(config).processor(walk::Processor).reset(to).await
}

fn steps(range: std::ops::Range<i64>) -> Vec<Message> {
    range
        .map(|n| Message::new(format!("walker-{}", n % 50), n.to_string()))
        .collect()
}

/// The expected table after these steps.
fn model(steps: std::ops::Range<i64>) -> BTreeMap<String, String> {
    let mut model = BTreeMap::new();
    for n in steps {
        *model.entry(format!("walker-{}", n % 50)).or_insert(0) += n;
    }
    let text = |(walker, steps): (String, i64)| (walker, steps.to_string());
    model.into_iter().map(text).collect()
}

fn table(place: &Place) -> BTreeMap<String, String> {
    last_values(&read_topic(
        broker().address(),
        &place.physical("walkers-state"),
    ))
}

/// Waits until the changelog has this number of records.
async fn written(place: &Place, records: usize) {
    wait_for_records(place.physical("walkers-state"), records).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_reset_group_starts_empty_on_every_instance() {
    // On the embedded broker, there is nothing to reset. The test below checks the error that a reset returns there.
    needs_kafka();
    let place = Place::new("reset");
    broker().create_topic(&place.physical("steps"), 4);
    let here = || place.config().workers(1);
    let elsewhere = || here().state_dir(place.state_dir().with_file_name("elsewhere"));
    produce(
        broker().address(),
        &place.physical("steps"),
        steps(0..1_000),
    );

    // Each of the two instances runs all partitions once, so that each of them has local copies.
    for config in [here(), elsewhere()] {
        let running = start(config).await;
        written(&place, 1_000).await;
        running.recovered().await.expect("the app runs");
        end(running).await;
    }
    assert_eq!(table(&place), model(0..1_000));

    let running = start(here()).await;
    running.recovered().await.expect("the app runs");
    let refused = reset(elsewhere(), ResetTo::Earliest).await;
    let refused = refused
        .expect_err("the group still has members")
        .to_string();
    assert!(
        refused.contains("members") && refused.contains("Stop the processors of the group first"),
        "{refused}"
    );
    end(running).await;

    reset(here(), ResetTo::Earliest)
        .await
        .expect("no member is in the group");
    assert_eq!(table(&place), BTreeMap::new(), "all rows must be deleted");
    let gone = read_topic(broker().address(), &place.physical("walkers-state")).len();
    let running = start(elsewhere()).await;
    written(&place, gone + 1_000).await;
    end(running).await;
    assert_eq!(
        table(&place),
        model(0..1_000),
        "each record must be counted once, from the first record on"
    );

    reset(elsewhere(), ResetTo::Latest)
        .await
        .expect("no member is in the group");
    let gone = read_topic(broker().address(), &place.physical("walkers-state")).len();
    let before = SystemTime::now();
    produce(
        broker().address(),
        &place.physical("steps"),
        steps(1_000..1_500),
    );
    let running = start(here()).await;
    written(&place, gone + 500).await;
    end(running).await;
    assert_eq!(
        table(&place),
        model(1_000..1_500),
        "only later records must be counted"
    );

    produce(
        broker().address(),
        &place.physical("steps"),
        steps(1_500..1_600),
    );
    reset(here(), ResetTo::Time(before))
        .await
        .expect("no member is in the group");
    let gone = read_topic(broker().address(), &place.physical("walkers-state")).len();
    let running = start(elsewhere()).await;
    written(&place, gone + 600).await;
    end(running).await;
    assert_eq!(
        table(&place),
        model(1_000..1_600),
        "only records after the reset must be counted"
    );
}

#[tokio::test]
async fn the_embedded_broker_has_nothing_to_reset() {
    let refused = reset(Config::new().brokers("embedded"), ResetTo::Earliest).await;
    let Err(Error::Config(refused)) = refused else {
        panic!("{refused:?}");
    };
    assert!(refused.contains("Use a real Kafka"), "{refused}");
}
