//! The command line of `clicks`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use goka::Config;

/// Counts the clicks of simulated users.
///
/// An emitter writes them to Kafka, a processor counts them, a view shows the counts.
#[derive(Parser)]
pub(crate) struct Options {
    /// Which part to run; without it all of them, on a broker inside this process.
    #[arg(value_enum)]
    pub(crate) role: Option<Role>,

    /// Addresses of Kafka brokers, separated by commas [default: with a role localhost:9092, without one `embedded`].
    #[arg(long, value_name = "ADDRESSES", env = "GOKA_BROKERS")]
    brokers: Option<String>,

    /// Where the processor and the view keep their local copies of the table [default: a directory of the user's own;
    /// on the embedded broker a temporary one]. Each process needs its own.
    #[arg(long, value_name = "DIRECTORY", env = "GOKA_STATE_DIR")]
    state_dir: Option<PathBuf>,

    /// How many users click (emitter).
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) users: u64,

    /// Clicks a second; 0 is as fast as it goes (emitter).
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rate: u64,

    /// Partitions of `user-clicks`, where it has to be created (emitter).
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,

    /// Threads that count [default: the cores, at most one a partition] (processor).
    #[arg(long, value_name = "N", env = "GOKA_WORKERS", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,

    /// Ends after N clicks: when the broker has them (emitter), when the table's sum reaches N (view), when both are so
    /// (without a role: it prints `total N`, and succeeds only if the sum is exactly N).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) clicks: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Simulates users, and writes their clicks to the topic `user-clicks`.
    Emitter,
    /// Counts clicks into the table of the group `my-group`. Run as many as you like.
    Processor,
    /// Shows the table.
    View,
}

const EMBEDDED: &str = "embedded";

impl Options {
    /// Refuses what makes no sense together.
    pub(crate) fn check(&self) -> Result<()> {
        if self.role == Some(Role::Processor) && self.clicks.is_some() {
            bail!(
                "a processor does not know how many clicks will come, so it takes no --clicks; give it to the view"
            );
        }
        if self.role.is_some() && self.brokers.as_deref() == Some(EMBEDDED) {
            bail!(
                "the embedded broker lives in one process, so a role alone cannot reach another's; \
                 run `cargo run --example broker` and give --brokers the address that it prints"
            );
        }
        Ok(())
    }

    /// Environment variables of goka, then the command line.
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
