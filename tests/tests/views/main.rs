//! Views: every way of reading a view shows the rows that a plain client finds in the changelog, even while the
//! changelog is written; and views report changes.

mod changes;
mod copies;
#[path = "../place/mod.rs"]
mod place;
mod reads;

use std::collections::BTreeMap;

use goka::View;
use goka_tests::{DEADLINE, Message, broker, last_values, produce, read_topic};
use place::Place;
use rand::{Rng as _, rngs::StdRng};
use tokio::time::timeout;

#[goka::table(group = "viewed", value = i64)]
struct Viewed;

const TOPIC: &str = "viewed-state";

type Table = BTreeMap<String, i64>;

/// A place with a changelog that has this number of partitions.
fn place(partitions: i32) -> Place {
    let place = Place::new("views");
    let topic = place.physical(TOPIC);
    broker().create_topic_with(&topic, partitions, &[("cleanup.policy", "compact")]);
    place
}

fn write(place: &Place, messages: impl IntoIterator<Item = Message>) {
    produce(broker().address(), &place.physical(TOPIC), messages);
}

fn row(key: &str, value: i64) -> Message {
    Message::new(key, value.to_string())
}

/// The expected table, read from the changelog with a plain client.
fn expected(place: &Place) -> Table {
    let values = last_values(&read_topic(broker().address(), &place.physical(TOPIC)));
    let number = |value: String| value.parse().expect("the row must be a number");
    values
        .into_iter()
        .map(|(key, value)| (key, number(value)))
        .collect()
}

async fn open(place: &Place) -> View<Viewed> {
    let view = View::open(&place.config()).await.expect("the view opens");
    within(view.recovered()).await.expect("the view recovers");
    view
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future)
        .await
        .expect("the operation ends in time")
}

fn pairs(rows: impl Iterator<Item = goka::Result<(String, i64)>>) -> Vec<(String, i64)> {
    rows.collect::<goka::Result<_>>()
        .expect("the row can be read")
}

/// A random key, short or long. The common prefix of the long keys has more bytes than the store keeps of a long key.
/// There are more different keys than a view reads in one chunk.
fn key(random: &mut StdRng) -> String {
    let number: u32 = random.random_range(0..1500);
    match number % 10 {
        0 => format!("long-{}-{number}", "x".repeat(600)),
        1 => format!("ü-{number}"),
        _ => format!("user-{number}"),
    }
}

fn message(random: &mut StdRng) -> Message {
    let key = key(random);
    match random.random_ratio(1, 5) {
        true => Message::tombstone(key),
        false => row(&key, random.random_range(-1000..1000)),
    }
}
