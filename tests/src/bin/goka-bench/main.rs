//! Measures how fast goka is on your machine, compared with plain librdkafka.
//!
//! ```sh
//! cargo run --release -p goka-tests --no-default-features --bin goka-bench -- \
//!   throughput --compare 5 --brokers 127.0.0.1:9092
//! ```
//!
//! The measured code runs in a process of its own, so that its time and memory can be measured separately. Before that
//! process starts, goka-bench prepares the topics; after it has ended, goka-bench verifies the result with a plain
//! client. Run nothing else during a measurement: the broker shares the CPU cores with the measured code.

mod backlog;
mod clicks;
mod compare;
mod get;
mod latency;
mod marks;
mod measure;
mod place;
mod plain;
mod raw;
mod rebalance;
mod recover;
mod relay;
mod report;
mod rows;
mod served;
mod settings;
mod table;
mod throughput;
mod waiting;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::{place::Place, settings::Settings};

/// A text in the help that says whether the crash hooks of goka-chaos are part of this build.
const HOOKS: &str = match cfg!(feature = "faults") {
    true => {
        "Built with the crash hooks of goka-chaos, which read one word of memory at each step of the commit protocol, \
         also once per record. Build with `--no-default-features` to leave them out."
    }
    false => "Built without the crash hooks of goka-chaos, as users build goka.",
};

/// Measures throughput, latency, recovery and rebalancing of goka.
#[derive(Parser)]
#[command(name = "goka-bench", after_help = HOOKS)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Deserialize, Serialize, Subcommand)]
enum What {
    /// The limit: plain rdkafka copies the clicks to another topic, without state.
    Raw,
    /// A processor counts clicks per user, and writes every count to its table.
    Throughput {
        /// Alternates `raw` and `throughput` for this number of rounds, and prints medians and ratios. Compares both
        /// guarantees, unless `--guarantee` is set.
        #[arg(long, value_name = "ROUNDS")]
        compare: Option<usize>,
    },
    /// A view and a processor restore a table from its changelog, and then start again with their local copies.
    Recover {
        #[arg(skip)]
        #[serde(default)]
        copy: recover::Copy,
    },
    /// One thread reads rows by key from a view, in a snapshot, and with plain heed.
    Get {
        #[arg(skip)]
        #[serde(default)]
        way: get::Way,
    },
    /// Time from emitting a message until a view shows its row, through a processor in another process and, as the
    /// limit, through a process that only forwards messages.
    Latency {
        /// Messages per second.
        #[arg(long, default_value_t = 10_000)]
        rate: u64,
        /// Duration of the measurement.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        #[arg(skip)]
        #[serde(default)]
        instance: served::Instance,
    },
    /// A second instance joins and leaves under load; measures how long partitions pause.
    Rebalance {
        /// Messages per second.
        #[arg(long, default_value_t = 1_000)]
        rate: u64,
        /// Uses dynamic membership: instances leave the group when they stop. By default, the group waits for the
        /// session timeout.
        #[arg(long)]
        dynamic: bool,
    },
    /// A handler waits, with a backlog behind its record; measures the throughput of the other partitions during that
    /// time.
    Backlog {
        /// Size of the backlog in MB.
        #[arg(long, default_value_t = 1_000)]
        megabytes: u64,
    },
    /// Handlers of one partition sleep; measures the throughput of the other partitions during that time.
    Waiting {
        /// Sleep of each handler in ms.
        #[arg(long, default_value_t = 50)]
        sleep_ms: u64,
    },
    /// An instance of the processor, started as a process of its own for a measurement in another process.
    #[command(skip)]
    Serve { instance: served::Instance },
    /// The measured process, which goka-bench starts by itself.
    #[command(hide = true)]
    Measured { task: String },
}

/// The task of the measured process, passed to it as JSON.
#[derive(Deserialize, Serialize)]
struct Task {
    what: What,
    settings: Settings,
    /// Prefix of the topic and group names of this run.
    prefix: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Logs go to stderr, so that they do not mix with results. They contain warnings of goka by default, or whatever
    // RUST_LOG asks for. Logs of the plain clients are dropped, because rdkafka logs each end of a partition as an
    // error.
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("goka=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(asked)
        .with_writer(std::io::stderr)
        .init();
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("goka-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the measurement, and returns `false` if the result could not be verified.
async fn run(Options { what, settings }: Options) -> anyhow::Result<bool> {
    if let What::Measured { task } = what {
        serde_json::from_str::<Task>(&task)?.run().await?;
        return Ok(true);
    }
    let place = &Place::open(&settings)?;
    let settings = &settings;
    let reports = match what {
        What::Throughput {
            compare: Some(rounds),
        } => return compare::run(place, settings, rounds),
        What::Raw => vec![raw::run(place, settings)?],
        What::Throughput { compare: None } => vec![throughput::run(place, settings)?],
        What::Recover { .. } => recover::run(place, settings)?,
        What::Get { .. } => get::run(place, settings)?,
        What::Latency { rate, seconds, .. } => latency::run(place, settings, rate, seconds)?,
        What::Rebalance { rate, dynamic } => vec![rebalance::run(place, settings, rate, dynamic)?],
        What::Backlog { megabytes } => vec![backlog::run(place, settings, megabytes)?],
        What::Waiting { sleep_ms } => waiting::run(place, settings, sleep_ms)?,
        What::Serve { .. } | What::Measured { .. } => {
            bail!("this command is for processes that goka-bench starts by itself")
        }
    };
    let mut verified = true;
    for report in reports {
        verified &= report.show(settings.json)?;
    }
    Ok(verified)
}

impl Task {
    async fn run(&self) -> anyhow::Result<()> {
        let Task {
            what,
            settings,
            prefix,
        } = self;
        let measured = match what {
            What::Raw => raw::measure(settings, prefix)?,
            What::Throughput { .. } => throughput::measure(settings, prefix).await?,
            What::Recover { copy } => recover::measure(copy, settings, prefix).await?,
            What::Get { way } => get::measure(*way, settings, prefix).await?,
            What::Latency {
                rate,
                seconds,
                instance,
            } => latency::measure((*rate, *seconds), *instance, settings, prefix).await?,
            What::Rebalance { rate, dynamic } => {
                rebalance::measure(*rate, *dynamic, settings, prefix).await?
            }
            What::Backlog { megabytes } => backlog::measure(*megabytes, settings, prefix).await?,
            What::Waiting { sleep_ms } => waiting::measure(*sleep_ms, settings, prefix).await?,
            What::Serve { instance } => {
                return served::serve(*instance, settings, prefix).await;
            }
            What::Measured { .. } => bail!("a measured process cannot start another measurement"),
        };
        println!("{}", serde_json::to_string(&measured)?);
        Ok(())
    }
}
