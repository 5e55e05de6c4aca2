//! What only simulations do to a world and ask of it: faults, compaction, retention, traces. Must not know the engine.

use std::{collections::BTreeSet, time::Duration};

use super::{
    group::Group,
    positions::CommitEntry,
    state::{Mishaps, Slow},
    world::World,
};
use crate::{base::error::Error, engine::port::Committed};

impl World {
    /// The log start offset and the end offset of a partition.
    pub(crate) fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        let state = self.0.borrow();
        let log = state.topics.log(topic, partition)?;
        Ok(log.bounds())
    }

    /// All commits that were accepted.
    pub(crate) fn commits(&self) -> Vec<CommitEntry> {
        self.0.borrow().commits.clone()
    }

    /// Sets the committed offset of a group, as an operator does.
    pub(crate) fn set_offset(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let committed = Committed {
            offset,
            metadata: String::new(),
        };
        let mut state = self.0.borrow_mut();
        if let Some(group) = state.groups.get_mut(group) {
            group.commit(topic, partition, committed);
        }
    }

    /// Makes all producers refuse records for this topic from now on, as a producer with a fatal error does.
    pub(crate) fn refuse(&self, topic: Option<&str>) {
        self.0.borrow_mut().refused = topic.map(str::to_owned);
    }

    /// For the duration `time`, makes records and delivery reports take up to `delay` longer.
    pub(crate) fn slow_down(&self, time: Duration, delay: Duration) {
        let mut state = self.0.borrow_mut();
        let until = state.now + time;
        state.slow = Slow { until, delay };
    }

    /// Ends all outages, delays and failed deliveries. Commits that were given up are never applied.
    pub(crate) fn heal(&self) {
        let mut state = self.0.borrow_mut();
        state.broker_is_back_at = state.broker_is_back_at.min(state.now);
        state.slow = Slow::default();
        state.failing.clear();
        state.late.clear();
    }

    /// The offsets of the records that compaction has removed from a partition.
    pub(crate) fn compacted(&self, topic: &str, partition: i32) -> Result<BTreeSet<i64>, Error> {
        let state = self.0.borrow();
        Ok(state.topics.log(topic, partition)?.compacted().clone())
    }

    /// Compacts a whole partition: keeps the last record of each key.
    pub(crate) fn compact(&self, topic: &str, partition: i32) -> Result<(), Error> {
        let mut state = self.0.borrow_mut();
        state.topics.log_mut(topic, partition)?.compact(i64::MAX);
        Ok(())
    }

    /// Compacts a partition of a topic with `min.compaction.lag.ms`. As on brokers, the lag is judged by the timestamps
    /// of the records, and the first record that is too young ends the part of the log that is compacted. Returns the
    /// number of records that were removed.
    pub(crate) fn compact_with_lag(
        &self,
        topic: &str,
        partition: i32,
        lag_ms: i64,
    ) -> Result<usize, Error> {
        let mut state = self.0.borrow_mut();
        let until = state.wall_ms() - lag_ms;
        let removed = state.topics.log_mut(topic, partition)?.compact(until);
        state.note(|| format!("{topic}/{partition}: compaction removed {removed} records"));
        Ok(removed)
    }

    /// Commits an offset without metadata, as another client of the group does while the group has no members.
    pub(crate) fn commit_as(
        &self,
        by: &str,
        group: &str,
        (topic, partition): (&str, i32),
        offset: i64,
    ) {
        let entry = CommitEntry {
            by: by.into(),
            topic: topic.into(),
            partition,
            offset,
            metadata: String::new(),
            moment: 0,
            owned: true,
            request: 0,
            is_late: false,
            is_torn: false,
        };
        self.0.borrow_mut().commit_all(group, vec![entry]);
    }

    /// Whether a group has members. A static member that has left remains a member until its session times out.
    pub(crate) fn has_members(&self, group: &str) -> bool {
        let state = self.0.borrow();
        state.groups.get(group).is_some_and(Group::has_members)
    }

    /// The moments at which members asked for the committed offsets of a partition, with the partition.
    pub(crate) fn asked(&self) -> Vec<(u64, i32)> {
        self.0.borrow().asked.clone()
    }

    /// Deletes the records before an offset, as retention does.
    pub(crate) fn delete_before(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), Error> {
        let mut state = self.0.borrow_mut();
        state
            .topics
            .log_mut(topic, partition)?
            .delete_before(offset);
        Ok(())
    }

    /// The numbers of mishaps so far.
    pub(crate) fn mishaps(&self) -> Mishaps {
        self.0.borrow().mishaps
    }

    /// Keeps a trace from now on, with a line for each event.
    pub(crate) fn keep_trace(&self) {
        self.0.borrow_mut().trace = Some(Vec::new());
    }

    /// Adds a line to the trace, if one is kept.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.0.borrow_mut().note(line);
    }

    /// The trace so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.0.borrow().trace.clone().unwrap_or_default()
    }

    /// The current position in the total order of all that happens in this world.
    pub(crate) fn moment(&self) -> u64 {
        self.0.borrow().moment
    }
}
