//! What the broker says of the topics and of the group: how far it has come, and whether anything is undecided.

use std::{collections::BTreeMap, time::Duration};

use goka_tests::Broker;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

const ANSWER: Duration = Duration::from_secs(30);

/// The broker, and the names of this run on it.
pub(crate) struct Cluster {
    pub(crate) address: String,
    pub(crate) prefix: String,
    pub(crate) partitions: i32,
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

impl Cluster {
    pub(crate) fn connect(address: &str, prefix: String, partitions: i32) -> anyhow::Result<Self> {
        let group = format!("{prefix}chaos");
        let consumer = |isolation: &str| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", address);
            config.set("group.id", &group);
            config.set("isolation.level", isolation);
            config.create()
        };
        Ok(Cluster {
            address: address.to_owned(),
            partitions,
            committed: consumer("read_committed")?,
            uncommitted: consumer("read_uncommitted")?,
            prefix,
        })
    }

    /// Creates what the group does not create itself.
    pub(crate) fn create_topics(&self) {
        let broker = Broker::kafka(&self.address);
        for topic in [self.input(), self.output()] {
            broker.create_topic(&topic, self.partitions);
        }
    }

    pub(crate) fn input(&self) -> String {
        format!("{}numbers", self.prefix)
    }

    pub(crate) fn output(&self) -> String {
        format!("{}echo", self.prefix)
    }

    pub(crate) fn loopback(&self) -> String {
        format!("{}chaos-loop", self.prefix)
    }

    pub(crate) fn table(&self) -> String {
        format!("{}chaos-state", self.prefix)
    }

    /// A partition whose records are not all handled yet, for people.
    pub(crate) fn left(&self) -> anyhow::Result<Option<String>> {
        for topic in [self.input(), self.loopback()] {
            for partition in 0..self.partitions {
                let stands = self.committed_in(&topic, partition)?.unwrap_or(0);
                let (_, end) = self.committed.fetch_watermarks(&topic, partition, ANSWER)?;
                if stands < end && !self.is_end(&topic, partition, stands)? {
                    let place = format!("`{topic}` partition {partition}");
                    return Ok(Some(format!(
                        "{place} is handled up to offset {stands} of {end}"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Where the group goes on in each partition of a topic.
    pub(crate) fn committed(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        (0..self.partitions)
            .map(|partition| Ok((partition, self.committed_in(topic, partition)?.unwrap_or(0))))
            .collect()
    }

    fn committed_in(&self, topic: &str, partition: i32) -> anyhow::Result<Option<i64>> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let answer = self.committed.committed_offsets(asked, ANSWER)?;
        Ok(
            match answer.elements().first().map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            },
        )
    }

    /// Whether no committed record is at or behind an offset: what stands there are markers, and what was aborted.
    fn is_end(&self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<bool> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.address)
            .set("group.id", "goka-chaos-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        consumer.assign(&assigned)?;
        let event = consumer.poll(ANSWER);
        Ok(matches!(event, Some(Err(KafkaError::PartitionEOF(_)))))
    }

    /// Partitions with a transaction that is neither committed nor aborted: where what is decided ends before the log
    /// does.
    pub(crate) fn undecided(&self) -> anyhow::Result<BTreeMap<(String, i32), (i64, i64)>> {
        let mut undecided = BTreeMap::new();
        for topic in [self.input(), self.output(), self.loopback(), self.table()] {
            for partition in 0..self.partitions {
                let (_, end) = self
                    .uncommitted
                    .fetch_watermarks(&topic, partition, ANSWER)?;
                let (_, decided) = self.committed.fetch_watermarks(&topic, partition, ANSWER)?;
                if decided < end {
                    undecided.insert((topic.clone(), partition), (decided, end));
                }
            }
        }
        Ok(undecided)
    }
}
