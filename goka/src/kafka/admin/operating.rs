//! Resets a group without members: the group's offsets, and the rows of its changelog. Must not know why a group is
//! reset.

use std::{
    cell::RefCell,
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::AdminOptions,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    base::{
        block::block_on,
        error::Error,
        record::{OwnedHeaders, to_ms},
    },
    engine::port::{SendError, TableEvent},
    kafka::{
        client::{connection::ANSWER, log::ClientLog, settings::Role},
        cluster::Cluster,
        native::request::Commit,
        produce::producer::{Producer, ToSend},
    },
};

/// The position in its inputs at which a group starts after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// The oldest record of each partition.
    Earliest,
    /// The end of each partition: only new records are handled.
    Latest,
    /// The first record of each partition that has this timestamp or a later one. If a partition has no such record,
    /// the end of the partition.
    Time(SystemTime),
}

/// How long a reset waits for the next record that it reads, or for the delivery of its last tombstones, before it
/// fails.
const PATIENCE: Duration = Duration::from_secs(30);

static NO_HEADERS: OwnedHeaders = Vec::new();

impl Cluster {
    /// The offset that `at` stands for in each partition of a topic (logical name), in the order of the partitions.
    pub(crate) fn offsets_at(
        &self,
        topic: &str,
        partitions: i32,
        at: ResetTo,
    ) -> Result<Vec<i64>, Error> {
        let physical = self.names().topic(topic)?;
        let failed = |error: KafkaError| {
            let doing = format!("fetch the offsets of topic `{physical}`");
            Error::kafka(doing, error)
        };
        let client = format!("client for the offsets of topic `{physical}`");
        let reader: BaseConsumer<ClientLog> =
            self.connection().open(Role::Reader, client, |_| {})?;
        let bounds = |partition| {
            let bounds = reader.fetch_watermarks(&physical, partition, ANSWER);
            bounds.map_err(failed)
        };
        match at {
            ResetTo::Earliest => (0..partitions).map(|n| Ok(bounds(n)?.0)).collect(),
            ResetTo::Latest => (0..partitions).map(|n| Ok(bounds(n)?.1)).collect(),
            ResetTo::Time(time) => {
                let mut asked = TopicPartitionList::new();
                for partition in 0..partitions {
                    let time = Offset::Offset(to_ms(time));
                    let added = asked.add_partition_offset(&physical, partition, time);
                    added.map_err(failed)?;
                }
                let found = reader.offsets_for_times(asked, ANSWER).map_err(failed)?;
                let offset = |partition| {
                    let found = found.find_partition(&physical, partition);
                    match found.map(|found| found.offset()) {
                        Some(Offset::Offset(offset)) => Ok(offset),
                        _ => Ok(bounds(partition)?.1),
                    }
                };
                (0..partitions).map(offset).collect()
            }
        }
    }

    /// Deletes a group with all its offsets. Does nothing if there is no such group.
    ///
    /// # Errors
    /// If the group has members.
    pub(crate) fn delete_group(&self, group: &str) -> Result<(), Error> {
        let physical = self.names().group(group)?;
        let failed = |why: String| Error::kafka(format!("delete group `{physical}`"), why);
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let answer = block_on(self.admin().client().delete_groups(&[&physical], &options));
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        match answer.into_iter().next() {
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => Ok(()),
            Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) => {
                Err(failed("the group has members: stop them first".to_owned()))
            }
            Some(Err((_, RDKafkaErrorCode::GroupAuthorizationFailed))) => Err(failed(
                "the broker denies access; grant the ACL `Delete` on the group".to_owned(),
            )),
            Some(Err((_, code))) => Err(failed(code.to_string())),
        }
    }

    /// Commits offsets of topics (logical names), one per partition, to a group without members. The metadata of the
    /// offsets stays empty, which tells instances that an operator has set the offsets.
    pub(crate) fn set_offsets(
        &self,
        group: &str,
        offsets: &[(&str, Vec<i64>)],
    ) -> Result<(), Error> {
        let physical = self.names().group(group)?;
        let doing = || format!("set the offsets of group `{physical}`");
        let client = format!("client that sets offsets of group `{physical}`");
        let consumer: BaseConsumer<ClientLog> =
            self.connection().open(Role::Reader, client, |settings| {
                settings.set("group.id", &physical);
            })?;
        let mut list = TopicPartitionList::new();
        for (topic, offsets) in offsets {
            let topic = self.names().topic(topic)?;
            for (partition, offset) in (0..).zip(offsets) {
                let added = list.add_partition_offset(&topic, partition, Offset::Offset(*offset));
                added.map_err(|error| Error::kafka(doing(), error))?;
            }
        }
        // SAFETY: the consumer is dropped after the commit.
        let commit = unsafe { Commit::begin(consumer.client(), &list) };
        let taken = commit.and_then(|commit| {
            let answer = commit.answer(ANSWER);
            let answer = answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut.into()));
            answer.map_err(|refused| refused.code)
        });
        taken.map_err(|code| Error::kafka(doing(), code))
    }

    /// Writes a tombstone for every row of a changelog and returns the number of tombstones. Views and joins of other
    /// programs see the rows disappear.
    pub(crate) fn empty_table(&self, topic: &str, partitions: i32) -> Result<u64, Error> {
        let grave = Grave::open(self, topic)?;
        let reader = self.reader(topic)?;
        let mut tombstones = 0;
        for partition in 0..partitions {
            let (begin, end) = reader.bounds(partition)?;
            if begin == end {
                continue;
            }
            reader.start(partition, begin)?;
            let mut done = false;
            while !done {
                let mut result = Ok(());
                let some = reader.poll(PATIENCE, &mut |event| match event {
                    // This record was written after the reset had begun: a tombstone of the reset itself, for example.
                    TableEvent::Record(row) if row.offset >= end => done = true,
                    TableEvent::Record(row) => {
                        done = row.offset + 1 == end;
                        if let (Some(key), Some(_)) = (row.key, row.value) {
                            tombstones += 1;
                            result = grave.bury(partition, key);
                        }
                    }
                    TableEvent::End { .. } => done = true,
                    TableEvent::OutOfRange { .. } => result = Err(moved(topic)),
                    TableEvent::Failed(error) => result = Err(error),
                });
                result?;
                if !some {
                    return Err(Error::kafka(
                        format!("read changelog `{topic}`"),
                        format!(
                            "no record came for {} s: check the brokers, and reset the group again",
                            PATIENCE.as_secs()
                        ),
                    ));
                }
            }
            reader.stop(partition)?;
        }
        grave.close()?;
        Ok(tombstones)
    }
}

fn moved(topic: &str) -> Error {
    let doing = format!("read changelog `{topic}`");
    Error::kafka(
        doing,
        "records were deleted during the reset: reset the group again",
    )
}

/// Writes tombstones to one topic.
struct Grave {
    producer: Producer,
    /// The reason why the first tombstone that failed was not delivered.
    failure: RefCell<Option<String>>,
}

impl Grave {
    fn open(cluster: &Cluster, topic: &str) -> Result<Self, Error> {
        let (client, topic) = (
            format!("writer of tombstones to topic `{topic}`"),
            [topic.to_owned()],
        );
        let connection = cluster.connection();
        let producer = Producer::open(connection, Role::Emitter, client, &topic, None)?;
        Ok(Grave {
            producer,
            failure: RefCell::default(),
        })
    }

    fn bury(&self, partition: i32, key: &[u8]) -> Result<(), Error> {
        let record = ToSend {
            target: 0,
            partition,
            key: Some(key),
            value: None,
            timestamp: to_ms(SystemTime::now()),
            headers: &NO_HEADERS,
            opaque: 0,
        };
        loop {
            match self.producer.send(&record) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => self.serve(Duration::from_millis(10))?,
                Err(SendError::Refused(error)) => return Err(error),
            }
        }
    }

    fn serve(&self, wait: Duration) -> Result<(), Error> {
        self.producer.serve(wait, &mut |report| {
            if let Err(why) = report.result {
                self.failure.borrow_mut().get_or_insert(why.reason.into());
            }
        });
        let failure = self.failure.borrow_mut().take();
        failure.map_or(Ok(()), |why| {
            let topic = self.producer.physical(0);
            let doing = format!("write tombstones to changelog `{topic}`");
            Err(Error::kafka(doing, why))
        })
    }

    /// Waits until all tombstones are delivered.
    fn close(self) -> Result<(), Error> {
        let give_up = Instant::now() + PATIENCE;
        while self.producer.in_flight() > 0 {
            self.serve(Duration::from_millis(100))?;
            if Instant::now() > give_up {
                let topic = self.producer.physical(0);
                let doing = format!("write tombstones to changelog `{topic}`");
                return Err(Error::kafka(
                    doing,
                    "the broker does not acknowledge the tombstones: check the brokers, and reset the group again",
                ));
            }
        }
        Ok(())
    }
}
