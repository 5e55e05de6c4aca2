//! Command line options that the programs of several applications share: which part to run, and where.

use std::{env, net::SocketAddr, path::PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use goka::Config;

/// Command line options of an application that consists of several programs.
#[derive(Args)]
pub struct Options {
    /// Which part to run; without it, all parts, on an embedded broker in this process.
    #[arg(value_enum)]
    pub role: Option<Role>,

    /// What the emitter does.
    #[command(flatten)]
    pub load: Load,

    /// Address that the service listens on, which it prints; port 0 chooses a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,

    /// Where the broker is, and where state is kept.
    #[command(flatten)]
    pub place: Place,
}

/// The parts of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Simulates users, and writes their actions to a stream.
    Emitter,
    /// Handles the stream and keeps the table. Run at most one process per partition.
    Processor,
    /// Answers HTTP requests from a local copy of the table. Run any number of processes.
    Service,
}

/// Load that the simulated users generate.
#[derive(Args, Clone)]
pub struct Load {
    /// Number of users (emitter).
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,

    /// Messages per second; 0 is as fast as possible (emitter).
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub rate: u64,

    /// Ends when the broker has acknowledged N messages (emitter).
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,
}

/// Brokers, state directory and partitions.
#[derive(Args)]
pub struct Place {
    /// Addresses of Kafka brokers, separated by commas [default: localhost:9092 with a role, `embedded` without one].
    #[arg(long, value_name = "ADDRESSES", env = "GOKA_BROKERS")]
    pub brokers: Option<String>,

    /// Directory of the local copies of tables [default: a directory of the user; on the embedded broker, a temporary
    /// directory]. Each process needs its own.
    #[arg(long, value_name = "DIRECTORY", env = "GOKA_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Number of partitions of streams that the program creates.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
}

const EMBEDDED: &str = "embedded";

impl Place {
    /// The configuration from goka's environment variables, overridden by the command line. A program that runs
    /// `alone`, with all parts in one process, uses the embedded broker by default.
    ///
    /// # Errors
    /// If one of goka's variables is malformed, or if a single part is to use an embedded broker, which no other part
    /// can reach.
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
                    "separate processes cannot share an embedded broker, which runs inside one process; start a shared \
                     broker with `cargo run --example broker`, and pass the printed address to `--brokers`"
                );
            }
            if env::var_os("GOKA_WORKERS").is_none() {
                // The embedded broker takes seconds to assign partitions to a second member of a group.
                config = config.workers(1);
            }
        }
        if let Some(state_dir) = &self.state_dir {
            config = config.state_dir(state_dir);
        }
        Ok(config)
    }

    /// Lets `config` create the streams that are missing. Call this in programs that write to the streams.
    #[must_use]
    pub fn create(&self, config: Config, streams: &[&str]) -> Config {
        let create = |config: Config, stream: &&str| config.create_stream(*stream, self.partitions);
        streams.iter().fold(config, create)
    }
}
