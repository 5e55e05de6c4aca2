//! A table of a million rows: a restart after `kill -9` reads only the tail of the changelog, which is the rows written
//! since the local copy was stored.

use std::time::Instant;

use goka_tests::{Clicks, Kafka, Message, Program, Proxy, produce};

const ROWS: u64 = 1_000_000;

fn wait_for_partitions(processor: &mut Program) {
    processor.wait_for("partitions that run", |line| {
        line.contains("4 of 4 partitions run here").then_some(())
    });
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_million_rows_are_read_once_whatever_was_killed() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(&proxy);
    let broker = kafka.broker();
    for guarantee in ["at_least_once", "exactly_once"] {
        let mut clicks = Clicks::on(&broker);
        clicks.set("GOKA_GUARANTEE", guarantee);
        clicks.set("GOKA_START", "earliest");
        broker.create_topic_with(&clicks.table(), 4, &[("cleanup.policy", "compact")]);
        let rows = (0..ROWS).map(|user| Message::new(format!("user-{user}"), "7"));
        produce(broker.address(), &clicks.table(), rows);
        clicks.produce(1_000, ROWS);
        clicks.go_through(&proxy.address());

        let bytes_to_run = || {
            let (before, began) = (proxy.bytes_served(), Instant::now());
            let mut processor = clicks.processor("one");
            wait_for_partitions(&mut processor);
            println!(
                "{guarantee}: the processor ran {:?} after its start",
                began.elapsed()
            );
            (proxy.bytes_served() - before, processor)
        };
        let (whole, mut processor) = bytes_to_run();
        clicks.wait_for_rows(ROWS as usize + 1_000);
        processor.kill();
        let (tail, mut processor) = bytes_to_run();
        processor.kill();
        println!("{guarantee}: read {whole} bytes at first, {tail} bytes after the kill");
        assert!(
            tail * 10 < whole,
            "after the kill, {tail} of {whole} bytes were read again"
        );
        // No row was lost: the clicks were added to the rows that existed before.
        clicks.wait_until_all_counted(&(0..1_000).map(|n| (format!("user-{n}"), 8)).collect());
    }
}
