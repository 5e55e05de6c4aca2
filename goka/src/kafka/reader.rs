//! The implementation of [`Reader`] with rdkafka: a consumer of one topic that joins no group. Must not know what the
//! topic is for.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
};

use super::{
    client::{
        connection::{Connection, SOON},
        metadata::partitions,
        settings::Role,
    },
    native::{
        event::Kind,
        fetch::FetchingConsumer,
        message::TopicHandle,
        request::{last_heard_end, topic_id},
    },
};
use crate::base::{
    error::Error,
    record::{Headers, Record},
};
use crate::engine::port::{Reader, TableEvent};

pub(crate) struct TopicReader {
    // Declared before the client (in `consumer`), which must be dropped last.
    topic: TopicHandle,
    physical: String,
    /// The partitions that are being read, each with the offset of the record that is expected next. Records below
    /// that offset are ignored: librdkafka may still hold records that it fetched before the partition was stopped.
    reading: RefCell<BTreeMap<i32, i64>>,
    consumer: FetchingConsumer,
}

impl TopicReader {
    pub(crate) fn open(connection: &Connection, topic: &str) -> Result<Self, Error> {
        let physical = connection.names.topic(topic)?;
        let opened: BaseConsumer<_> = connection.open(
            Role::Reader,
            format!("reader of topic `{physical}`"),
            |_| {},
        )?;
        let consumer = FetchingConsumer::new(opened)?;
        let native = consumer.client().client();
        partitions(native, &physical)?;
        // SAFETY: the client is alive. It becomes a field that is dropped after its topic.
        let topic = unsafe { TopicHandle::new(native.native_ptr(), &physical)? };
        Ok(TopicReader {
            topic,
            physical,
            reading: RefCell::default(),
            consumer,
        })
    }

    pub(crate) fn physical(&self) -> &str {
        &self.physical
    }

    fn list(&self, partition: i32, offset: Offset) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.physical, partition, offset)
            .map_err(|error| self.failed("address", partition, error))?;
        Ok(list)
    }

    fn failed(
        &self,
        doing: &str,
        partition: i32,
        error: impl Into<crate::base::error::BoxError>,
    ) -> Error {
        let topic = &self.physical;
        Error::kafka(
            format!("{doing} topic `{topic}`, partition {partition}"),
            error,
        )
    }

    /// The event that the caller gets for `kind`; `None` if the caller has no use for such an event.
    fn event<'e>(&self, kind: &'e Kind<'_>) -> Option<TableEvent<'e>> {
        match kind {
            Kind::Record(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                let mut reading = self.reading.borrow_mut();
                let next = reading.get_mut(&partition)?;
                if offset < *next || !message.is_of(&self.topic) {
                    return None;
                }
                *next = offset + 1;
                Some(TableEvent::Record(Record {
                    partition,
                    offset,
                    timestamp: message.timestamp(),
                    key: message.key(),
                    value: message.value(),
                    headers: Headers(Some(message)),
                }))
            }
            Kind::Failed(failure) => {
                use RDKafkaErrorCode::*;
                let partition = failure.partition.as_ref().map(|(_, partition)| *partition);
                let started =
                    partition.filter(|partition| self.reading.borrow().contains_key(partition));
                match (failure.code, started) {
                    (PartitionEOF, started) => {
                        let partition = started?;
                        let mut reading = self.reading.borrow_mut();
                        let next = reading.get_mut(&partition)?;
                        // The end may be above the next offset, because transaction markers may follow the last
                        // record.
                        *next = failure.offset.max(*next);
                        Some(TableEvent::End { partition })
                    }
                    (AutoOffsetReset | OffsetOutOfRange, started) => {
                        started.map(|partition| TableEvent::OutOfRange { partition })
                    }
                    (TopicAuthorizationFailed, _) => Some(TableEvent::Failed(Error::kafka(
                        format!("read topic `{}`", self.physical),
                        "the broker denies access; grant the ACL `Read` on the topic",
                    ))),
                    (code, _) if failure.fatal => Some(TableEvent::Failed(Error::kafka(
                        format!("read topic `{}`", self.physical),
                        format!("{code}: {}", failure.reason),
                    ))),
                    (code, _) => {
                        let context = self.consumer.client().context();
                        context.error(code, &failure.reason);
                        None
                    }
                }
            }
            _ => None,
        }
    }
}

impl Reader for TopicReader {
    fn start(&self, partition: i32, from: i64) -> Result<(), Error> {
        self.stop(partition)?;
        let list = self.list(partition, Offset::Offset(from))?;
        self.consumer
            .assign(&list)
            .map_err(|error| self.failed("read", partition, error))?;
        self.reading.borrow_mut().insert(partition, from);
        Ok(())
    }

    fn stop(&self, partition: i32) -> Result<(), Error> {
        if self.reading.borrow_mut().remove(&partition).is_none() {
            return Ok(());
        }
        let list = self.list(partition, Offset::Invalid)?;
        self.consumer
            .unassign(&list)
            .map_err(|error| self.failed("stop reading", partition, error))
    }

    fn poll(&self, wait: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool {
        let until = (!wait.is_zero()).then(|| Instant::now() + wait);
        let mut wait = wait;
        while let Some(happened) = self.consumer.poll(wait) {
            let kind = happened.kind();
            if let Some(event) = self.event(&kind) {
                on(event);
                return true;
            }
            wait = until.map_or(wait, |until| {
                until.saturating_duration_since(Instant::now())
            });
        }
        false
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), Error> {
        self.consumer
            .client()
            .fetch_watermarks(&self.physical, partition, SOON)
            .map_err(|error| self.failed("fetch the offsets of", partition, error))
    }

    fn progress(&self, partition: i32) -> Option<(i64, i64)> {
        let next = *self.reading.borrow().get(&partition)?;
        let end = last_heard_end(self.consumer.client().client(), &self.physical, partition);
        Some((next, end?.max(next)))
    }

    fn topic_id(&self) -> Option<String> {
        topic_id(self.consumer.client().client(), &self.physical, SOON).ok()
    }
}
