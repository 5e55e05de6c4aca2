//! Another program joins and is killed again and again while a processor restores a large table. The restore completes,
//! the table is right, and no files, threads or memory maps leak. Needs a real Kafka, and Linux, where files, threads
//! and maps can be counted.

#![cfg(target_os = "linux")]

use std::fs;

use goka_tests::{Clicks, Program, broker, needs_kafka};

const ROWS: u64 = 300_000;
const JOINS: usize = 10;

/// The numbers of resources that a process holds.
#[derive(Debug)]
struct Resources {
    files: usize,
    threads: usize,
    /// Number of memory maps of files of local copies.
    maps: usize,
}

impl Resources {
    fn of(process: u32) -> Resources {
        let process = format!("/proc/{process}");
        let entries = |what| {
            let entries = fs::read_dir(format!("{process}/{what}"));
            entries.expect("/proc must exist on Linux").count()
        };
        let maps =
            fs::read_to_string(format!("{process}/maps")).expect("/proc must exist on Linux");
        Resources {
            files: entries("fd"),
            threads: entries("task"),
            maps: maps
                .lines()
                .filter(|line| line.contains("data.mdb"))
                .count(),
        }
    }
}

/// Several times, starts another processor, waits until it gets partitions, and kills it.
fn storm(clicks: &Clicks<'_>) {
    for _ in 0..JOINS {
        let mut other = clicks.processor("two");
        other.wait_for("partitions that it is given", |line| {
            line.contains("assigned").then_some(())
        });
        other.kill();
    }
}

/// Waits until a line of the output says that all partitions run, and the process has mapped four local copies. Lines
/// from before the storm do not count.
fn wait_until_all_run(processor: &mut Program) {
    let process = processor.id();
    processor.wait_for("4 partitions that run", |line| {
        let all_run = line.contains("4 of 4 partitions run here");
        (all_run && Resources::of(process).maps == 4).then_some(())
    });
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_storm_of_joins_and_leaves_neither_stops_a_recovery_nor_leaks() {
    needs_kafka();
    let mut clicks = Clicks::on(broker());
    clicks.set("RUST_LOG", "goka=info");
    clicks.set("NO_COLOR", "1");
    clicks.set("GOKA_WORKERS", "1");
    clicks.produce(ROWS, ROWS);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(ROWS);
    processor.interrupt();
    processor.succeed();
    let table = clicks.counted();
    fs::remove_dir_all(clicks.state("one")).expect("the state of a program that ended");

    let mut processor = clicks.processor("one");
    storm(&clicks);
    wait_until_all_run(&mut processor);
    let before = Resources::of(processor.id());
    storm(&clicks);
    wait_until_all_run(&mut processor);
    let after = Resources::of(processor.id());
    println!(
        "the process must not hold more resources than before: {before:?} before, {after:?} after"
    );
    // librdkafka may close a connection a little later, so a small difference is allowed.
    let slack = 4;
    assert!(
        after.files <= before.files + slack
            && after.threads <= before.threads + slack
            && after.maps <= before.maps,
        "the process must not hold more resources than before: {before:?} before, {after:?} after"
    );
    clicks.produce_more(1_000, ROWS);
    clicks.wait_until_all_counted(&clicks.expected());
    processor.interrupt();
    processor.succeed();
    assert_eq!(table.len() as u64, ROWS);
    assert_eq!(clicks.counted(), clicks.expected());
}
