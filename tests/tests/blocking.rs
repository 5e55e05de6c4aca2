//! Handlers that block their worker's thread: while they do, records that were sent before are delivered and committed.
//! Tests this with both guarantees.

mod place;

use std::{
    env,
    sync::mpsc::{RecvTimeoutError, channel},
    time::Duration,
};

use goka::{App, Config, Guarantee, Running};
use goka_tests::{
    DEADLINE, Message, Program, broker, produce, read_topic, this_test, wait_for_records,
};
use place::Place;
use tokio::time::timeout;

#[goka::stream("letters", value = u64)]
struct Letters;

#[goka::table(group = "slow", value = i64)]
struct Counts;

/// Blocks the worker's thread for as many milliseconds as the letter says.
#[goka::processor(group = "slow", input = Letters, table = Counts)]
fn slow(ctx: &mut slow::Context<'_>, millis: u64) -> goka::Result {
    let (_sender, receiver) = channel::<()>();
    let takes = Duration::from_millis(millis);
    if takes > DEADLINE {
        println!("it begins");
    }
    assert_eq!(receiver.recv_timeout(takes), Err(RecvTimeoutError::Timeout));
    let count = ctx.value()?.unwrap_or(0) + 1;
    ctx.set_value(&count)
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

async fn every_row_once_and_in_order(place: &Place, config: Config, letters: &[u64]) {
    broker().create_topic(&place.physical("letters"), 4);
    let records = letters
        .iter()
        .map(|millis| Message::new("same", millis.to_string()));
    produce(broker().address(), &place.physical("letters"), records);
    let app = App::new(config.workers(1)).processor(slow::Processor);
    let running = app.start().await.expect("the app starts");
    wait_for_records(place.physical("slow-state"), letters.len()).await;
    end(running).await;
    let rows = read_topic(broker().address(), &place.physical("slow-state"));
    let counts: Vec<_> = rows.iter().map(|row| row.value_text()).collect();
    let expected: Vec<_> = (1..=letters.len()).map(|count| count.to_string()).collect();
    assert_eq!(counts, expected, "no record must be processed twice");
}

#[tokio::test]
async fn effects_of_slow_handlers_are_delivered_while_more_records_wait() {
    let place = Place::new("slow");
    // Sixty of these letters take longer than the delivery timeout of a record.
    every_row_once_and_in_order(&place, place.config(), &[50; 130]).await;
}

#[tokio::test]
async fn records_behind_a_handler_that_takes_seconds_are_delivered() {
    let place = Place::new("slowest");
    let (fast, slow) = ([0; 20], [3_000; 2]);
    let letters = [&fast[..], &slow, &fast, &slow, &fast].concat();
    every_row_once_and_in_order(&place, place.config(), &letters).await;
}

#[tokio::test]
async fn slow_handlers_do_not_outlast_their_transaction() {
    let place = Place::new("slow-once");
    let config = place.config().guarantee(Guarantee::ExactlyOnce);
    // Sixty of these letters take longer than the transaction timeout.
    let config = config.set_producer("transaction.timeout.ms", "5000");
    every_row_once_and_in_order(&place, config, &[90; 130]).await;
}

/// The app of the test below, which runs it in a process of its own.
async fn run_until_the_second_signal() {
    tracing_subscriber::fmt().init();
    let app = App::from_env().expect("the environment has the settings of the app");
    let ended = app.processor(slow::Processor).run().await;
    ended.expect("the app shuts down without an error");
}

#[tokio::test]
async fn a_second_signal_ends_an_app_whose_handler_does_not_return() {
    if env::var_os("BLOCKING_APP").is_some() {
        return run_until_the_second_signal().await;
    }
    let place = Place::new("never");
    // Four is the number of partitions that the embedded broker gives to topics that another process creates.
    broker().create_topic(&place.physical("letters"), 4);
    let hour = Message::new("key", "3600000");
    produce(broker().address(), &place.physical("letters"), [hour]);
    let mut command = this_test("a_second_signal_ends_an_app_whose_handler_does_not_return");
    command
        .env("BLOCKING_APP", "")
        .env("GOKA_BROKERS", broker().address())
        .env("GOKA_PREFIX", place.physical(""))
        .env("GOKA_STATE_DIR", place.state_dir());
    let mut app = Program::run(command);
    app.wait_for("record", |line| line.contains("it begins").then_some(()));
    app.interrupt();
    app.wait_for("log line about a second signal", |line| {
        line.contains("a second signal stops the app").then_some(())
    });
    app.terminate();
    assert!(!app.wait().success(), "{}", app.output());
    assert!(
        app.output()
            .contains("a second signal arrived before the shutdown was complete"),
        "{}",
        app.output()
    );
}
