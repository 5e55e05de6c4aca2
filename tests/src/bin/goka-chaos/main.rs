//! Kills and pauses processors on a real Kafka, at random moments and at points of the commit protocol. Then checks
//! with plain clients whether records were lost or doubled.
//!
//! ```sh
//! cargo run --release -p goka-tests --bin goka-chaos -- \
//!     --brokers 127.0.0.1:9092 --guarantee exactly-once --processes 3 --kills 60 --seed 1 --json
//! ```
//!
//! Exit code: 0 if no violation was found, 1 if a violation was found, 2 if the run could not be completed. After a
//! violation, the logs and state directories of the processes are kept.

mod cluster;
mod copies;
mod feed;
mod fleet;
mod host;
mod judge;
mod model;
mod row;
mod storm;
mod tally;
mod worker;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use goka_tests::unique;
use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;

use crate::{
    cluster::Cluster,
    feed::{Feed, Plan},
    fleet::Fleet,
    host::Host,
    judge::Findings,
    storm::Storm,
    tally::Tally,
};

/// How long records are processed before the first kill or pause.
const QUIET: Duration = Duration::from_secs(2);
/// How long the processes may take, after the last kill or pause, to process the rest of the input.
const DRAIN: Duration = Duration::from_secs(300);
/// How long a transaction may stay open after all processes have shut down. It is shorter than goka's
/// `transaction.timeout.ms` of 15 s, after which the broker aborts the transaction and hides the violation.
const DECIDED: Duration = Duration::from_secs(5);
/// A run with at least this number of kills and pauses must kill a process at each point of the commit protocol.
const ALL_POINTS: u32 = 60;
const LOOK: Duration = Duration::from_millis(300);

/// Kills and pauses processors on a real Kafka, and checks that no record is lost or doubled.
#[derive(Parser)]
#[command(name = "goka-chaos")]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    /// Bootstrap servers, comma-separated.
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// Starts a broker with scripts/kafka.sh instead, with its data in this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "brokers")]
    kafka_dir: Option<PathBuf>,
    /// Guarantee to check. exactly-once: no record is lost or doubled. at-least-once: each record counts once in the
    /// table, except for messages of the loop, and no output is lost.
    #[arg(long, value_enum, default_value = "exactly-once")]
    guarantee: Guarantee,
    /// Number of processes that share the partitions.
    #[arg(long, default_value_t = 3)]
    processes: usize,
    /// Number of kills and pauses of processes.
    #[arg(long, default_value_t = 60)]
    kills: u32,
    /// Number of SIGKILLs of the broker, spread over the run.
    #[arg(long, default_value_t = 0, requires = "kafka_dir")]
    broker_kills: u32,
    /// Seed of all random choices; chosen at random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Plants a fault in the engine; the run has to find a violation.
    #[arg(long, value_enum)]
    fault: Option<Fault>,
    /// Input records per second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Number of distinct input keys.
    #[arg(long, default_value_t = 300)]
    keys: u32,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// Worker threads per process.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Lets each process keep copies of all partitions, ready to take over.
    #[arg(long)]
    standby: bool,
    /// Prints the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Role {
    /// The worker process, which goka-chaos starts by itself.
    #[command(hide = true)]
    Worker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Guarantee {
    AtLeastOnce,
    ExactlyOnce,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// Commits offsets before the broker has acknowledged the records.
    CommitBeforeAck,
    /// Does not read the tail: the part of the changelog that the local copy lacks.
    SkipTail,
    /// Does not write tombstones to the changelog.
    DropTombstone,
    /// Applies the effects of a record twice.
    DoubleApply,
    /// Does not undo rows behind the group's commit (at-least-once).
    KeepTail,
}

/// The report of a run, as it is printed.
#[derive(Serialize)]
struct Report {
    guarantee: Guarantee,
    fault: Option<Fault>,
    processes: usize,
    workers: usize,
    standby: bool,
    seed: u64,
    seconds: u64,
    #[serde(flatten)]
    tally: Tally,
    #[serde(flatten)]
    findings: Findings,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match options.role {
        Some(Role::Worker) => work(),
        None => storm(&options),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("goka-chaos: {error:#}");
        ExitCode::from(2)
    })
}

fn work() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(std::env::var("RUST_LOG").unwrap_or_else(|_| "goka=debug".to_owned()))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(worker::run());
    // A thread of the runtime may still be reading from standard input, so its end is not awaited.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

fn storm(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let seed = options.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let mut directory = tempfile::Builder::new().prefix("goka-chaos-").tempdir()?;
    let mut host = match &options.kafka_dir {
        Some(directory) => Host::start(directory),
        None => Host::Theirs(options.brokers.clone()),
    };
    let cluster = Cluster::connect(&host.address(), unique("chaos") + "-", options.partitions)?;
    cluster.create_topics();
    let fleet = Fleet::new(
        options.processes,
        directory.path().to_owned(),
        environment(options, &cluster),
    );
    let mut findings = Findings::default();
    let chance = StdRng::seed_from_u64(seed);
    let is_exactly_once = options.guarantee == Guarantee::ExactlyOnce;
    let mut storm = Storm::new(
        fleet,
        options.partitions,
        is_exactly_once,
        chance,
        &mut host,
    );
    run(&mut storm, &cluster, options, seed, &mut findings)?;

    let states: Vec<PathBuf> = (0..options.processes)
        .map(|n| storm.fleet.state(n))
        .collect();
    if options.kills >= ALL_POINTS {
        // With standbys, the copy of a partition may have all rows already when the partition is assigned.
        let is_optional = |point: &str| options.standby && storm::REPLAYS.contains(&point);
        let missed = storm.tally.never_hit();
        for point in missed.filter(|point| !is_optional(point)) {
            findings.violation(format!(
                "no process was killed at crash point `{point}`, so the run does not cover this point"
            ));
        }
    }
    let (tally, states) = (storm.tally, states.iter().map(PathBuf::as_path));
    judge::judge(&cluster, states, is_exactly_once, &mut findings)?;
    let is_right = findings.violations_in_all == 0;
    if !is_right {
        directory.disable_cleanup(true);
        eprintln!(
            "goka-chaos keeps the logs and state directories in {}",
            directory.path().display()
        );
    }
    let report = Report {
        guarantee: options.guarantee,
        fault: options.fault,
        processes: options.processes,
        workers: options.workers,
        standby: options.standby,
        seed,
        seconds: began.elapsed().as_secs(),
        tally,
        findings,
    };
    println!(
        "{}",
        match options.json {
            true => serde_json::to_string(&report)?,
            false => serde_json::to_string_pretty(&report)?,
        }
    );
    Ok(ExitCode::from(u8::from(!is_right)))
}

fn environment(options: &Options, cluster: &Cluster) -> Vec<(String, String)> {
    let guarantee = match options.guarantee {
        Guarantee::AtLeastOnce => "at_least_once",
        Guarantee::ExactlyOnce => "exactly_once",
    };
    let mut environment = vec![
        ("GOKA_BROKERS", cluster.address.clone()),
        ("GOKA_PREFIX", cluster.prefix.clone()),
        ("GOKA_GUARANTEE", guarantee.to_owned()),
        ("GOKA_WORKERS", options.workers.to_string()),
    ];
    if options.standby {
        environment.push(("GOKA_STANDBY", "all".to_owned()));
    }
    if let Some(fault) = options.fault.and_then(|fault| fault.to_possible_value()) {
        environment.push(("GOKA_FAULT", fault.get_name().to_owned()));
    }
    let owned = environment
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    owned.collect()
}

/// Runs the processes, from the first start of a process to the last shutdown.
fn run(
    storm: &mut Storm<'_>,
    cluster: &Cluster,
    options: &Options,
    seed: u64,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    storm.begin(findings)?;
    let feed = Feed::start(Plan {
        brokers: cluster.address.clone(),
        topic: cluster.input(),
        seed,
        rate: options.rate,
        keys: options.keys,
    });
    storm.pass(Instant::now() + QUIET, findings, |_| false)?;
    // Nothing has been killed or paused so far, so not even at-least-once may process the records before these offsets
    // twice.
    findings.quiet = cluster
        .committed(&cluster.input())
        .context("cannot read the committed offsets of the group")?;
    storm.rage(options.kills, options.broker_kills, findings)?;
    let written = feed.finish()?;
    eprintln!("{written} records written; waiting until the group has processed all of them");
    let until = Instant::now() + DRAIN;
    while let Some(left) = cluster.left()? {
        if Instant::now() > until {
            findings.violation(format!(
                "the group did not process all records within {DRAIN:?}: {left}"
            ));
            break;
        }
        storm.pass(Instant::now() + LOOK, findings, |_| false)?;
    }
    for member in 0..options.processes {
        storm.end(member, findings)?;
    }
    let until = Instant::now() + DECIDED;
    loop {
        let undecided = cluster.undecided()?;
        if undecided.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            findings.open_transactions = undecided.len();
            for ((topic, partition), (decided, end)) in undecided {
                findings.violation(format!(
                    "`{topic}` partition {partition} has an open transaction: last stable offset {decided}, end offset {end}"
                ));
            }
            return Ok(());
        }
        storm.pass(Instant::now() + LOOK, findings, |_| false)?;
    }
}
