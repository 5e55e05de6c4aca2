//! Standbys. An instance that takes over partitions has their rows already. An instance that recovers ahead joins the
//! group only when its copies have caught up. Copies of lost partitions are deleted. The log shows how many rows a
//! program has read.

use std::{collections::BTreeSet, fs, time::Instant};

use goka_tests::{Clicks, Program, broker, needs_kafka};

/// The number of rows in the changelog before the first takeover.
const ROWS: u64 = 40_000;

/// A run of the example with these settings, whose programs log what they do and leave the group when they stop.
fn clicks(settings: &[(&str, &str)]) -> Clicks<'static> {
    let mut clicks = Clicks::on(broker());
    let always = [
        ("RUST_LOG", "goka=info"),
        ("NO_COLOR", "1"),
        ("GOKA_MEMBERSHIP", "dynamic"),
    ];
    for (variable, value) in always.iter().chain(settings) {
        clicks.set(variable, value);
    }
    clicks
}

fn wait_for_partitions(processor: &mut Program, partitions: usize) -> BTreeSet<i32> {
    let wanted = format!("{partitions} of 4 partitions run here (");
    processor.wait_for(&wanted, |line| {
        let (_, rest) = line.split_once(&wanted)?;
        // The workers log one after the other, with other lines in between.
        let numbers = rest.split_once(')')?.0.split([' ', '|']);
        let numbers = numbers.filter(|number| !number.is_empty());
        numbers.map(str::parse).collect::<Result<_, _>>().ok()
    })
}

/// Waits until a processor has up-to-date local copies of all partitions, which happens before it joins the group.
fn wait_until_ahead(processor: &mut Program) {
    processor.wait_for("all local copies have caught up", |line| {
        line.contains("all local copies have caught up")
            .then_some(())
    });
}

/// The number of rows read from the changelog, added up from the lines of a log.
fn rows_read<'a>(lines: impl IntoIterator<Item = &'a str>) -> u64 {
    let told = lines
        .into_iter()
        .filter(|line| line.contains("local copy restored from changelog"));
    let rows = told.filter_map(|line| {
        let (_, rest) = line.split_once(" rows=")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    rows.sum()
}

/// Asserts that no click is lost, and, if `exactly` is true, that no click is counted twice.
fn judge(clicks: &Clicks<'_>, exactly: bool) {
    let expected = clicks.expected();
    clicks.wait_until_all_counted(&expected);
    let counted = clicks.counted();
    if exactly {
        assert_eq!(counted, expected);
    }
    let lower = |(user, n): &(&String, &i64)| counted.get(*user).is_none_or(|here| here < *n);
    assert_eq!(
        expected.iter().find(lower),
        None,
        "the count of a user is too low"
    );
}

/// Two instances take over partitions from each other, twice after a kill and once after a shutdown. Neither instance
/// reads rows again that its local copies have.
fn taken_over_without_reading(guarantee: &str) {
    let mut clicks = clicks(&[("GOKA_STANDBY", "all"), ("GOKA_GUARANTEE", guarantee)]);
    clicks.produce(ROWS, ROWS / 2);
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 4);
    clicks.wait_until_counted(ROWS);

    clicks.set("GOKA_RECOVER_AHEAD", "true");
    let mut two = clicks.processor("two");
    wait_until_ahead(&mut two);
    wait_for_partitions(&mut two, 2);
    wait_for_partitions(&mut one, 2);
    // Each instance keeps standby copies of the partitions that it has given up, and the other instance now runs these
    // partitions.
    clicks.produce_more(ROWS / 4, ROWS / 2);
    clicks.wait_until_counted(ROWS + ROWS / 4);

    for round in 0..2 {
        let (killed, survivor, name) = match round {
            0 => (&mut one, &mut two, "one"),
            _ => (&mut two, &mut one, "two"),
        };
        let before = survivor.output().lines().count();
        killed.kill();
        let began = Instant::now();
        wait_for_partitions(survivor, 4);
        let (output, took) = (survivor.output(), began.elapsed());
        let rows = rows_read(output.lines().skip(before));
        println!("killed `{name}`: taken over after {took:?}, {rows} rows read");
        assert!(rows < ROWS / 10, "the program read {rows} rows:\n{output}");
        clicks.produce_more(ROWS / 4, ROWS / 2);
        clicks.wait_until_counted(ROWS + (round + 2) * ROWS / 4);
        // The killed instance comes back, with the local copies that it had when it was killed.
        *killed = clicks.processor(name);
        wait_until_ahead(killed);
        wait_for_partitions(killed, 2);
        wait_for_partitions(survivor, 2);
    }
    two.interrupt();
    two.succeed();
    let before = one.output().lines().count();
    wait_for_partitions(&mut one, 4);
    let rows = rows_read(one.output().lines().skip(before));
    assert!(
        rows < ROWS / 10,
        "the program read {rows} rows:\n{}",
        one.output()
    );
    judge(&clicks, guarantee == "exactly_once");
    one.interrupt();
    one.succeed();
}

#[test]
fn a_standby_takes_over_without_reading() {
    taken_over_without_reading("at_least_once");
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_standby_takes_over_without_reading_exactly_once() {
    needs_kafka();
    taken_over_without_reading("exactly_once");
}

/// An instance with an empty state directory joins when its local copies are complete, and reads no row again after
/// that.
fn no_partition_before_it_has_caught_up(guarantee: &str) {
    let mut clicks = clicks(&[("GOKA_STANDBY", "all"), ("GOKA_GUARANTEE", guarantee)]);
    clicks.produce(ROWS, ROWS);
    let mut one = clicks.processor("one");
    clicks.wait_until_counted(ROWS);

    clicks.set("GOKA_RECOVER_AHEAD", "true");
    let mut two = clicks.processor("two");
    wait_for_partitions(&mut two, 2);
    let output = two.output();
    let lines: Vec<_> = output.lines().collect();
    let first = |what: &str| lines.iter().position(|line| line.contains(what));
    let (ahead, assigned) = (first("all local copies have caught up"), first("assigned"));
    let (Some(ahead), Some(assigned)) = (ahead, assigned) else {
        panic!("a log line is missing:\n{output}");
    };
    assert!(
        ahead < assigned,
        "the member must not get partitions before its local copies have caught up:\n{output}"
    );
    let (before, after) = (
        rows_read(lines[..ahead].to_vec()),
        rows_read(lines[ahead..].to_vec()),
    );
    assert!(
        before >= ROWS,
        "before the join, the program read {before} rows:\n{output}"
    );
    assert!(
        after < ROWS / 10,
        "after the join, the program read {after} rows:\n{output}"
    );
    judge(&clicks, guarantee == "exactly_once");
    for processor in [&mut two, &mut one] {
        processor.interrupt();
        processor.succeed();
    }
}

#[test]
fn an_instance_that_recovers_ahead_gets_no_partition_before_it_has_caught_up() {
    no_partition_before_it_has_caught_up("at_least_once");
}

#[test]
#[ignore = "needs a real Kafka"]
fn an_instance_that_recovers_ahead_gets_no_partition_before_it_has_caught_up_exactly_once() {
    needs_kafka();
    no_partition_before_it_has_caught_up("exactly_once");
}

#[test]
fn copies_of_partitions_that_run_elsewhere_are_deleted_after_the_delay() {
    let clicks = clicks(&[("GOKA_CLEANUP_DELAY_MS", "2000"), ("GOKA_WORKERS", "1")]);
    clicks.produce(1_000, 100);
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 4);
    clicks.wait_until_counted(1_000);
    assert_eq!(copies(&clicks, "one").len(), 4);
    let mut two = clicks.processor("two");
    let here = wait_for_partitions(&mut one, 2);
    for _ in 0..2 {
        one.wait_for("log line about a deleted local copy", |line| {
            line.contains("deleted the local copy").then_some(())
        });
    }
    assert_eq!(
        copies(&clicks, "one"),
        here,
        "local copies of running partitions must stay"
    );
    // The partitions come back to `one`, which has to read their rows again.
    two.interrupt();
    two.succeed();
    wait_for_partitions(&mut one, 4);
    judge(&clicks, false);
    one.interrupt();
    one.succeed();
}

#[test]
fn recovering_ahead_without_a_standby_is_refused() {
    let clicks = clicks(&[("GOKA_RECOVER_AHEAD", "true")]);
    clicks.produce(10, 10);
    let mut one = clicks.processor_with("one", &[]);
    assert_eq!(one.wait().code(), Some(1));
    let output = one.output();
    assert!(output.contains("needs `standby = all`"), "{output}");
}

/// The partitions of which a processor's state directory has a local copy.
fn copies(clicks: &Clicks<'_>, state: &str) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut left = vec![clicks.state(state)];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("the directory can be read") {
            let path = entry
                .expect("the entry of the directory can be read")
                .path();
            let name = path.file_name().and_then(|name| name.to_str());
            match name.and_then(|name| name.parse().ok()) {
                Some(partition) => {
                    found.insert(partition);
                }
                None if path.is_dir() => left.push(path),
                None => {}
            }
        }
    }
    found
}
