//! Processors are killed, join and leave: no click is lost, and a restart reads no row again that is in the local copy.

use std::{collections::BTreeSet, fs};

use goka_tests::{Clicks, Kafka, Program, Proxy, broker, needs_kafka};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A random generator. Its seed is printed, so that a run can be repeated.
fn chance() -> StdRng {
    let seed = rand::random();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// The running partitions of each worker, parsed from a line of a processor's output; `None` if the line does not tell
/// them.
fn workers(line: &str) -> Option<Vec<BTreeSet<i32>>> {
    let (_, rest) = line.split_once(" of 4 partitions run here (")?;
    let (workers, _) = rest.split_once(')')?;
    let worker = |numbers: &str| {
        let numbers = numbers.split_whitespace().map(str::parse);
        numbers.collect::<Result<_, _>>().expect("numbers")
    };
    Some(workers.split('|').map(worker).collect())
}

/// Waits until this number of partitions runs in a processor, evenly shared by its workers, and returns the partitions.
fn wait_for_partitions(processor: &mut Program, partitions: usize) -> BTreeSet<i32> {
    processor.wait_for(&format!("{partitions} of 4"), |line| {
        let workers = workers(line)?;
        let mut shares = workers.iter().map(|worker| worker.len() * workers.len());
        let even = shares.all(|share| share == partitions);
        even.then(|| workers.into_iter().flatten().collect())
    })
}

/// The running partitions of a processor over time: one set for each line of its output that tells them.
fn partitions_over_time(processor: &Program) -> Vec<BTreeSet<i32>> {
    let output = processor.output();
    let lines = output.lines().filter_map(workers);
    lines
        .map(|workers| workers.into_iter().flatten().collect())
        .collect()
}

#[test]
#[ignore = "needs a real Kafka"]
fn killed_ten_times_it_counts_each_click_once() {
    // The embedded broker repeats records around each rebalance, so this test would show nothing there.
    needs_kafka();
    let mut chance = chance();
    let clicks = Clicks::on(broker());
    clicks.produce(200_000, 5_000);
    let mut rows = 0;
    for _ in 0..10 {
        let mut processor = clicks.processor("one");
        rows += chance.random_range(1..15_000);
        clicks.wait_for_rows(rows);
        processor.kill();
    }
    let mut processor = clicks.processor("one");
    // The rows in the changelog do not say when all clicks are counted: some rows were undone after a kill.
    clicks.wait_until_committed();
    processor.interrupt();
    processor.succeed();
    assert_eq!(clicks.counted(), clicks.expected());
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_restart_reads_only_the_tail_and_a_lost_state_is_rebuilt() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(&proxy);
    let broker = kafka.broker();
    let mut clicks = Clicks::on(&broker);
    // With a short session timeout, a machine that is busy for seconds would make the group process the records of the
    // unfinished commit interval twice.
    clicks.set("GOKA_KAFKA__SESSION_TIMEOUT_MS", "30000");
    clicks.produce(120_000, 100_000);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(120_000);
    processor.interrupt();
    processor.succeed();
    // The engine stores this small number of rows at the end of each commit interval. It would store a larger number of
    // rows only once a second.
    let mut processor = clicks.processor("one");
    wait_for_partitions(&mut processor, 4);
    clicks.produce_more(400, 100_000);
    clicks.wait_until_counted(120_400);
    clicks.wait_until_committed();
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
    println!("read {tail} bytes with the local copy, {whole} bytes without");
    assert!(
        tail * 10 < whole,
        "read {tail} bytes with the local copy, {whole} bytes without"
    );

    clicks.wait_until_counted(120_400);
    assert_eq!(clicks.counted(), table, "no click must be counted twice");
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_second_processor_joins_and_leaves_and_no_click_is_lost() {
    // The embedded broker repeats records around each rebalance.
    needs_kafka();
    let clicks = Clicks::on(broker());
    let mut emitter = clicks.emitting(&["--rate", "2000", "--users", "500"]);
    let mut one = clicks.processor("one");
    let all = wait_for_partitions(&mut one, 4);
    let settled = partitions_over_time(&one).len();
    let mut two = clicks.processor("two");
    let moved = wait_for_partitions(&mut two, 2);
    let stayed = wait_for_partitions(&mut one, 2);
    assert_eq!(
        &stayed | &moved,
        all,
        "each partition must run in exactly one process: {}{}",
        one.output(),
        two.output()
    );
    two.interrupt();
    two.succeed();
    wait_for_partitions(&mut one, 4);
    // Partitions that need not move run all the time, even while the other processor joins or leaves.
    for (line, here) in partitions_over_time(&one).iter().enumerate().skip(settled) {
        assert!(
            here.is_superset(&stayed),
            "partitions that need not move must not stop, but line {line} of the output has only {here:?}: {}",
            one.output()
        );
    }
    emitter.interrupt();
    emitter.succeed();

    let expected = clicks.expected();
    let total =
        u64::try_from(expected.values().sum::<i64>()).expect("the sum must not be negative");
    clicks.wait_until_counted(total);
    one.interrupt();
    one.succeed();
    assert_eq!(clicks.counted(), expected);
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_processor_waits_out_an_outage_and_can_be_shut_down_during_one() {
    let kafka = Kafka::start();
    let broker = kafka.broker();
    let clicks = Clicks::on(&broker);
    clicks.produce(10_000, 100);
    let mut processor = clicks.processor("one");
    clicks.wait_for_rows(10_000);

    kafka.stop();
    kafka.start_again();
    clicks.produce_more(10_000, 100);
    clicks.wait_until_all_counted(&clicks.expected());

    kafka.stop();
    processor.interrupt();
    processor.wait();
}

#[test]
fn a_state_directory_serves_one_process_at_a_time() {
    let clicks = Clicks::on(broker());
    clicks.produce(1_000, 100);
    let mut first = clicks.processor("one");
    clicks.wait_until_counted(1_000);
    let mut second = clicks.processor_with("one", &[]);
    assert_eq!(second.wait().code(), Some(1));
    let output = second.output();
    let directory = clicks.state("one");
    let directory = directory.to_str().expect("the path must be UTF-8");
    for part in [directory, "process"] {
        assert!(
            output.contains(part),
            "the text must contain `{part}`: {output}"
        );
    }
    first.interrupt();
    first.succeed();
    assert_eq!(clicks.counted(), clicks.expected());
}

#[test]
fn a_full_disk_stops_partitions_until_there_is_room_and_loses_nothing() {
    full_disk("at_least_once");
    if broker().is_kafka() {
        full_disk("exactly_once");
    }
}

fn full_disk(guarantee: &str) {
    let mut clicks = Clicks::on(broker());
    clicks.set("GOKA_GUARANTEE", guarantee);
    clicks.set("RUST_LOG", "goka=warn");
    clicks.produce(20_000, 20_000);
    // No file may grow beyond 128 KiB, which looks to the processor like a full disk.
    let mut processor = clicks.processor_with("one", &["sh", "-c", FULL_DISK, "sh"]);
    for _ in 0..3 {
        processor.wait_for("an error with its remedy", |line| {
            let cure = "the disk is full, or a disk quota or file-size limit is reached";
            (line.contains(cure) && line.contains("free some space")).then_some(())
        });
    }
    processor.let_files_grow();
    let expected = clicks.expected();
    wait_for_partitions(&mut processor, 4);
    match broker().is_kafka() {
        true => clicks.wait_until_committed(),
        false => clicks.wait_until_counted(20_000),
    }
    processor.interrupt();
    processor.succeed();
    let counted = clicks.counted();
    if broker().is_kafka() {
        assert_eq!(counted, expected);
    }
    let lower = |(user, clicks): &(&String, &i64)| counted.get(*user).is_none_or(|n| n < *clicks);
    assert_eq!(
        expected.iter().find(lower),
        None,
        "the count of a user is too low"
    );
}

/// A shell script that runs a command with a limit of the size of its files, in blocks of 512 bytes. Writing beyond the
/// limit fails with an error instead of a signal.
const FULL_DISK: &str = "trap '' XFSZ; ulimit -S -f 256; exec \"$@\"";
