//! How fast goka is, measured on a machine of your own and compared with what plain librdkafka does there.
//!
//! ```sh
//! cargo run --release -p goka-tests --bin goka-bench -- throughput --compare 5 --brokers 127.0.0.1:9092
//! ```
//!
//! What is measured runs in a process of its own, so that time and memory are its own; this one prepares the topics
//! before and verifies afterwards, by a plain client, what came of it. Run nothing else meanwhile: the broker shares
//! the cores.

mod clicks;
mod compare;
mod measure;
mod place;
mod raw;
mod report;
mod settings;
mod table;
mod throughput;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::{measure::Measured, place::Place, settings::Settings};

/// Measures goka for Rust.
#[derive(Parser)]
#[command(name = "goka-bench")]
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
    let place = || Place::open(&settings);
    match what {
        What::Raw => raw::run(&place()?, &settings)?.show(settings.json),
        What::Throughput { compare: None } => {
            throughput::run(&place()?, &settings)?.show(settings.json)
        }
        What::Throughput {
            compare: Some(rounds),
        } => compare::run(&place()?, &settings, rounds),
        What::Measured { task } => {
            let measured = serde_json::from_str::<Task>(&task)?.measure().await?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(true)
        }
    }
}

impl Task {
    async fn measure(&self) -> anyhow::Result<Measured> {
        let Task {
            what,
            settings,
            prefix,
        } = self;
        match what {
            What::Raw => raw::measure(settings, prefix),
            What::Throughput { .. } => throughput::measure(settings, prefix).await,
            What::Measured { .. } => bail!("a process is measured that measures another"),
        }
    }
}
