//! Seeded simulations: the workers of one group on a Kafka in memory, with random faults.
//!
//! A seed determines a schedule of inputs, turns, crashes, pauses and failures. After the schedule no
//! more faults happen until everything is processed. Then the topics and the local copies are compared
//! with a plain model. A schedule that fails is shortened to the actions that the failure needs.
//!
//! `GOKA_SIM_SEEDS=10000` runs 10,000 seeds, `GOKA_SIM_SEEDS=500..900` runs the seeds of this range, and
//! `GOKA_SIM_SEED=7` runs one seed with its trace; `-- --nocapture` shows which seeds passed.

mod check;
mod engine;
mod faults;
mod panics;
mod plain;
mod program;
mod schedule;
mod shrink;
mod stage;
mod visits;

use std::{collections::BTreeMap, env, ops::Range};

use crate::{
    base::error::Error,
    sim::kafka::{Connection, World},
};
use schedule::Schedule;
use stage::Stage;

const GROUP: &str = "counts";
const INPUTS: [&str; 2] = ["clicks", "more-clicks"];
const TABLE: &str = "counts-state";
const ECHO: &str = "echo";
const VISITS: &str = "visits";
/// The topics, by index of their edge in the graph.
const TOPICS: [&str; 5] = [INPUTS[0], INPUTS[1], TABLE, ECHO, VISITS];

/// The prefix of the keys of switches, which are all in the first input.
const SWITCH: &str = "switch-";

/// The number of seeds in a normal test run.
const SEEDS: u64 = 100;

/// A worker in a simulation. Dropping it without `close` is a crash.
trait Driven {
    /// One bounded step.
    fn turn(&mut self) -> Result<(), Error>;
    /// Finishes, commits and leaves the group.
    fn close(self: Box<Self>) -> Result<(), Error>;
    /// Requests a visit of its rows at this moment, if it supports visits.
    fn visit(&mut self, _moment: u64) {}
    /// Makes the next handler call fail, and the turn with it, if handlers can fail.
    fn fail_next(&mut self, _panics: bool) {}
}

/// Creates workers, with a disk for each slot.
trait Rig {
    fn start(
        &mut self,
        slot: usize,
        world: &World,
        kafka: Connection,
    ) -> Result<Box<dyn Driven>, Error>;
    /// Deletes the disk of a slot.
    fn wipe(&mut self, slot: usize);
    /// The visits that have completed.
    fn visits(&self) -> Vec<Visited> {
        Vec::new()
    }
    /// The local copies on the disk of a slot, while no worker runs there.
    fn copies(&self, slot: usize) -> Result<Vec<Copy>, Error>;
}

/// A local copy of a partition of the table.
#[derive(Clone)]
struct Copy {
    partition: i32,
    /// Next offset in the changelog.
    table: i64,
    /// All rows come from before this offset, also if the worker ended while it stored a batch in parts.
    reaches: i64,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A completed visit: all rows of these partitions were visited.
#[derive(Clone, Debug)]
struct Visited {
    /// The mark that its visitor has written for each row.
    mark: String,
    /// When the visit was requested.
    moment: u64,
    partitions: Vec<i32>,
    /// The number of rows, according to the result of the visit.
    keys: u64,
}

/// Whether a record turns a switch on or off: switches are keys of the table that are added and deleted. `None`
/// for a record of any other key, which is counted.
fn turned(key: &[u8], value: Option<&[u8]>) -> Option<bool> {
    key.starts_with(SWITCH.as_bytes())
        .then(|| value == Some(b"on"))
}

/// Creates a rig for one run.
type MakeRig<'a> = &'a dyn Fn(&Schedule) -> Box<dyn Rig>;

/// Runs a schedule. The error has what went wrong, and the trace if `traced`.
fn run(schedule: &Schedule, rig: MakeRig<'_>, traced: bool) -> Result<(), (String, Vec<String>)> {
    let world = World::new(Stage::settings(schedule));
    if traced {
        world.keep_trace();
    }
    let outcome = panics::caught(|| {
        let stage = Stage::run(schedule.clone(), rig(schedule), world.clone())?;
        check::check(&stage)
    });
    outcome.map_err(|why| (why, world.trace()))
}

/// Runs many seeds. Panics with the shortest schedule that fails; prints which seeds passed.
fn simulate(what: &str, draw: fn(u64) -> Schedule, rig: MakeRig<'_>) {
    let seeds = seeds();
    for seed in seeds.clone() {
        let schedule = draw(seed);
        let traced = seeds.end - seeds.start == 1;
        let outcome = run(&schedule, rig, traced);
        if let (true, Err((_, trace))) = (traced, &outcome) {
            eprintln!("{schedule}\n{}", trace.join("\n"));
        }
        if outcome.is_err() {
            panic!("{}", report(&schedule, rig));
        }
    }
    println!("{what}: seeds {}..{} hold", seeds.start, seeds.end);
}

/// The seeds to run, from the environment.
fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a seed is a number");
    if let Ok(seed) = env::var("GOKA_SIM_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    let Ok(seeds) = env::var("GOKA_SIM_SEEDS") else {
        return 0..SEEDS;
    };
    match seeds.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&seeds),
    }
}

/// Shortens a failing schedule, and returns its trace.
fn report(schedule: &Schedule, rig: MakeRig<'_>) -> String {
    report_in(schedule, rig, shrink::TRIES_MAX)
}

/// As [`report`], with at most `tries` attempts to shorten the schedule.
fn report_in(schedule: &Schedule, rig: MakeRig<'_>, tries: usize) -> String {
    let fails = |shorter: &Schedule| run(shorter, rig, false).is_err();
    let short = shrink::shrink(schedule, tries, &fails);
    let (why, trace) = match run(&short, rig, true) {
        Err(failure) => failure,
        Ok(()) => ("it failed once, and now it does not".to_owned(), Vec::new()),
    };
    let seed = schedule.seed;
    format!(
        "seed {seed}: {why}\n{short}\n{}\nseed {seed}: {why}",
        trace.join("\n")
    )
}

#[test]
fn the_engine_holds() {
    simulate("at-least-once", Schedule::of, &|schedule| {
        Box::new(engine::Rig::new(schedule, None))
    });
}

#[test]
fn the_engine_holds_exactly_once() {
    simulate("exactly-once", Schedule::exactly_once, &|schedule| {
        Box::new(engine::Rig::new(schedule, None))
    });
}

#[test]
fn a_plain_worker_holds() {
    simulate("a plain worker", Schedule::without_zombies, &|_| {
        Box::new(plain::Rig::new(plain::Flaw::None))
    });
}

/// Every flaw is found, with a short schedule.
#[test]
fn flaws_are_found() {
    for flaw in plain::FLAWS {
        let rig: MakeRig<'_> = &|_| Box::new(plain::Rig::new(flaw));
        let fails = |schedule: &Schedule| run(schedule, rig, false).is_err();
        let found = (0..500).map(Schedule::without_zombies).find(fails);
        let schedule = found.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        let short = shrink::shrink(&schedule, shrink::TRIES_MAX, &fails);
        assert!(
            short.actions.len() <= 25,
            "{flaw:?}: {}",
            report(&schedule, rig)
        );
    }
}
