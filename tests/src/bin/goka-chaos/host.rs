//! The broker of a run: either a broker that is running already, or a broker that goka-chaos starts and may kill.

use std::path::Path;

use anyhow::bail;
use goka_tests::Kafka;

pub(crate) enum Host {
    Theirs(String),
    Ours(Kafka),
}

impl Host {
    pub(crate) fn start(directory: &Path) -> Host {
        Host::Ours(Kafka::start_in(directory))
    }

    pub(crate) fn address(&self) -> String {
        match self {
            Host::Theirs(address) => address.clone(),
            Host::Ours(kafka) => kafka.broker().address().to_owned(),
        }
    }

    /// Kills the broker with SIGKILL, and restarts it with the same data.
    pub(crate) fn kill_and_start_again(&mut self) -> anyhow::Result<()> {
        let Host::Ours(kafka) = self else {
            bail!("goka-chaos can only kill a broker that it has started: set --kafka-dir");
        };
        kafka.kill();
        kafka.start_again();
        Ok(())
    }
}
