//! Where the brokers are: those that run already, or one that this program starts and may kill.

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

    /// As if its machine had lost its power, but for the machine's own memory.
    pub(crate) fn kill_and_start_again(&mut self) -> anyhow::Result<()> {
        let Host::Ours(kafka) = self else {
            bail!("a broker can be killed only if it is ours, see --kafka-dir");
        };
        kafka.kill();
        kafka.start_again();
        Ok(())
    }
}
