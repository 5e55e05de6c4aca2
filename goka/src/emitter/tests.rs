//! Tests of emitters, on the embedded broker or on the Kafka that GOKA_TEST_BROKERS names.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    base::{partitioner::Partitioner, record::OwnedHeaders},
    engine::port::TableEvent,
    kafka::bench::{Bench, SENT_AT, STEP, until},
};

struct Clicks;

impl Topic for Clicks {
    type Key = String;
    type Value = u64;
    type Codec = crate::typed::codec::ByType;
}

impl Stream for Clicks {
    const NAME: &'static str = "clicks";
}

struct Row {
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: OwnedHeaders,
}

/// Reads all records of the stream, in the order of their partitions and offsets.
fn read_all(bench: &Bench, partitions: i32) -> Vec<Row> {
    let reader = bench.cluster().reader(Clicks::NAME).unwrap();
    let mut rows = Vec::new();
    for partition in 0..partitions {
        reader.start(partition, 0).unwrap();
        let mut end = false;
        until("the end", || {
            reader.poll(STEP, &mut |event| match event {
                TableEvent::Record(record) => {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let headers = record.headers.iter();
                    rows.push(Row {
                        partition: record.partition,
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key.map(text),
                        value: record.value.map(text),
                        headers: headers
                            .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                            .collect(),
                    });
                }
                TableEvent::End { .. } => end = true,
                TableEvent::OutOfRange { .. } => panic!("the offset must not be out of range"),
                TableEvent::Failed(error) => panic!("{error}"),
            });
            end
        });
        reader.stop(partition).unwrap();
    }
    rows
}

fn bench(partitions: i32) -> Bench {
    let mut bench = Bench::new();
    bench.config = bench.config.create_stream(Clicks::NAME, partitions);
    bench
}

#[test]
fn each_key_keeps_its_order_and_its_partition() {
    let bench = bench(3);
    let emitter = Emitter::<Clicks>::new(&bench.config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let emitter = emitter.clone();
            scope.spawn(move || {
                for number in 0..500_u64 {
                    let key = format!("{thread}-{}", number % 5);
                    // The delivery is dropped: if the message failed, `close` below would return an error.
                    emitter.emit(&key, &number).unwrap();
                }
            });
        }
    });
    block_on(emitter.close()).unwrap();
    let rows = read_all(&bench, 3);
    assert_eq!(rows.len(), 2000);
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let key = row.key.unwrap();
        let partition = Partitioner::Murmur2.partition(key.as_bytes(), 3);
        assert_eq!(row.partition, partition);
        let number = row.value.unwrap().parse().unwrap();
        if let Some(before) = last.insert(key.clone(), number) {
            assert!(
                before < number,
                "key {key}: number {number} came after number {before}"
            );
        }
    }
    assert_eq!(last.len(), 20);
}

#[tokio::test]
async fn a_delivery_tells_where_it_was_written() {
    let bench = bench(2);
    let emitter = Emitter::<Clicks>::new(&bench.config).unwrap();
    let sent_at = *SENT_AT;
    let meta = Meta::new()
        .to_partition(1)
        .header("from", "here")
        .at(SystemTime::UNIX_EPOCH + Duration::from_millis(sent_at.unsigned_abs()));
    let first = emitter.emit_with("a", &1, meta).unwrap().await.unwrap();
    assert_eq!((first.partition, first.offset), (1, 0));
    let second = emitter.tombstone("a").unwrap().await.unwrap();
    let third = tokio::task::spawn_blocking({
        let emitter = emitter.clone();
        move || emitter.emit_sync("a", &3)
    });
    let third = third.await.unwrap().unwrap();
    assert_eq!(second.partition, third.partition);
    assert_eq!(third.offset, second.offset + 1);

    let rows = read_all(&bench, 2);
    let row = |at: Delivered| {
        let found = rows
            .iter()
            .find(|row| (row.partition, row.offset) == (at.partition, at.offset));
        found.unwrap()
    };
    assert_eq!(row(first).timestamp, sent_at);
    let headers = [("from".to_owned(), Some(b"here".to_vec()))];
    assert_eq!(row(first).headers, headers);
    assert_eq!(row(first).value.as_deref(), Some("1"));
    assert_eq!(row(second).value, None);
    assert!(row(second).timestamp > sent_at);
    assert_eq!(row(third).value.as_deref(), Some("3"));
}

#[test]
fn messages_in_flight_are_bounded() {
    let mut bench = bench(1);
    bench.config = bench
        .config
        .set_producer("queue.buffering.max.messages", "10");
    let emitter = Emitter::<Clicks>::new(&bench.config).unwrap();
    let mut most = 0;
    for number in 0..300 {
        emitter.emit("key", &number).unwrap();
        most = most.max(emitter.outbox.on_their_way());
    }
    block_on(emitter.flush()).unwrap();
    assert!(
        (2..=10).contains(&most),
        "between 2 and 10 records must be in flight at most, but there were {most}"
    );
    assert_eq!(emitter.outbox.on_their_way(), 0);
    let numbers: Vec<u64> = read_all(&bench, 1)
        .into_iter()
        .map(|row| row.value.unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

/// An emitter whose messages stay in flight until they are purged.
fn stuck(bench: &mut Bench) -> Emitter<Clicks> {
    let keys = [
        ("linger.ms", "100000"),
        ("queue.buffering.max.messages", "2"),
        ("session.timeout.ms", "300000"),
    ];
    for (key, value) in keys {
        bench.config = bench.config.clone().set(key, value);
    }
    Emitter::new(&bench.config).unwrap()
}

#[test]
fn ready_waits_for_room() {
    let mut bench = bench(1);
    let emitter = stuck(&mut bench);
    block_on(emitter.ready()).unwrap();
    let one = emitter.emit("key", &1).unwrap();
    let two = emitter.emit("key", &2).unwrap();
    let waiting = std::thread::spawn({
        let emitter = emitter.clone();
        move || block_on(emitter.ready())
    });
    let full = emitter.outbox.poll_ready(std::task::Waker::noop());
    assert!(full.is_pending());
    emitter.outbox.purge();
    waiting.join().unwrap().unwrap();
    assert!(one.wait().is_err());
    assert!(two.wait().is_err());
}

#[test]
fn a_failure_whose_delivery_was_dropped_is_returned_by_the_next_flush() {
    let mut bench = bench(1);
    let emitter = stuck(&mut bench);
    let asked = emitter.emit("key", &1).unwrap();
    drop(emitter.emit("key", &2).unwrap());
    let flush = emitter.flush();
    emitter.outbox.purge();
    let told = block_on(flush).unwrap_err().to_string();
    assert!(told.contains("deliver 1 records"), "{told}");
    let told = asked.wait().unwrap_err().to_string();
    assert!(told.contains("partition 0"), "{told}");
    block_on(emitter.flush()).unwrap();
    // The next flush also returns an error if the message had failed before its delivery was dropped.
    let late = emitter.emit("key", &3).unwrap();
    emitter.outbox.purge();
    block_on(emitter.flush()).unwrap();
    drop(late);
    assert!(block_on(emitter.flush()).is_err());
}

#[test]
fn closing_an_emitter_closes_all_clones() {
    let bench = bench(1);
    let emitter = Emitter::<Clicks>::new(&bench.config).unwrap();
    let clone = emitter.clone();
    block_on(emitter.close()).unwrap();
    assert!(matches!(clone.emit("key", &1), Err(Error::Closed(_))));
    assert!(matches!(block_on(clone.ready()), Err(Error::Closed(_))));
    block_on(clone.close()).unwrap();
}

#[test]
fn dropping_an_emitter_delivers_its_messages() {
    let bench = bench(1);
    let emitter = Emitter::<Clicks>::new(&bench.config).unwrap();
    for number in 0..1000 {
        emitter.emit("key", &number).unwrap();
    }
    // After the drop, the process could end without losing a message.
    drop(emitter);
    assert_eq!(read_all(&bench, 1).len(), 1000);
}

#[test]
fn what_cannot_be_written_is_refused_at_once() {
    let bench = Bench::new();
    let missing = Emitter::<Clicks>::new(&bench.config).err().unwrap();
    assert!(missing.to_string().contains("create_stream"), "{missing}");
    let config = bench.config.clone().create_stream(Clicks::NAME, 2);
    let emitter = Emitter::<Clicks>::new(&config).unwrap();
    for partition in [-1, 2] {
        let refused = emitter.emit_with("key", &1, Meta::new().to_partition(partition));
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("2 partitions"), "{said}");
    }
    assert_eq!(emitter.outbox.on_their_way(), 0);
    block_on(emitter.flush()).unwrap();
    let config = bench.config.clone().create_stream(Clicks::NAME, 3);
    let otherwise = Emitter::<Clicks>::new(&config).err().unwrap();
    assert!(
        otherwise.to_string().contains("exists with 2"),
        "{otherwise}"
    );
}

#[test]
fn emitters_and_deliveries_can_be_sent_to_any_thread() {
    fn anywhere<T: Send + Sync + 'static>() {}
    anywhere::<Emitter<Clicks>>();
    anywhere::<Delivery>();
}
