//! The command line of `clicks`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use goka::Config;

/// Counts clicks by simulated users.
///
/// An emitter writes the clicks to Kafka, a processor counts them, and a view shows the counts.
#[derive(Parser)]
pub(crate) struct Options {
    /// Which part to run; without it, all parts, on an embedded broker in this process.
    #[arg(value_enum)]
    pub(crate) role: Option<Role>,

    /// Addresses of Kafka brokers, separated by commas [default: localhost:9092 with a role, `embedded` without one].
    #[arg(long, value_name = "ADDRESSES", env = "GOKA_BROKERS")]
    brokers: Option<String>,

    /// Directory of the local copies of the table, for processor and view [default: a directory of the user; on the
    /// embedded broker, a temporary directory]. Each process needs its own.
    #[arg(long, value_name = "DIRECTORY", env = "GOKA_STATE_DIR")]
    state_dir: Option<PathBuf>,

    /// Number of users (emitter).
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) users: u64,

    /// Clicks per second; 0 is as fast as possible (emitter).
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rate: u64,

    /// Number of partitions of `user-clicks`, if the emitter has to create it (emitter).
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,

    /// Worker threads [default: the number of cores, at most one per partition] (processor).
    #[arg(long, value_name = "N", env = "GOKA_WORKERS", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,

    /// Ends after N clicks: when the broker has acknowledged them (emitter), or when the sum of the table reaches N
    /// (view). Without a role, ends when both are true, prints `total N`, and succeeds only if the sum is exactly N.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) clicks: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Simulates users and writes their clicks to the topic `user-clicks`.
    Emitter,
    /// Counts clicks in the table of the group `my-group`. Run at most one process per partition.
    Processor,
    /// Shows the table.
    View,
}

const EMBEDDED: &str = "embedded";

impl Options {
    /// Refuses options that exclude each other.
    pub(crate) fn check(&self) -> Result<()> {
        if self.role == Some(Role::Processor) && self.clicks.is_some() {
            bail!(
                "--clicks does not apply to a processor, which does not know how many clicks will come; give it to the view"
            );
        }
        if self.role.is_some() && self.brokers.as_deref() == Some(EMBEDDED) {
            bail!(
                "separate processes cannot share an embedded broker, which runs inside one process; start a shared \
                 broker with `cargo run --example broker`, and pass the printed address to `--brokers`"
            );
        }
        Ok(())
    }

    /// The configuration from goka's environment variables, overridden by the command line.
    pub(crate) fn config(&self) -> Result<Config> {
        let mut config = Config::from_env()?;
        if matches!(self.role, None | Some(Role::Emitter)) {
            config = config.create_stream("user-clicks", self.partitions);
        }
        match (&self.brokers, self.role) {
            (Some(brokers), _) => config = config.brokers(brokers),
            (None, None) => config = config.brokers(EMBEDDED),
            (None, Some(_)) => {}
        }
        if let Some(state_dir) = &self.state_dir {
            config = config.state_dir(state_dir);
        }
        if let Some(workers) = self.workers {
            config = config.workers(workers.into());
        }
        Ok(config)
    }
}
