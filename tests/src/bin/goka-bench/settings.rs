//! The settings that all measurements share. Must not know what is measured.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

#[derive(Args, Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Settings {
    /// Bootstrap servers, or `embedded`: a broker in this process that keeps 5 MB per partition.
    #[arg(long, global = true, default_value = "127.0.0.1:9092")]
    pub(crate) brokers: String,
    /// Number of messages in the input before the measurement begins.
    #[arg(long, global = true, default_value_t = 2_000_000)]
    pub(crate) messages: u64,
    /// Number of users, which is the number of rows of the table.
    #[arg(long, global = true, default_value_t = 100_000)]
    pub(crate) users: u64,
    /// Partitions of each topic.
    #[arg(long, global = true, default_value_t = 4)]
    pub(crate) partitions: i32,
    /// Worker threads per process.
    #[arg(long, global = true, default_value_t = 2)]
    pub(crate) workers: usize,
    /// Number of processes that share the partitions, for `throughput`.
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) processes: usize,
    /// Guarantee of the processor; at-least-once by default.
    #[arg(long, global = true)]
    pub(crate) guarantee: Option<Guarantee>,
    /// Commit interval, for example `100ms`; goka's default if not set.
    #[arg(long = "commit-interval", global = true, value_parser = milliseconds)]
    pub(crate) commit_interval_ms: Option<u64>,
    /// Size of values in the input and in the table, in bytes; rows are then MessagePack. By default, a click is a
    /// short text and a row is a number.
    #[arg(long, global = true)]
    pub(crate) value_bytes: Option<usize>,
    /// Prints one line of JSON per run.
    #[arg(long, global = true)]
    #[serde(skip)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Guarantee {
    #[default]
    AtLeastOnce,
    ExactlyOnce,
}

impl From<Guarantee> for goka::Guarantee {
    fn from(guarantee: Guarantee) -> Self {
        match guarantee {
            Guarantee::AtLeastOnce => goka::Guarantee::AtLeastOnce,
            Guarantee::ExactlyOnce => goka::Guarantee::ExactlyOnce,
        }
    }
}

impl Settings {
    pub(crate) fn guarantee(&self) -> Guarantee {
        self.guarantee.unwrap_or_default()
    }

    pub(crate) fn with_guarantee(&self, guarantee: Guarantee) -> Settings {
        Settings {
            guarantee: Some(guarantee),
            ..self.clone()
        }
    }

    /// The configuration of goka. Settings that this struct does not have are taken from environment variables, as
    /// usual.
    pub(crate) fn config(&self, prefix: &str) -> anyhow::Result<goka::Config> {
        let config = goka::Config::from_env()?
            .brokers(&self.brokers)
            .prefix(prefix)
            .workers(self.workers)
            .guarantee(self.guarantee().into());
        Ok(match self.commit_interval_ms {
            Some(interval) => config.commit_interval(Duration::from_millis(interval)),
            None => config,
        })
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}
