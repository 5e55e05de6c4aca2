//! Restarts after topics, offsets or local copies have changed while the group was down. No restart hangs or shows
//! wrong rows. If goka cannot know the right position, the app ends with an error that says what to do. Needs a real
//! Kafka.

mod copies;
mod deployments;
mod foreign;
mod network;
mod offsets;
#[cfg(feature = "faults")]
mod orphans;
#[path = "../place/mod.rs"]
mod place;
mod tail;
mod upgrade;

use std::collections::BTreeMap;

use goka::{App, Config, Guarantee, Running, config::Membership};
use goka_tests::{
    DEADLINE, Message, broker, last_values, needs_kafka, produce, read_topic, wait_for_records,
};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "recovering", value = i64)]
struct Sums;

#[goka::processor(group = "recovering", input = "numbers", table = Sums)]
fn sum(ctx: &mut sum::Context, number: Option<i64>) -> goka::Result {
    match number {
        Some(number) => {
            let sum = ctx.value()?.unwrap_or(0);
            ctx.set_value(&(sum + number))
        }
        None => ctx.delete(),
    }
}

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

type Table = BTreeMap<String, i64>;

/// A group whose input and table have one partition each.
struct Group {
    place: Place,
    guarantee: Guarantee,
}

impl Group {
    fn new(guarantee: Guarantee) -> Group {
        needs_kafka();
        let place = Place::new("recovering");
        let group = Group { place, guarantee };
        broker().create_topic(&group.input(), 1);
        group
    }

    fn input(&self) -> String {
        self.place.physical("numbers")
    }

    fn table(&self) -> String {
        self.place.physical("recovering-state")
    }

    fn name(&self) -> String {
        self.place.physical("recovering")
    }

    /// Creates the changelog with these settings, before the group creates it.
    fn create_table(&self, settings: &[(&str, &str)]) {
        let settings = [&[("cleanup.policy", "compact")], settings].concat();
        broker().create_topic_with(&self.table(), 1, &settings);
    }

    /// A configuration with which an instance leaves the group when it ends, so that the next instance need not wait
    /// for the session timeout.
    fn config(&self) -> Config {
        let config = self.place.config().membership(Membership::Dynamic);
        config.workers(1).guarantee(self.guarantee)
    }

    fn feed(&self, numbers: &[(&str, i64)]) {
        let number = |(key, number): &(&str, i64)| Message::new(*key, number.to_string());
        produce(
            broker().address(),
            &self.input(),
            numbers.iter().map(number),
        );
    }

    /// Writes rows to the changelog with a plain client.
    fn write(&self, rows: impl IntoIterator<Item = Message>) {
        produce(broker().address(), &self.table(), rows);
    }

    /// Starts an instance, and waits until its partition runs.
    async fn start(&self) -> Running {
        self.start_with(self.config()).await
    }

    async fn start_with(&self, config: Config) -> Running {
        let running = App::new(config).processor(sum::Processor).start().await;
        let running = running.expect("the app starts");
        let recovered = timeout(DEADLINE, running.recovered()).await;
        recovered
            .expect("recovery ends in time")
            .expect("recovery succeeds");
        running
    }

    /// Waits until the changelog has this number of rows, and returns the table that they describe.
    async fn rows(&self, rows: usize) -> Table {
        table(&last_values(&wait_for_records(self.table(), rows).await))
    }

    /// The current table, read from the changelog with a plain client.
    fn written(&self) -> Table {
        table(&last_values(&read_topic(broker().address(), &self.table())))
    }

    /// Deletes the state directory.
    fn lose_state(&self) {
        std::fs::remove_dir_all(self.place.state_dir())
            .expect("no process uses the state directory");
    }
}

fn table(rows: &BTreeMap<String, String>) -> Table {
    let number = |text: &String| text.parse().expect("the row must be a number");
    rows.iter()
        .map(|(key, sum)| (key.clone(), number(sum)))
        .collect()
}

fn of(rows: &[(&str, i64)]) -> Table {
    rows.iter()
        .map(|(key, sum)| ((*key).to_owned(), *sum))
        .collect()
}

/// The rows of these keys in a processor's local copy.
fn local(running: &Running, keys: &[&str]) -> Table {
    let processor = running
        .processor::<sum::Processor>()
        .expect("the app runs the processor");
    let row = |key: &&str| {
        let row = processor.get::<Sums>(key).expect("the partition is here");
        row.map(|sum| ((*key).to_owned(), sum))
    };
    keys.iter().filter_map(row).collect()
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}
