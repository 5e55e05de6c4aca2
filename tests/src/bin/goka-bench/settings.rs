//! What all measurements have in common. Must not know what is measured.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Settings {
    /// Addresses of brokers, or `embedded` for one inside this process, which keeps 5 MB a partition.
    #[arg(long, global = true, default_value = "127.0.0.1:9092")]
    pub(crate) brokers: String,
    /// Messages that are there before the measurement begins.
    #[arg(long, global = true, default_value_t = 2_000_000)]
    pub(crate) messages: u64,
    /// Users that click: the rows of the table.
    #[arg(long, global = true, default_value_t = 100_000)]
    pub(crate) users: u64,
    /// Partitions of each topic.
    #[arg(long, global = true, default_value_t = 4)]
    pub(crate) partitions: i32,
    /// Threads that handle messages.
    #[arg(long, global = true, default_value_t = 2)]
    pub(crate) workers: usize,
    /// What a failure may do to the result; at-least-once unless said.
    #[arg(long, global = true)]
    pub(crate) guarantee: Option<Guarantee>,
    /// Time between two commits, for example `100ms`; goka's default unless said.
    #[arg(long, global = true, value_parser = humantime::parse_duration)]
    #[serde(serialize_with = "milliseconds", rename = "commit_interval_ms")]
    pub(crate) commit_interval: Option<Duration>,
    /// Size of values, here and in the table, which then are MessagePack; unless said, a click is a short text and a row
    /// a number.
    #[arg(long, global = true)]
    pub(crate) value_bytes: Option<usize>,
    /// Prints a line of JSON for each run.
    #[arg(long, global = true)]
    #[serde(skip)]
    pub(crate) json: bool,
    /// This process is the one that is measured, on topics that begin so.
    #[arg(long, global = true, hide = true)]
    #[serde(skip)]
    pub(crate) measured: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
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

    /// For goka, whose other settings come from the environment as usual.
    pub(crate) fn config(&self, prefix: &str) -> anyhow::Result<goka::Config> {
        let config = goka::Config::from_env()?
            .brokers(&self.brokers)
            .prefix(prefix)
            .workers(self.workers)
            .guarantee(self.guarantee().into());
        Ok(match self.commit_interval {
            Some(interval) => config.commit_interval(interval),
            None => config,
        })
    }
}

fn milliseconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64() * 1000.0)
        .serialize(serializer)
}
