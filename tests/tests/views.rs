//! Views: whatever way they are read, they show what a plain client finds in the table's topic, also while it is
//! written, and they tell what changes.

mod place;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use goka::{Emitter, Update, View, ViewSnapshot, ViewState};
use goka_tests::{DEADLINE, Kafka, Message, broker, last_values, produce, read_topic};
use place::Place;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::timeout;

#[goka::table(group = "viewed", value = i64)]
struct Viewed;

/// The same topic, for a program that fills the table itself.
#[goka::stream("viewed-state", value = i64)]
struct Direct;

const TOPIC: &str = "viewed-state";

type Table = BTreeMap<String, i64>;

/// A place with a table.
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

/// What is in the topic, by a plain client.
fn expected(place: &Place) -> Table {
    let values = last_values(&read_topic(broker().address(), &place.physical(TOPIC)));
    let number = |value: String| value.parse().expect("a number was written");
    values
        .into_iter()
        .map(|(key, value)| (key, number(value)))
        .collect()
}

async fn open(place: &Place) -> View<Viewed> {
    let view = View::open(&place.config()).await.expect("it opens");
    within(view.recovered()).await.expect("it recovers");
    view
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it is done in time")
}

fn pairs(rows: impl Iterator<Item = goka::Result<(String, i64)>>) -> Vec<(String, i64)> {
    rows.collect::<goka::Result<_>>().expect("it is read")
}

/// Short and long ones; the long ones are the same in more bytes than the store keeps of them.
fn key(random: &mut StdRng) -> String {
    let number: u32 = random.random_range(0..150);
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

/// Every way of reading it says the same as the table.
fn check(snapshot: &ViewSnapshot<Viewed>, table: &Table, random: &mut StdRng) {
    let all: Vec<(String, i64)> = table.clone().into_iter().collect();
    assert_eq!(pairs(snapshot.iter()), all);
    assert_eq!(snapshot.len().expect("it is read"), all.len() as u64);
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(pairs(snapshot.iter().rev()), reversed);
    for _ in 0..20 {
        let (a, b) = (key(random), key(random));
        assert_eq!(
            snapshot.get(&a).expect("it is read"),
            table.get(&a).copied()
        );
        assert_eq!(
            snapshot.has(&b).expect("it is read"),
            table.contains_key(&b)
        );
        let (from, to) = if a <= b { (a, b) } else { (b, a) };
        let between: Vec<_> = all
            .iter()
            .filter(|(key, _)| *key > from && *key <= to)
            .cloned()
            .collect();
        let range = (Bound::Excluded(&from[..]), Bound::Included(&to[..]));
        assert_eq!(pairs(snapshot.range(range)), between, "{from}..={to}");
        // From both ends, in any order, every row comes once.
        let mut rows = snapshot.range(range);
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let (next, from) = match random.random() {
                true => (rows.next(), &mut front),
                false => (rows.next_back(), &mut back),
            };
            match next {
                Some(row) => from.push(row.expect("it is read")),
                None => break,
            }
        }
        back.reverse();
        assert_eq!([front, back].concat(), between);
    }
    for prefix in ["user-1", "long-", "ü", "", "nobody"] {
        let mut with = all.clone();
        with.retain(|(key, _)| key.starts_with(prefix));
        assert_eq!(pairs(snapshot.prefix(prefix)), with, "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_it_is_read_it_shows_the_table_also_while_it_is_written() {
    let seed = rand::random();
    println!("seed {seed}");
    let (place, mut random) = (place(4), StdRng::seed_from_u64(seed));
    write(&place, (0..500).map(|_| message(&mut random)));
    let view = open(&place).await;
    check(
        &view.snapshot().expect("taken"),
        &expected(&place),
        &mut random,
    );

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (place, done, view) = (&place, &done, &view);
        let mut writes = StdRng::seed_from_u64(seed + 1);
        scope.spawn(move || {
            for _ in 0..10 {
                write(place, (0..300).map(|_| message(&mut writes)));
            }
            done.store(true, Ordering::Relaxed);
        });
        // A moment agrees with itself, whatever is written meanwhile.
        while !done.load(Ordering::Relaxed) {
            let snapshot = view.snapshot().expect("taken");
            let table: Table = pairs(snapshot.iter()).into_iter().collect();
            check(&snapshot, &table, &mut random);
            pairs(view.iter().rev());
        }
    });

    within(view.caught_up()).await.expect("it catches up");
    let table = expected(&place);
    check(&view.snapshot().expect("taken"), &table, &mut random);
    let all: Vec<(String, i64)> = table.clone().into_iter().collect();
    assert_eq!(pairs(view.iter()), all);
    let keys: Vec<String> = (0..100).map(|_| key(&mut random)).collect();
    let values = view.get_many(keys.iter().map(String::as_str));
    let values = values.expect("it is read");
    assert_eq!(values.len(), keys.len());
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(value, table.get(key).copied(), "{key}");
        assert_eq!(view.get(key).expect("it is read"), value);
        assert_eq!(view.has(key).expect("it is read"), value.is_some());
    }
    let users = pairs(view.range("user-".."user-5").rev());
    let mut expected = all.clone();
    expected.retain(|(key, _)| "user-" <= &key[..] && &key[..] < "user-5");
    expected.reverse();
    assert_eq!(users, expected);
    assert_eq!(
        pairs(view.prefix("ü")).len(),
        all.iter().filter(|(key, _)| key.starts_with('ü')).count()
    );

    let stats = view.stats().expect("it is read");
    assert_eq!((stats.rows, stats.lag), (all.len() as u64, 0));
    assert_eq!(stats.partitions.len(), 4);
    assert!(stats.bytes > 0 && stats.updated.is_some());
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was_and_may_go_to_another_thread() {
    let place = place(2);
    write(&place, [row("a", 1), row("b", 2)]);
    let view = open(&place).await;
    let snapshot = view.snapshot().expect("taken");
    write(&place, [row("a", 3), Message::tombstone("b"), row("c", 4)]);
    within(view.caught_up()).await.expect("it catches up");
    assert_eq!(
        view.get_many(["a", "b", "c"]).expect("it is read"),
        [Some(3), None, Some(4)]
    );
    drop(view);
    let read = std::thread::spawn(move || pairs(snapshot.iter()));
    let expected = [("a".to_owned(), 1), ("b".to_owned(), 2)];
    assert_eq!(read.join().expect("it is read"), expected);
}

#[tokio::test]
async fn a_program_that_writes_rows_reads_its_writes() {
    let place = place(3);
    let view = open(&place).await;
    let emitter = Emitter::<Direct>::new(&place.config()).expect("it opens");
    for n in 0..50 {
        let key = format!("key-{}", n % 7);
        let written = within(emitter.emit(&key, &n).expect("taken")).await;
        let written = written.expect("delivered");
        within(view.wait_for(written.partition, written.offset))
            .await
            .expect("it becomes visible");
        assert_eq!(view.get(&key).expect("it is read"), Some(n));
    }
    let refused = view.wait_for(3, 0).await.expect_err("there are three");
    assert!(refused.to_string().contains("3 partitions"), "{refused}");
    within(emitter.close()).await.expect("it closes");
}

#[tokio::test]
async fn a_watch_sees_the_last_value_and_updates_make_the_table() {
    let seed = rand::random();
    println!("seed {seed}");
    let (place, mut random) = (place(4), StdRng::seed_from_u64(seed));
    write(&place, (0..200).map(|_| message(&mut random)));
    let view = open(&place).await;
    let (mut updates, mut watch) = (view.updates(), view.watch("user-7"));
    let mut table: Table = pairs(view.iter()).into_iter().collect();
    assert_eq!(
        watch.value().expect("it is read"),
        table.get("user-7").copied()
    );

    let values: Vec<i64> = (0..200).collect();
    for chunk in values.chunks(20) {
        write(&place, (0..100).map(|_| message(&mut random)));
        write(&place, chunk.iter().map(|value| row("user-7", *value)));
    }
    write(&place, [row("the end", 1)]);
    let (mut seen, mut last) = (Vec::new(), None);
    while last != Some(199) {
        last = within(watch.changed()).await.expect("it is followed");
        seen.extend(last.filter(|value| (0..200).contains(value)));
    }
    within(view.caught_up()).await.expect("it catches up");

    while !table.contains_key("the end") {
        match within(updates.next()).await.expect("it is followed") {
            Update::Row {
                key,
                value: Some(value),
            } => table.insert(key, value),
            Update::Row { key, value: None } => table.remove(&key),
            other => panic!("{other:?}"),
        };
    }
    // Partitions do not wait for one another: what is left waits to be taken.
    let end = expected(&place);
    while table != end {
        match within(updates.next()).await.expect("it is followed") {
            Update::Row {
                key,
                value: Some(value),
            } => table.insert(key, value),
            Update::Row { key, value: None } => table.remove(&key),
            other => panic!("{other:?}"),
        };
    }
}

#[tokio::test]
async fn its_state_is_told_whenever_it_changes() {
    let place = place(2);
    write(&place, (0..100).map(|n| row(&n.to_string(), n)));
    let view = View::<Viewed>::open(&place.config())
        .await
        .expect("it opens");
    let mut states = view.state_changes();
    let mut state = None;
    while state != Some(ViewState::Running) {
        state = within(states.next()).await;
        assert!(state.is_some(), "it does not end");
    }
    assert_eq!(view.state(), ViewState::Running);
    let none = timeout(Duration::from_millis(50), states.next()).await;
    none.expect_err("there is no other");
}

#[goka::table(group = "viewed", value = Vec<u8>)]
struct Misread;

#[tokio::test]
async fn views_of_a_table_share_one_copy() {
    let place = place(2);
    write(&place, [row("a", 1), row("b", 2)]);
    let (first, second) = (open(&place).await, open(&place).await);
    let refused = View::<Misread>::open(&place.config()).await;
    let refused = refused.expect_err("two codecs").to_string();
    assert!(refused.contains("codec"), "{refused}");
    drop(first);
    write(&place, [row("a", 3)]);
    within(second.caught_up()).await.expect("it is followed");
    assert_eq!(second.get("a").expect("it is read"), Some(3));
    drop(second);
    // Closed, and topped up by the next one.
    write(&place, [row("b", 4)]);
    let third = open(&place).await;
    assert_eq!(
        third.get_many(["a", "b"]).expect("it is read"),
        [Some(3), Some(4)]
    );
}

#[tokio::test]
async fn a_view_without_a_table_says_what_to_do() {
    let refused = View::<Viewed>::open(&Place::new("views").config()).await;
    let refused = refused.expect_err("there is no topic").to_string();
    assert!(refused.contains("start that first"), "{refused}");
}

#[tokio::test]
async fn an_outage_is_waited_out_and_reads_go_on() {
    let Some(kafka) = Kafka::start() else {
        return;
    };
    let (place, broker) = (Place::new("views"), kafka.broker());
    let topic = place.physical(TOPIC);
    broker.create_topic_with(&topic, 2, &[("cleanup.policy", "compact")]);
    produce(broker.address(), &topic, [row("a", 1), row("b", 2)]);
    let config = place.config().brokers(broker.address());
    let view = View::<Viewed>::open(&config).await.expect("it opens");
    within(view.recovered()).await.expect("it recovers");
    let (mut watch, mut updates) = (view.watch("a"), view.updates());

    kafka.stop();
    assert_eq!(watch.value().expect("it is read"), Some(1));
    assert_eq!(pairs(view.iter()).len(), 2);
    assert_eq!(view.state(), ViewState::Running);
    view.caught_up().await.expect_err("nobody answers");
    kafka.start_again();

    produce(broker.address(), &topic, [row("a", 3)]);
    assert_eq!(
        within(watch.changed()).await.expect("it is followed"),
        Some(3)
    );
    let update = within(updates.next()).await.expect("it is followed");
    assert!(
        matches!(&update, Update::Row { key, value: Some(3) } if key == "a"),
        "{update:?}"
    );
}
