//! The embedded broker, alone in a process: a Kafka for a laptop, which several programs can use.
//!
//! It keeps at most 5 MB a partition, and nothing when it ends.

use std::{process::ExitCode, str::FromStr};

use anyhow::{Context, Error, Result};
use clap::Parser;
use goka::EmbeddedBroker;

/// Runs a small Kafka in this process, prints its address, and goes on until Ctrl-C.
///
/// It keeps at most 5 MB a partition, and nothing when it ends.
#[derive(Parser)]
struct Options {
    /// Creates a topic, for example `user-clicks:4`; may be given several times.
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
        let (name, partitions) = text
            .rsplit_once(':')
            .context("write a name, a colon and a number")?;
        let partitions = partitions
            .parse()
            .context("behind the colon stands the number of partitions")?;
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
