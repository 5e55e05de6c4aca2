//! Seeded simulations: the workers of one group on a Kafka in memory, with random faults.
//!
//! A seed determines a schedule of inputs, turns, crashes, pauses and failures. After the schedule, everything is
//! processed without further faults. The topics and the local copies are then compared with a plain model. A schedule
//! that fails is shortened to the actions that the failure needs.
//!
//! `GOKA_SIM_SEEDS=10000` runs 10,000 seeds, `GOKA_SIM_SEEDS=500..900` runs the seeds of this range, and
//! `GOKA_SIM_SEED=7` runs one seed and prints its trace if it fails; `-- --nocapture` shows which seeds passed. With
//! `GOKA_SIM_SURVEY=1`, all seeds run, and each one that fails is listed without being shortened.

mod check;
mod cuts;
mod engine;
mod faults;
mod model;
mod outside;
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
/// The outputs of a deduplicator: a record for each key that had no row before.
const FIRST: &str = "first";
/// The names of the topics; the index of a topic is that of its edge in the graph.
const TOPICS: [&str; 6] = [INPUTS[0], INPUTS[1], TABLE, ECHO, VISITS, FIRST];

/// The prefix of the keys that are switches. All switches are in the first input.
const SWITCH: &str = "switch-";
/// The prefix of the keys that only an operator writes.
const OPERATOR: &str = "op-";

/// The number of seeds in a normal test run.
const SEEDS: u64 = 100;

/// A worker in a simulation. Dropping it without `close` is a crash.
trait Driven {
    /// Makes one step of bounded length.
    fn turn(&mut self) -> Result<(), Error>;
    /// Finishes all work, commits, and leaves the group.
    fn close(self: Box<Self>) -> Result<(), Error>;
    /// Requests a visit of this worker's rows at `moment`, if the worker supports visits.
    fn visit(&mut self, _moment: u64) {}
    /// If handlers can fail, makes the next handler call fail, and with it the turn.
    fn fail_next(&mut self, _panics: bool) {}
}

/// Creates the workers of a run, and has a disk for each slot.
trait Rig {
    fn start(
        &mut self,
        slot: usize,
        world: &World,
        kafka: Connection,
    ) -> Result<Box<dyn Driven>, Error>;
    /// Deletes the disk of a slot.
    fn wipe(&mut self, slot: usize);
    /// Whether each commit is a cut, so that the table is exact. Otherwise, records may be counted more than once.
    fn is_exact(&self) -> bool {
        false
    }
    /// Planted fault: whether a commit of which some offsets were refused counts as taken.
    fn tears_commits(&self) -> bool {
        false
    }
    /// The visits that have been completed.
    fn visits(&self) -> Vec<Visited> {
        Vec::new()
    }
    /// The local copies on the disk of a slot. No worker may run in the slot.
    fn copies(&self, slot: usize) -> Result<Vec<Copy>, Error>;
}

/// A local copy of a partition of the table.
#[derive(Clone)]
struct Copy {
    partition: i32,
    /// The copy's position: the next offset in the changelog.
    table: i64,
    /// All rows come from changelog records before this offset, even if the worker ended while it stored a batch in
    /// parts.
    reaches: i64,
    /// At a position before this offset, the copy may lack rows that were compacted away because of later rows.
    whole_from: i64,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A completed visit, which visited all rows of these partitions.
#[derive(Clone, Debug)]
struct Visited {
    /// The mark that the visitor wrote for each row.
    mark: String,
    /// The moment at which the visit was requested.
    moment: u64,
    partitions: Vec<i32>,
    /// The number of visited rows, as the visit reported it.
    keys: u64,
}

/// Whether a record turns a switch on (`true`) or off (`false`). A switch is a key whose row is added and deleted.
/// `None` for a record of any other key, which is counted.
fn turned(key: &[u8], value: Option<&[u8]>) -> Option<bool> {
    key.starts_with(SWITCH.as_bytes())
        .then(|| value == Some(b"on"))
}

/// Creates a rig for one run.
type MakeRig<'a> = &'a dyn Fn(&Schedule) -> Box<dyn Rig>;

/// Runs a schedule. The error says what went wrong, and has the trace if `traced`.
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

/// Runs many seeds, and prints which seeds passed. If a schedule fails, panics with the shortest schedule found that
/// still fails.
fn simulate(what: &str, draw: fn(u64) -> Schedule, rig: MakeRig<'_>) {
    let seeds = seeds();
    let is_survey = env::var_os("GOKA_SIM_SURVEY").is_some();
    let mut failed = 0;
    for seed in seeds.clone() {
        let schedule = draw(seed);
        let traced = seeds.end - seeds.start == 1;
        let outcome = run(&schedule, rig, traced);
        if let (true, Err((_, trace))) = (traced, &outcome) {
            eprintln!("{schedule}\n{}", trace.join("\n"));
        }
        match outcome {
            Ok(()) => {}
            Err((why, _)) if is_survey => {
                failed += 1;
                println!("{what}: seed {seed}: {why}");
            }
            Err(_) => panic!("{}", report(&schedule, rig)),
        }
    }
    assert_eq!(failed, 0, "{what}: the number of seeds that fail");
    println!("{what}: seeds {}..{} passed", seeds.start, seeds.end);
}

/// The seeds to run, from the environment.
fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a seed must be a number");
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

/// Like [`report`], with at most `tries` attempts to shorten the schedule.
fn report_in(schedule: &Schedule, rig: MakeRig<'_>, tries: usize) -> String {
    let fails = |shorter: &Schedule| run(shorter, rig, false).is_err();
    let short = shrink::shrink(schedule, tries, &fails);
    let (why, trace) = match run(&short, rig, true) {
        Err(failure) => failure,
        Ok(()) => (
            "the schedule failed, but did not fail when it was repeated".to_owned(),
            Vec::new(),
        ),
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

/// Checks that every flaw of a plain worker is found, with a short schedule. No action of a shortened schedule can be
/// left out, but another schedule may become shorter: one of the first three that fail has to be short.
#[test]
fn flaws_are_found() {
    for flaw in plain::FLAWS {
        let rig: MakeRig<'_> = &|_| Box::new(plain::Rig::new(flaw));
        let fails = |schedule: &Schedule| run(schedule, rig, false).is_err();
        let seeds = (0..500).map(Schedule::without_zombies);
        let mut found = seeds.filter(fails).take(3);
        let mut lengths = Vec::new();
        let is_short = found.any(|schedule| {
            let short = shrink::shrink(&schedule, shrink::TRIES_MAX, &fails);
            lengths.push((schedule.seed, short.actions.len()));
            short.actions.len() <= 25
        });
        assert!(
            is_short,
            "{flaw:?}: the seeds that found this fault, and the lengths of their schedules: {lengths:?}"
        );
    }
}
