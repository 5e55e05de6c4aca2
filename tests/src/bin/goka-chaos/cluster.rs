//! Queries the broker: for the committed offsets of the group, and for open transactions.

use std::{collections::BTreeMap, time::Duration};

use goka_tests::Broker;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

const ANSWER: Duration = Duration::from_secs(30);

/// The broker of a run, and the names of the run's topics.
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

    /// Creates the topics that the group does not create by itself.
    pub(crate) fn create_topics(&self) {
        let broker = Broker::kafka(&self.address);
        for topic in [self.input(), self.output(), self.first()] {
            broker.create_topic(&topic, self.partitions);
        }
    }

    pub(crate) fn input(&self) -> String {
        format!("{}numbers", self.prefix)
    }

    pub(crate) fn output(&self) -> String {
        format!("{}echo", self.prefix)
    }

    /// The output with a record for each input record that finds no row of its key.
    pub(crate) fn first(&self) -> String {
        format!("{}first", self.prefix)
    }

    pub(crate) fn loopback(&self) -> String {
        format!("{}chaos-loop", self.prefix)
    }

    pub(crate) fn table(&self) -> String {
        format!("{}chaos-state", self.prefix)
    }

    /// Describes the first partition that has unprocessed records; `None` if the group has processed everything.
    pub(crate) fn left(&self) -> anyhow::Result<Option<String>> {
        for topic in [self.input(), self.loopback()] {
            for partition in 0..self.partitions {
                let offset = self.committed_in(&topic, partition)?.unwrap_or(0);
                let (_, end) = self.committed.fetch_watermarks(&topic, partition, ANSWER)?;
                if offset < end && !self.is_end(&topic, partition, offset)? {
                    let place = format!("`{topic}` partition {partition}");
                    return Ok(Some(format!(
                        "{place}: committed offset {offset}, end offset {end}"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// The group's committed offset in each partition of a topic; 0 where the group has committed none.
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

    /// Whether there is no committed record at `offset` or later. Transaction markers and aborted records do not count.
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

    /// Maps each partition with an open transaction to its last stable offset and its end offset.
    pub(crate) fn undecided(&self) -> anyhow::Result<BTreeMap<(String, i32), (i64, i64)>> {
        let mut undecided = BTreeMap::new();
        let topics = [
            self.input(),
            self.output(),
            self.first(),
            self.loopback(),
            self.table(),
        ];
        for topic in topics {
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
