//! The changes that a view reports, and waiting for these changes.

use std::time::Duration;

use goka::{
    Emitter, View,
    view::{Update, ViewState},
};
use goka_tests::{DEADLINE, Message, broker, needs_kafka, produce};
use rand::{SeedableRng as _, rngs::StdRng};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tokio::time::timeout;

use super::{
    Place, TOPIC, Table, Viewed, expected, message, open, pairs, place, row, within, write,
};

/// The changelog, declared as a stream for a program that writes the rows of the table itself.
#[goka::stream("viewed-state", value = i64)]
struct Direct;

/// Writes each message in a transaction of its own. Returns the producer, which has left the last transaction open.
fn write_in_transactions(place: &Place, messages: &[Message]) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker().address())
        .set("partitioner", "murmur2_random")
        .set("transactional.id", place.physical("writer"))
        .create()
        .expect("the producer connects");
    producer
        .init_transactions(DEADLINE)
        .expect("the transaction begins");
    let topic = place.physical(TOPIC);
    for (number, message) in messages.iter().enumerate() {
        producer
            .begin_transaction()
            .expect("the transaction begins");
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic);
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("the producer's queue has room");
        producer.flush(DEADLINE).expect("the records are written");
        if number + 1 < messages.len() {
            producer
                .commit_transaction(DEADLINE)
                .expect("the transaction is committed");
        }
    }
    producer
}

#[tokio::test]
async fn a_program_that_writes_rows_reads_its_writes() {
    let place = place(3);
    let view = open(&place).await;
    let emitter = Emitter::<Direct>::new(&place.config()).expect("the emitter opens");
    for n in 0..50 {
        let key = format!("key-{}", n % 7);
        let written = within(emitter.emit(&key, &n).expect("taken")).await;
        let written = written.expect("delivered");
        within(view.wait_for(written.partition, written.offset))
            .await
            .expect("the row becomes visible");
        assert_eq!(view.get(&key).expect("the row can be read"), Some(n));
    }
    let refused = view
        .wait_for(3, 0)
        .await
        .expect_err("the table has only three partitions");
    assert!(
        refused.to_string().contains("has 3 partitions, 0 to 2"),
        "{refused}"
    );
    within(emitter.close()).await.expect("the emitter closes");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_view_passes_the_marks_of_transactions_and_shows_what_is_committed() {
    // The mock cluster does not write transaction markers.
    needs_kafka();
    let place = place(1);
    let view = open(&place).await;
    let producer = write_in_transactions(&place, &[row("a", 1), row("a", 2), row("a", 3)]);
    // The last stable offset is right after a transaction marker, and consumers never receive a marker.
    within(view.caught_up()).await.expect("the view catches up");
    assert_eq!(view.get("a").expect("the row can be read"), Some(2));
    producer
        .commit_transaction(DEADLINE)
        .expect("the transaction is committed");
    within(view.caught_up()).await.expect("the view catches up");
    assert_eq!(view.get("a").expect("the row can be read"), Some(3));
    assert_eq!(
        view.stats().expect("the statistics can be read").partitions[&0].offset,
        6
    );
    let again = open(&place).await;
    within(again.caught_up())
        .await
        .expect("the view catches up");
    assert_eq!(again.stats().expect("the statistics can be read").lag, 0);
}

#[tokio::test]
async fn a_watch_sees_the_last_value_and_updates_make_the_table() {
    let seed = rand::random();
    println!("seed {seed}");
    let (place, mut random) = (place(4), StdRng::seed_from_u64(seed));
    write(&place, (0..200).map(|_| message(&mut random)));
    let view = open(&place).await;
    let (mut updates, mut watch) = (view.updates(), view.watch("watched"));
    let mut table: Table = pairs(view.iter()).into_iter().collect();
    assert_eq!(
        watch.value().expect("the row can be read"),
        table.get("watched").copied()
    );

    let topic = place.physical(TOPIC);
    let writer = std::thread::spawn(move || {
        for from in (0..200).step_by(20) {
            let noise = (0..100).map(|_| message(&mut random));
            let values = (from..from + 20).map(|value| row("watched", value));
            produce(broker().address(), &topic, noise.chain(values));
        }
    });
    let (mut seen, mut last) = (Vec::new(), None);
    while last != Some(199) {
        last = within(watch.changed())
            .await
            .expect("the view reports the change");
        seen.extend(last);
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    writer.join().expect("all records are written");

    let end = expected(&place);
    while table != end {
        match within(updates.next())
            .await
            .expect("the view reports the change")
        {
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
async fn a_view_reports_every_change_of_its_state() {
    let place = place(2);
    write(&place, (0..100).map(|n| row(&n.to_string(), n)));
    let view = View::<Viewed>::open(&place.config())
        .await
        .expect("the view opens");
    let mut states = view.state_changes();
    let mut state = None;
    while state != Some(ViewState::Running) {
        state = within(states.next()).await;
        assert!(state.is_some(), "the watch must not end");
    }
    assert_eq!(view.state(), ViewState::Running);
    let none = timeout(Duration::from_millis(50), states.next()).await;
    none.expect_err("the view must report no further state");
}
