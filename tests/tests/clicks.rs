//! Runs the example `clicks` as users run it: all roles in one process, and as separate programs.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use goka_tests::{Clicks, Program, broker, example, read_topic};

/// Starts all roles in one process, on its embedded broker.
fn together(arguments: &[&str]) -> Program {
    let mut command = Command::new(example("clicks"));
    for variable in [
        "GOKA_BROKERS",
        "GOKA_STATE_DIR",
        "GOKA_PREFIX",
        "GOKA_WORKERS",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments);
    Program::run(command)
}

#[test]
fn counts_every_click_once_in_one_process() {
    let mut clicks = together(&["--clicks", "200000", "--rate", "0", "--users", "1000"]);
    clicks.succeed();
    let output = clicks.output();
    assert!(
        output.lines().any(|line| line == "total 200000"),
        "{output}"
    );
}

#[test]
fn shows_counts_growing_and_ends_when_interrupted() {
    let mut clicks = together(&["--rate", "500"]);
    let total = |line: &str| line.split_once(" clicks by ")?.0.parse::<u64>().ok();
    let first = clicks.wait_for("a first count", |line| {
        total(line).filter(|total| *total > 0)
    });
    clicks.wait_for("a higher count", |line| {
        total(line).filter(|total| *total > first)
    });
    clicks.interrupt();
    let interrupted = Instant::now();
    clicks.succeed();
    // Only this test asserts a duration, because a user who presses Ctrl-C waits for the program to end.
    let took = interrupted.elapsed();
    assert!(
        took < Duration::from_secs(2),
        "the program took {took:?} to end"
    );
}

#[test]
fn an_interrupted_run_that_should_have_counted_is_no_success() {
    let mut clicks = together(&["--rate", "10", "--clicks", "1000000"]);
    clicks.wait_for("a table", |line| line.contains(" clicks by ").then_some(()));
    clicks.interrupt();
    assert_eq!(clicks.wait().code(), Some(1));
    assert!(
        clicks.output().contains("before 1000000 clicks"),
        "{}",
        clicks.output()
    );
}

#[test]
fn roles_are_programs_of_their_own() {
    let clicks = Clicks::on(broker());
    let mut emitter = clicks.emitter(&["--rate", "0", "--users", "300", "--clicks", "20000"]);
    emitter.succeed();
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(20_000);
    processor.interrupt();
    processor.succeed();
    assert_eq!(clicks.expected().values().sum::<i64>(), 20_000);
    assert_eq!(clicks.counted(), clicks.expected());
}

#[test]
fn the_program_of_the_readme_ends_when_terminated_and_goes_on_where_it_was() {
    const CLICKS: usize = 2_000;
    let clicks = Clicks::on(broker());
    clicks.produce(CLICKS as u64, 50);
    // The program prints nothing, so the test watches the program's table instead.
    let compacted = [("cleanup.policy", "compact")];
    broker().create_topic_with(&clicks.table(), 4, &compacted);
    for run in 1..=2 {
        let mut counter = clicks.counter();
        clicks.wait_for_rows(run * CLICKS);
        counter.terminate();
        counter.succeed();
        let rows = read_topic(clicks.address(), &clicks.table());
        assert_eq!(rows.len(), run * CLICKS, "each click must be counted once");
        assert_eq!(clicks.counted(), clicks.expected());
        clicks.produce_more(CLICKS as u64, 50);
    }
}

#[test]
fn invalid_arguments_are_refused_with_what_to_do() {
    let refused = |arguments: &[&str], cure: &str| {
        let mut clicks = together(arguments);
        assert!(
            !clicks.wait().success(),
            "the arguments {arguments:?} must be refused"
        );
        let output = clicks.output();
        assert!(output.contains(cure), "{arguments:?}: {output}");
    };
    refused(
        &["processor", "--clicks", "5", "--brokers", "127.0.0.1:9"],
        "give it to the view",
    );
    refused(&["view", "--brokers", "embedded"], "--example broker");
    refused(&["emitter", "--users", "0"], "--users");
    refused(&["emitter", "--partitions", "0"], "--partitions");
    refused(&["watcher"], "processor");
}

#[test]
fn a_broker_that_does_not_answer_is_named() {
    for role in ["emitter", "processor", "view"] {
        // No program listens on port 9 (discard).
        let mut clicks = together(&[role, "--brokers", "127.0.0.1:9"]);
        assert_eq!(clicks.wait().code(), Some(1), "{role}");
        assert!(
            clicks.output().contains("127.0.0.1:9"),
            "{role}: {}",
            clicks.output()
        );
    }
}
