//! The command line that the composed applications have in common: which part to run, and where.

use std::{env, net::SocketAddr, path::PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use goka::Config;

/// What each of them can be told.
#[derive(Args)]
pub struct Options {
    /// Which part to run; without it all of them, on a broker inside this process.
    #[arg(value_enum)]
    pub role: Option<Role>,

    /// What the emitter does.
    #[command(flatten)]
    pub load: Load,

    /// Where the service listens; port 0 takes a free one, and the address is printed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,

    /// Where the broker is, and where state is kept.
    #[command(flatten)]
    pub place: Place,
}

/// The parts of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Simulates users, and writes what they do to a stream.
    Emitter,
    /// Handles the stream, and keeps the table. Run as many as there are partitions.
    Processor,
    /// Answers from a local copy of the table, by HTTP. Run as many as you like.
    Service,
}

/// What simulated users do.
#[derive(Args, Clone)]
pub struct Load {
    /// How many users there are (emitter).
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,

    /// Messages a second; 0 is as fast as it goes (emitter).
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub rate: u64,

    /// Ends when the broker has N messages (emitter).
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,
}

/// Where a program finds what it needs.
#[derive(Args)]
pub struct Place {
    /// Addresses of Kafka brokers, separated by commas [default: with a role localhost:9092, without one `embedded`].
    #[arg(long, value_name = "ADDRESSES", env = "GOKA_BROKERS")]
    pub brokers: Option<String>,

    /// Where local copies of tables are kept [default: a directory of the user's own; on the embedded broker a
    /// temporary one]. Each process needs its own.
    #[arg(long, value_name = "DIRECTORY", env = "GOKA_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Partitions of streams, where they have to be created.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
}

const EMBEDDED: &str = "embedded";

impl Place {
    /// Environment variables of goka, then the command line. What runs `alone`, with all its parts in this process,
    /// needs no Kafka.
    ///
    /// # Errors
    /// If a variable of goka is malformed, or a part of many is to run on a broker that no other part can reach.
    pub fn config(&self, alone: bool) -> Result<Config> {
        let mut config = Config::from_env()?;
        let default = alone.then_some(EMBEDDED);
        let brokers = self.brokers.as_deref().or(default);
        if let Some(brokers) = brokers {
            config = config.brokers(brokers);
        }
        if brokers == Some(EMBEDDED) {
            if !alone {
                bail!(
                    "the embedded broker lives in one process, so a role alone cannot reach another's; \
                     run `cargo run --example broker` and give --brokers the address that it prints"
                );
            }
            if env::var_os("GOKA_WORKERS").is_none() {
                // That broker takes seconds to give partitions to a second member of a group.
                config = config.workers(1);
            }
        }
        if let Some(state_dir) = &self.state_dir {
            config = config.state_dir(state_dir);
        }
        Ok(config)
    }

    /// `config` with these streams created, where they are missing: for the programs that write to them.
    #[must_use]
    pub fn create(&self, config: Config, streams: &[&str]) -> Config {
        let create = |config: Config, stream: &&str| config.create_stream(*stream, self.partitions);
        streams.iter().fold(config, create)
    }
}
