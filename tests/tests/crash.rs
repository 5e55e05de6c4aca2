//! Processors that are killed, join and leave: no click is lost, and what is on disk need not be read again.

use std::fs;

use goka_tests::{Clicks, Kafka, Program, Proxy, broker, read_until};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Random, and said, so that it can be done again.
fn chance() -> StdRng {
    let seed = rand::random();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// Waits until the table's topic holds so many rows.
fn wait_for_rows(clicks: &Clicks, rows: usize) {
    let mut seen = 0;
    read_until(clicks.address(), &clicks.table(), |_| {
        seen += 1;
        seen >= rows
    });
}

fn wait_for_partitions(processor: &mut Program, partitions: usize) {
    let wanted = format!("{partitions} of 4 partitions run here");
    processor.wait_for(&wanted, |line| line.contains(&wanted).then_some(()));
}

#[test]
fn killed_ten_times_it_never_counts_too_low() {
    if !broker().is_kafka() {
        return; // the embedded broker repeats records around each rebalance, so that this would show nothing
    }
    let mut chance = chance();
    let clicks = Clicks::on(broker());
    clicks.produce(200_000, 5_000);
    let mut rows = 0;
    for _ in 0..10 {
        let mut processor = clicks.processor("one");
        rows += chance.random_range(1..15_000);
        wait_for_rows(&clicks, rows);
        processor.kill();
    }
    let mut processor = clicks.processor("one");
    let expected = clicks.expected();
    clicks.wait_until_all_counted(&expected);
    processor.interrupt();
    processor.succeed();

    let counted = clicks.counted();
    for (user, clicks) in &expected {
        let counted = counted.get(user).copied().unwrap_or(0);
        assert!(
            counted >= *clicks,
            "{user} clicked {clicks} times, {counted} were counted"
        );
    }
    let (total, wanted) = (
        counted.values().sum::<i64>(),
        expected.values().sum::<i64>(),
    );
    println!("{} clicks of {wanted} were counted twice", total - wanted);
}

#[test]
fn a_restart_reads_only_the_tail_and_a_lost_state_is_rebuilt() {
    let proxy = Proxy::start();
    let Some(kafka) = Kafka::start_behind(&proxy) else {
        return;
    };
    let broker = kafka.broker();
    let mut clicks = Clicks::on(&broker);
    clicks.produce(120_000, 100_000);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(120_000);
    processor.kill();
    let table = clicks.counted();
    assert_eq!(table, clicks.expected());

    clicks.go_through(&proxy.address());
    let bytes_to_run = || {
        let before = proxy.bytes_served();
        let mut processor = clicks.processor("one");
        wait_for_partitions(&mut processor, 4);
        processor.kill();
        proxy.bytes_served() - before
    };
    let tail = bytes_to_run();
    fs::remove_dir_all(clicks.state("one"))
        .expect("the state of a processor that was killed can be removed");
    let whole = bytes_to_run();
    println!("{tail} bytes were read with the state on disk, {whole} without");
    assert!(
        tail * 10 < whole,
        "with its state {tail} bytes were read, without {whole}"
    );

    clicks.wait_until_counted(120_000);
    assert_eq!(clicks.counted(), table, "nothing was counted again");
}

#[test]
fn a_second_processor_joins_and_leaves_and_no_click_is_lost() {
    if !broker().is_kafka() {
        return; // the embedded broker repeats records around each rebalance
    }
    let clicks = Clicks::on(broker());
    let mut emitter = clicks.emitter(&["--rate", "2000", "--users", "500"]);
    emitter.wait_for("a click", |line| {
        line.contains("clicks acknowledged").then_some(())
    });
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 4);
    let mut two = clicks.processor("two");
    wait_for_partitions(&mut two, 2);
    wait_for_partitions(&mut one, 2);
    two.interrupt();
    two.succeed();
    wait_for_partitions(&mut one, 4);
    emitter.interrupt();
    emitter.succeed();

    let expected = clicks.expected();
    let total = u64::try_from(expected.values().sum::<i64>()).expect("a count");
    clicks.wait_until_counted(total);
    one.interrupt();
    one.succeed();
    assert_eq!(clicks.counted(), expected);
}

#[test]
fn an_outage_is_waited_out_and_can_be_ended_in() {
    let Some(kafka) = Kafka::start() else {
        return;
    };
    let broker = kafka.broker();
    let clicks = Clicks::on(&broker);
    clicks.produce(10_000, 100);
    let mut processor = clicks.processor("one");
    wait_for_rows(&clicks, 10_000);

    kafka.stop();
    kafka.start_again();
    clicks.produce_more(10_000, 100);
    clicks.wait_until_all_counted(&clicks.expected());

    kafka.stop();
    processor.interrupt();
    processor.wait();
}
