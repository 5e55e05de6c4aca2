//! Records that emitters on any thread have sent to a topic in memory, and that the thread of the world has not
//! collected yet. Must not know emitters.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    base::{error::Error, record::OwnedHeaders},
    engine::port::SendError,
    kafka::{Collect, Letter},
};

/// A record that an emitter has sent.
pub(crate) struct Sent {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: i64,
    pub(crate) headers: OwnedHeaders,
}

pub(crate) struct Mailbox {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    inside: Mutex<Inside>,
}

struct Inside {
    sent: Vec<Sent>,
    /// For each partition, the offset of the next record.
    ends: Vec<i64>,
}

impl Mailbox {
    pub(crate) fn new(topic: &str, ends: Vec<i64>) -> Self {
        Mailbox {
            topic: topic.to_owned(),
            partitions: i32::try_from(ends.len()).unwrap_or(i32::MAX),
            inside: Mutex::new(Inside {
                sent: Vec::new(),
                ends,
            }),
        }
    }

    /// Takes all records that were sent since the last call.
    pub(crate) fn collect(&self) -> Vec<Sent> {
        std::mem::take(&mut self.lock().sent)
    }

    /// Sets the end offsets of the partitions. Records that are not collected yet get the offsets after these.
    pub(crate) fn set_ends(&self, mut ends: Vec<i64>) {
        let mut inside = self.lock();
        for sent in &inside.sent {
            if let Some(end) = usize::try_from(sent.partition)
                .ok()
                .and_then(|n| ends.get_mut(n))
            {
                *end += 1;
            }
        }
        inside.ends = ends;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Ignores poisoning: the value is consistent at every moment.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collect for Mailbox {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Returns the offset of the record. This offset is wrong if another client writes to the partition before the
    /// record is collected.
    fn put(&self, letter: &Letter<'_>) -> Result<i64, SendError> {
        let mut inside = self.lock();
        let index = usize::try_from(letter.partition).ok();
        let Some(end) = index.and_then(|index| inside.ends.get_mut(index)) else {
            let (topic, partition, has) = (&self.topic, letter.partition, self.partitions);
            return Err(SendError::Refused(Error::Topic(format!(
                "topic `{topic}` has no partition {partition}: it has {has} partitions"
            ))));
        };
        let offset = *end;
        *end += 1;
        inside.sent.push(Sent {
            partition: letter.partition,
            key: letter.key.map(<[u8]>::to_vec),
            value: letter.value.map(<[u8]>::to_vec),
            timestamp: letter.timestamp,
            headers: letter.headers.clone(),
        });
        Ok(offset)
    }
}
