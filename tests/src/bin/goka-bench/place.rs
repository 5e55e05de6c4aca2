//! The broker that is measured on, its topics, and the processes that are measured on it.

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use goka::EmbeddedBroker;
use goka_tests::{Broker, Message, produce, unique};

use crate::{Task, What, measure::Measured, settings::Settings};

pub(crate) struct Place {
    address: String,
    broker: Which,
}

enum Which {
    Embedded(EmbeddedBroker),
    Kafka(Broker),
}

impl Place {
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Place> {
        if settings.brokers == "embedded" {
            let broker = EmbeddedBroker::start()?;
            return Ok(Place {
                address: broker.address().to_owned(),
                broker: Which::Embedded(broker),
            });
        }
        Ok(Place {
            address: settings.brokers.clone(),
            broker: Which::Kafka(Broker::kafka(&settings.brokers)),
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How names of a new run begin.
    pub(crate) fn prefix(&self) -> String {
        unique("goka-bench") + "-"
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        self.create_with(topic, partitions, &[])
    }

    pub(crate) fn create_with(
        &self,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        match &self.broker {
            Which::Embedded(broker) => broker.create_topic(topic, partitions)?,
            Which::Kafka(broker) => broker.create_topic_with(topic, partitions, settings),
        }
        Ok(())
    }

    /// Creates a topic of `count` messages. One that has been filled by an earlier run is used again.
    pub(crate) fn fill(
        &self,
        topic: &str,
        partitions: i32,
        count: u64,
        settings: &[(&str, &str)],
        messages: impl IntoIterator<Item = Message>,
    ) -> anyhow::Result<()> {
        let there = match &self.broker {
            Which::Embedded(_) => None,
            Which::Kafka(broker) => broker.count_offsets(topic),
        };
        match there {
            Some(there) if there == count => return Ok(()),
            Some(there) => bail!(
                "the topic `{topic}` holds {there} of {count} messages: it was filled by a run that was interrupted; \
                 delete it"
            ),
            None => {}
        }
        eprintln!("filling `{topic}` with {count} messages ...");
        self.create_with(topic, partitions, settings)?;
        produce(&self.address, topic, messages);
        Ok(())
    }

    /// Gives the room of a topic back.
    pub(crate) fn delete(&self, topic: &str) {
        match &self.broker {
            Which::Embedded(_) => {}
            Which::Kafka(broker) => broker.delete_topic(topic),
        }
    }

    /// Runs what is to be measured in a process of its own.
    pub(crate) fn measure(
        &self,
        what: What,
        settings: &Settings,
        prefix: &str,
    ) -> anyhow::Result<Measured> {
        self.measure_together(1, what, settings, prefix)
    }

    /// The same in several, which do it together.
    pub(crate) fn measure_together(
        &self,
        processes: usize,
        what: What,
        settings: &Settings,
        prefix: &str,
    ) -> anyhow::Result<Measured> {
        let task = Task {
            what,
            settings: Settings {
                brokers: self.address.clone(),
                ..settings.clone()
            },
            prefix: prefix.to_owned(),
        };
        let program = env::current_exe().context("cannot find this program")?;
        let arguments = ["measured", &serde_json::to_string(&task)?];
        let start = |_| {
            let mut command = Command::new(&program);
            command.args(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::inherit());
            let started = command.spawn();
            started.context("cannot start the process that is measured")
        };
        let started: Vec<_> = (0..processes).map(start).collect::<Result<_, _>>()?;
        let is_killed = matches!(&task.what, What::Recover { copy } if copy.is_killed);
        let mut all = Vec::new();
        for process in started {
            let output = process.wait_with_output()?;
            if !output.status.success() && !is_killed {
                bail!("the process that was measured ended with {}", output.status);
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let measured = serde_json::from_str(&text);
            all.push(measured.with_context(|| format!("it printed no measurement: `{text}`"))?);
        }
        all.into_iter()
            .reduce(Measured::together)
            .context("no process was measured")
    }
}
