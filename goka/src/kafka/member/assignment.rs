//! The partitions that a member fetches, and its answers to rebalances.
//!
//! librdkafka waits for an answer to every rebalance: a call that assigns or unassigns partitions. It sets no limit to
//! the time that the answer takes. So `released` answers a revoke only after the worker has finished the revoked
//! partitions. Must not know records or committed offsets.

use std::{cell::RefCell, collections::BTreeSet};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaError};

use crate::{base::error::Error, kafka::native::fetch::FetchingConsumer};

pub(crate) struct Assignment {
    // `group` and `topics` are physical names.
    group: String,
    topics: Vec<String>,
    held: RefCell<Held>,
}

#[derive(Default)]
struct Held {
    fetched: BTreeSet<i32>,
    /// The changes to make after the answer to a revoke, as long as the revoke is unanswered: librdkafka would take
    /// any call that unassigns partitions as the answer. (This does happen to a call that comes after librdkafka's
    /// revoke and before the poll that returns the revoke's event. In that case, partitions move before the worker has
    /// finished them, like the partitions of a zombie, and the next commit fails.)
    waiting: Option<Vec<Change>>,
}

enum Change {
    Assign(i32, Vec<i64>),
    Unassign(i32),
}

impl Assignment {
    /// Makes an empty assignment for partitions of these topics (physical names). Lists of offsets have the same order
    /// as `topics`.
    pub(crate) fn new(group: &str, topics: Vec<String>) -> Self {
        Assignment {
            group: group.to_owned(),
            topics,
            held: RefCell::default(),
        }
    }

    /// Answers a rebalance that gives this member partitions. No record is fetched before `assign` is called.
    pub(crate) fn taken(&self, consumer: &FetchingConsumer) -> Result<(), Error> {
        let nothing = TopicPartitionList::new();
        consumer
            .assign(&nothing)
            .map_err(|error| self.failed("accept", error))
    }

    /// Notes that the group revokes partitions; `released` will answer the revoke. Returns whether the partitions are
    /// lost.
    pub(crate) fn revoked(&self, consumer: &FetchingConsumer) -> bool {
        self.held.borrow_mut().waiting = Some(Vec::new());
        // Asked now, because librdkafka forgets whether they are lost at the next call that assigns or unassigns
        // partitions.
        consumer.client().assignment_lost()
    }

    pub(crate) fn assign(
        &self,
        consumer: &FetchingConsumer,
        partition: i32,
        offsets: &[i64],
    ) -> Result<(), Error> {
        if let Some(waiting) = &mut self.held.borrow_mut().waiting {
            waiting.push(Change::Assign(partition, offsets.to_vec()));
            return Ok(());
        }
        self.fetch(consumer, partition, offsets)
    }

    pub(crate) fn unassign(
        &self,
        consumer: &FetchingConsumer,
        partition: i32,
    ) -> Result<(), Error> {
        if let Some(waiting) = &mut self.held.borrow_mut().waiting {
            waiting.push(Change::Unassign(partition));
            return Ok(());
        }
        if !self.held.borrow().fetched.contains(&partition) {
            return Ok(());
        }
        self.unfetch(consumer, [partition])
    }

    /// Answers a revoke, then makes the changes that had to wait for the answer.
    pub(crate) fn released(
        &self,
        consumer: &FetchingConsumer,
        partitions: &[i32],
    ) -> Result<(), Error> {
        let waiting = self.held.borrow_mut().waiting.take().unwrap_or_default();
        let also = waiting.iter().filter_map(|change| match change {
            Change::Unassign(partition) => Some(*partition),
            Change::Assign(..) => None,
        });
        self.unfetch(consumer, partitions.iter().copied().chain(also))?;
        for change in waiting {
            if let Change::Assign(partition, offsets) = change
                && !partitions.contains(&partition)
            {
                self.fetch(consumer, partition, &offsets)?;
            }
        }
        Ok(())
    }

    /// Gives up all partitions, which also answers a revoke that is unanswered.
    pub(crate) fn let_go(&self, consumer: &FetchingConsumer) -> Result<(), Error> {
        self.held.borrow_mut().waiting = None;
        let all = self.held.borrow().fetched.clone();
        self.unfetch(consumer, all)
    }

    /// A list of these partitions of every topic; `offsets` has one offset per topic.
    pub(crate) fn list(
        &self,
        partitions: impl IntoIterator<Item = i32>,
        offsets: Option<&[i64]>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            for (index, topic) in self.topics.iter().enumerate() {
                let offset = offsets.and_then(|offsets| offsets.get(index));
                let offset = offset.map_or(Offset::Invalid, |offset| Offset::Offset(*offset));
                list.add_partition_offset(topic, partition, offset)?;
            }
        }
        Ok(list)
    }

    fn fetch(
        &self,
        consumer: &FetchingConsumer,
        partition: i32,
        offsets: &[i64],
    ) -> Result<(), Error> {
        self.list([partition], Some(offsets))
            .and_then(|list| consumer.assign(&list))
            .map_err(|error| self.failed("fetch", error))?;
        self.held.borrow_mut().fetched.insert(partition);
        Ok(())
    }

    fn unfetch(
        &self,
        consumer: &FetchingConsumer,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<(), Error> {
        let mut held = self.held.borrow_mut();
        let partitions = partitions.into_iter();
        let gone: Vec<i32> = partitions
            .filter(|partition| held.fetched.remove(partition))
            .collect();
        self.list(gone, None)
            .and_then(|list| consumer.unassign(&list))
            .map_err(|error| self.failed("give back", error))
    }

    fn failed(&self, doing: &str, error: KafkaError) -> Error {
        let group = &self.group;
        Error::kafka(format!("{doing} partitions of group `{group}`"), error)
    }
}
