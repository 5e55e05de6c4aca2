//! The broker of the measurements, its topics, and the processes that are measured.

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

    /// A unique prefix for the topic and group names of a new run.
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

    /// Creates a topic and writes `count` messages to it, unless an earlier run has done this.
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
                "topic `{topic}` holds {there} of {count} messages, because the run that filled it was interrupted; delete \
                 the topic"
            ),
            None => {}
        }
        eprintln!("filling `{topic}` with {count} messages ...");
        self.create_with(topic, partitions, settings)?;
        produce(&self.address, topic, messages);
        Ok(())
    }

    /// Deletes a topic from a real Kafka, to free its disk space.
    pub(crate) fn delete(&self, topic: &str) {
        match &self.broker {
            Which::Embedded(_) => {}
            Which::Kafka(broker) => broker.delete_topic(topic),
        }
    }

    /// Runs a task in a process of its own, and returns what that process measured.
    pub(crate) fn measure(
        &self,
        what: What,
        settings: &Settings,
        prefix: &str,
    ) -> anyhow::Result<Measured> {
        self.measure_together(1, what, settings, prefix)
    }

    /// Runs a task in several processes at the same time, and returns their combined values.
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
            started.context("cannot start the measured process")
        };
        let started: Vec<_> = (0..processes).map(start).collect::<Result<_, _>>()?;
        let is_killed = matches!(&task.what, What::Recover { copy } if copy.is_killed);
        let mut all = Vec::new();
        for process in started {
            let output = process.wait_with_output()?;
            if !output.status.success() && !is_killed {
                bail!("the measured process failed with {}", output.status);
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let measured = serde_json::from_str(&text);
            all.push(measured.with_context(|| {
                format!("the measured process printed no measurement, but `{text}`")
            })?);
        }
        all.into_iter()
            .reduce(Measured::together)
            .context("no process was measured")
    }
}
