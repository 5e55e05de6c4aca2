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

use clap::{Parser, Subcommand};

use crate::{measure::Measured, place::Place, report::Report, settings::Settings};

/// Measures goka for Rust.
#[derive(Parser)]
#[command(name = "goka-bench", args_override_self = true)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
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
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let settings = &options.settings;
    if let Some(prefix) = &settings.measured {
        let measured = options.what.measure(settings, prefix).await?;
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(ExitCode::SUCCESS);
    }
    let place = Place::open(settings)?;
    let verified = match options.what {
        What::Throughput {
            compare: Some(rounds),
        } => compare::run(&place, settings, rounds)?,
        what => what.run(&place, settings)?.show(settings.json)?,
    };
    Ok(if verified {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl What {
    /// In the process that is measured.
    async fn measure(&self, settings: &Settings, prefix: &str) -> anyhow::Result<Measured> {
        match self {
            What::Raw => raw::measure(settings, prefix),
            What::Throughput { .. } => throughput::measure(settings, prefix).await,
        }
    }

    /// In this process, which starts the other one.
    fn run(&self, place: &Place, settings: &Settings) -> anyhow::Result<Report> {
        match self {
            What::Raw => raw::run(place, settings),
            What::Throughput { .. } => throughput::run(place, settings),
        }
    }
}
