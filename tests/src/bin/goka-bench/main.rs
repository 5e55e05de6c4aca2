//! How fast goka is, measured on a machine of your own and compared with what plain librdkafka does there.
//!
//! ```sh
//! cargo run --release -p goka-tests --no-default-features --bin goka-bench -- \
//!   throughput --compare 5 --brokers 127.0.0.1:9092
//! ```
//!
//! What is measured runs in a process of its own, so that time and memory are its own; this one prepares the topics
//! before and verifies afterwards, by a plain client, what came of it. Run nothing else meanwhile: the broker shares
//! the cores.

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

/// What of the engine is measured that users do not have.
const HOOKS: &str = match cfg!(feature = "faults") {
    true => {
        "Built with the hooks of goka-chaos, which read one word of memory at each step of the commit protocol, once a \
         record among them: `--no-default-features` leaves them out."
    }
    false => "Built without the hooks of goka-chaos, as users build goka.",
};

/// Measures goka for Rust.
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
    /// The limit: plain rdkafka copies the clicks to another topic, and keeps no state.
    Raw,
    /// A processor counts the clicks of each user, and writes every count to its table.
    Throughput {
        /// Runs `raw` and this in turn, so many times, and prints medians and ratios; with both guarantees, unless one
        /// is chosen.
        #[arg(long, value_name = "ROUNDS")]
        compare: Option<usize>,
    },
    /// The table of so many users is read from its topic, by a view and by a processor, and again with a local copy.
    Recover {
        #[arg(skip)]
        #[serde(default)]
        copy: recover::Copy,
    },
    /// So many reads by key from a view of the table, by one thread: one by one, in a snapshot, and by plain heed.
    Get {
        #[arg(skip)]
        #[serde(default)]
        way: get::Way,
    },
    /// From a message that is emitted to its row in a view, through a processor in another process; and through one
    /// that only passes messages on, the limit.
    Latency {
        /// Messages a second.
        #[arg(long, default_value_t = 10_000)]
        rate: u64,
        /// How long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        #[arg(skip)]
        #[serde(default)]
        instance: served::Instance,
    },
    /// A second instance joins and leaves under load: how long partitions pause.
    Rebalance {
        /// Messages a second.
        #[arg(long, default_value_t = 1_000)]
        rate: u64,
        /// Instances that leave when they stop; unless said, the group waits for their sessions first.
        #[arg(long)]
        dynamic: bool,
    },
    /// A handler waits with a backlog behind it, and the messages of the other partitions are counted meanwhile.
    Backlog {
        /// How much of it, in MB.
        #[arg(long, default_value_t = 1_000)]
        megabytes: u64,
    },
    /// Handlers of one partition sleep, and the messages of the others are counted meanwhile.
    Waiting {
        /// How long each sleeps, in ms.
        #[arg(long, default_value_t = 50)]
        sleep_ms: u64,
    },
    /// An instance that others measure.
    #[command(skip)]
    Serve { instance: served::Instance },
    /// What the process that is measured is told.
    #[command(hide = true)]
    Measured { task: String },
}

/// What is measured, in a process of its own.
#[derive(Deserialize, Serialize)]
struct Task {
    what: What,
    settings: Settings,
    /// How names of this run begin.
    prefix: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    // What goka says goes where it does not mix with results: warnings, or what RUST_LOG asks for. The plain clients
    // are not listened to: for rdkafka, every end of a topic is an error.
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

/// Whether the result is what it ought to be.
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
        What::Serve { .. } | What::Measured { .. } => bail!("this is for other processes alone"),
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
            What::Measured { .. } => bail!("a process is measured that measures another"),
        };
        println!("{}", serde_json::to_string(&measured)?);
        Ok(())
    }
}
