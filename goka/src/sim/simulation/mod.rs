//! Seeded simulations: workers of one group on a Kafka in memory, and everything that can go wrong.
//!
//! From a seed comes a schedule of inputs, turns, crashes, pauses and failures; after it everything
//! is left in peace, and what the topics and the local copies then say is held against a plain
//! model. A schedule that fails is cut down to what is needed for it.
//!
//! `GOKA_SIM_SEEDS=10000` runs so many seeds, `GOKA_SIM_SEEDS=500..900` these, and `GOKA_SIM_SEED=7`
//! one, with its trace; `-- --nocapture` shows which seeds held.

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
/// By index of their edge in the graph.
const TOPICS: [&str; 5] = [INPUTS[0], INPUTS[1], TABLE, ECHO, VISITS];

/// What keys of switches begin with; all of them are in the first input.
const SWITCH: &str = "switch-";

/// Seeds of a normal test run.
const SEEDS: u64 = 100;

/// A worker, as far as a simulation is concerned. Dropped without a close, it crashed.
trait Driven {
    /// One bounded step.
    fn turn(&mut self) -> Result<(), Error>;
    /// Finishes, commits and leaves the group.
    fn close(self: Box<Self>) -> Result<(), Error>;
    /// Asks for a visit of its rows at this moment, if it can be visited.
    fn visit(&mut self, _moment: u64) {}
    /// Its next handler fails, if one can, and the turn with it.
    fn fail_next(&mut self, _panics: bool) {}
}

/// Where workers come from, with a disk for each slot.
trait Rig {
    fn start(
        &mut self,
        slot: usize,
        world: &World,
        kafka: Connection,
    ) -> Result<Box<dyn Driven>, Error>;
    /// Deletes what a slot has on disk.
    fn wipe(&mut self, slot: usize);
    /// Visits that came to their end.
    fn visits(&self) -> Vec<Visited> {
        Vec::new()
    }
    /// What a slot has on disk, while no worker runs there.
    fn copies(&self, slot: usize) -> Result<Vec<Copy>, Error>;
}

/// A local copy of a partition of the table.
#[derive(Clone)]
struct Copy {
    partition: i32,
    /// Next offset in the table's topic.
    table: i64,
    /// What no row is behind, of one whose worker ended while a batch was stored in parts.
    reaches: i64,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A visit that was answered: all rows of these partitions were visited.
#[derive(Clone, Debug)]
struct Visited {
    /// What its visitor has written for each row.
    mark: String,
    /// When it was asked for.
    moment: u64,
    partitions: Vec<i32>,
    /// How many rows, as the answer says.
    keys: u64,
}

/// What a record does to a switch: keys of the table that come and go. `None`: its key is no switch,
/// and counts.
fn turned(key: &[u8], value: Option<&[u8]>) -> Option<bool> {
    key.starts_with(SWITCH.as_bytes())
        .then(|| value == Some(b"on"))
}

/// Makes a rig for a run of its own.
type MakeRig<'a> = &'a dyn Fn(&Schedule) -> Box<dyn Rig>;

/// Runs a schedule. `Err` says what went wrong, and what happened if `traced`.
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

/// Runs many seeds, and fails with the shortest schedule that does not hold; says which ones held.
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

/// What the environment asks for.
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

/// Cuts a schedule that fails down, and tells its story.
fn report(schedule: &Schedule, rig: MakeRig<'_>) -> String {
    report_in(schedule, rig, shrink::TRIES_MAX)
}

/// The same, with at most so many tries to make it shorter.
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

/// Every flaw is found, and its schedule is a short one.
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
