//! The embedded broker as a process of its own: a Kafka for a laptop that several programs can use.
//!
//! The broker keeps at most 5 MB per partition, and forgets everything when it ends.

use std::{process::ExitCode, str::FromStr};

use anyhow::{Context, Error, Result};
use clap::Parser;
use goka::EmbeddedBroker;

/// Runs an embedded broker, prints its address, and ends at Ctrl-C.
///
/// The broker keeps at most 5 MB per partition, and forgets everything when it ends.
#[derive(Parser)]
struct Options {
    /// Creates a topic, for example `user-clicks:4`; may be repeated.
    #[arg(long, value_name = "NAME:PARTITIONS")]
    topic: Vec<Topic>,
}

#[derive(Clone)]
struct Topic {
    name: String,
    partitions: i32,
}

impl FromStr for Topic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Topic> {
        let (name, partitions) = text.rsplit_once(':').context("expected NAME:PARTITIONS")?;
        let partitions = partitions
            .parse()
            .context("expected a number of partitions after the colon")?;
        Ok(Topic {
            name: name.to_owned(),
            partitions,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    goka_examples::log_quietly();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let broker = EmbeddedBroker::start()?;
    for topic in &options.topic {
        broker.create_topic(&topic.name, topic.partitions)?;
    }
    println!("{}", broker.address());
    Ok(goka_examples::asked_to_end().await?)
}
