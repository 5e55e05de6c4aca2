//! Topics: logs of records.
//!
//! The whole history is kept for tests. Readers do not see compacted or deleted records, nor records after the
//! beginning of an open transaction. Must not know groups, producers or time.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crate::base::{
    error::Error,
    record::{Headers, OwnedHeaders, Record},
};

/// A record in a topic.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: OwnedHeaders,
    /// The writer: the name of a connection, or [`TEST`](super::TEST).
    pub(crate) by: Rc<str>,
    /// Position of this write in the total order of all that happens in this world.
    pub(crate) moment: u64,
}

impl Written {
    pub(super) fn as_record(&self, partition: i32) -> Record<'_> {
        Record {
            partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: Headers(Some(&self.headers)),
        }
    }
}

/// The log of one partition.
#[derive(Default)]
pub(super) struct Log {
    start: i64,
    /// All records and markers ever written; the index is the offset.
    history: Vec<Rc<Written>>,
    compacted: BTreeSet<i64>,
    /// For each transaction without a marker so far, the offsets of its records.
    open: BTreeMap<u64, Vec<i64>>,
    /// Offsets of markers and of records of aborted transactions, which readers do not get.
    hidden: BTreeSet<i64>,
}

impl Log {
    /// The log start offset and the last stable offset.
    pub(super) fn bounds(&self) -> (i64, i64) {
        (self.start, self.stable())
    }

    fn stable(&self) -> i64 {
        let first = self.open.values().filter_map(|offsets| offsets.first());
        first.min().copied().unwrap_or(self.end())
    }

    /// The end offset (the high watermark).
    pub(super) fn end(&self) -> i64 {
        i64::try_from(self.history.len()).unwrap_or(i64::MAX)
    }

    /// The offset after the last record that readers get.
    pub(super) fn readable_end(&self) -> i64 {
        let stable = self.stable();
        let readable = |offset: &i64| *offset < stable && !self.hidden.contains(offset);
        let last = (self.start..self.end()).rev().find(readable);
        last.map_or(self.start, |last| last + 1)
    }

    /// All records ever written that were not aborted, including those that readers no longer see.
    pub(super) fn history(&self) -> Vec<Rc<Written>> {
        let records = self.history.iter();
        let records = records.filter(|record| !self.hidden.contains(&record.offset));
        records.cloned().collect()
    }

    /// Appends a record of a transaction, and returns its offset.
    pub(super) fn append_to(&mut self, transaction: u64, record: Written) -> i64 {
        let offset = self.append(record);
        self.open.entry(transaction).or_default().push(offset);
        offset
    }

    /// Appends the marker that ends a transaction.
    pub(super) fn end_transaction(&mut self, transaction: u64, committed: bool, marker: Written) {
        let Some(offsets) = self.open.remove(&transaction) else {
            return;
        };
        let marker = self.append(marker);
        self.hidden.insert(marker);
        if !committed {
            self.hidden.extend(offsets);
        }
    }

    pub(super) fn append(&mut self, mut record: Written) -> i64 {
        record.offset = self.end();
        let offset = record.offset;
        self.history.push(Rc::new(record));
        offset
    }

    /// The first record that readers see at or after an offset.
    pub(super) fn read(&self, from: i64) -> Option<&Rc<Written>> {
        let from = usize::try_from(from.max(self.start)).ok()?;
        let stable = usize::try_from(self.stable()).ok()?;
        let rest = self.history.get(from..stable)?;
        let is_gone = |offset| self.compacted.contains(offset) || self.hidden.contains(offset);
        rest.iter().find(|record| !is_gone(&record.offset))
    }

    /// The offsets of the records that compaction has removed.
    #[cfg(test)]
    pub(super) fn compacted(&self) -> &BTreeSet<i64> {
        &self.compacted
    }

    /// Removes all records but the last of each key, in the part of the log that may be compacted: it ends before the
    /// first record with a timestamp later than `until`. Offsets do not change. Returns the number of records that were
    /// removed.
    #[cfg(test)]
    pub(super) fn compact(&mut self, until: i64) -> usize {
        let before = self.compacted.len();
        let mut seen = BTreeSet::new();
        let stable = self.stable();
        let decided = self.history.iter().filter(|record| record.offset < stable);
        let decided = decided.filter(|record| !self.hidden.contains(&record.offset));
        let cleanable: Vec<_> = decided
            .take_while(|record| record.timestamp <= until)
            .collect();
        for record in cleanable.into_iter().rev() {
            if !seen.insert(&record.key) {
                self.compacted.insert(record.offset);
            }
        }
        self.compacted.len() - before
    }

    /// Deletes the records before an offset, as retention does.
    #[cfg(test)]
    pub(super) fn delete_before(&mut self, offset: i64) {
        self.start = offset.clamp(self.start, self.end());
    }
}

/// All topics, by name.
#[derive(Default)]
pub(super) struct Topics(BTreeMap<Rc<str>, Vec<Log>>);

impl Topics {
    /// Creates a topic. An existing topic is left unchanged.
    pub(super) fn create(&mut self, topic: &str, partitions: i32) {
        self.0
            .entry(topic.into())
            .or_insert_with(|| (0..partitions).map(|_| Log::default()).collect());
    }

    pub(super) fn partitions(&self, topic: &str) -> i32 {
        let logs = self.0.get(topic).map_or(0, Vec::len);
        i32::try_from(logs).unwrap_or(i32::MAX)
    }

    pub(super) fn log(&self, topic: &str, partition: i32) -> Result<&Log, Error> {
        let logs = self.0.get(topic);
        logs.and_then(|logs| logs.get(usize::try_from(partition).ok()?))
            .ok_or_else(|| missing(topic, partition))
    }

    pub(super) fn log_mut(&mut self, topic: &str, partition: i32) -> Result<&mut Log, Error> {
        let logs = self.0.get_mut(topic);
        logs.and_then(|logs| logs.get_mut(usize::try_from(partition).ok()?))
            .ok_or_else(|| missing(topic, partition))
    }
}

fn missing(topic: &str, partition: i32) -> Error {
    Error::Topic(format!(
        "topic `{topic}` has no partition {partition}: create the topic first"
    ))
}
