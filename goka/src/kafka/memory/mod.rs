//! Kafka in memory: topics, groups, producers and a clock, in one thread and without any network.
//!
//! It does what brokers and librdkafka do where the engine could notice: partitions move in two
//! steps, a member that is silent for too long is expelled and learns of it later, records are under
//! way for a while and land after their sender died, a report gets lost though its record landed.
//! All of it happens in virtual time, which goes on only while somebody waits, and from one seed.
//! Must not know the engine: it sees what the traits of [`crate::kafka`] show.

mod chance;
mod connection;
mod coordinator;
mod fetching;
mod group;
mod log;
mod membership;
mod producer;
mod reader;
mod spec;
mod state;
#[cfg(test)]
mod tests;
mod transacting;
mod writer;

use std::{cell::RefCell, rc::Rc, time::Duration};

pub(crate) use chance::Chance;
pub(crate) use connection::Connection;
pub(crate) use log::Written;
pub(crate) use spec::{ConnectionSpec, Point};
pub(crate) use state::{CommitEntry, Mishaps, Settings};
use state::{Slow, State};

use crate::{
    Error,
    kafka::{Committed, Reader},
    record::OwnedHeaders,
};

/// A Kafka of its own. Clones are the same one.
#[derive(Clone)]
pub(crate) struct World(Rc<RefCell<State>>);

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        World(Rc::new(RefCell::new(State::new(settings))))
    }

    /// Creates a topic, unless it exists.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        self.0.borrow_mut().topics.create(topic, partitions);
    }

    /// Writes a record as some other program would, and gives its offset.
    pub(crate) fn append(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<i64, Error> {
        let mut state = self.0.borrow_mut();
        let record = Written {
            offset: 0,
            timestamp: state.wall_ms(),
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: OwnedHeaders::new(),
            by: "test".into(),
            moment: 0,
        };
        state.append(topic, partition, record)
    }

    /// Every record that was ever written to a partition, compacted or not, unless it was aborted.
    pub(crate) fn history(&self, topic: &str, partition: i32) -> Result<Vec<Rc<Written>>, Error> {
        let state = self.0.borrow();
        let log = state.topics.log(topic, partition)?;
        Ok(log.history())
    }

    /// First offset of a partition, and the next one to be written.
    pub(crate) fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        let state = self.0.borrow();
        let log = state.topics.log(topic, partition)?;
        Ok(log.bounds())
    }

    /// What a group has committed.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<Committed> {
        let state = self.0.borrow();
        let group = state.groups.get(group)?;
        group.committed(topic, partition).cloned()
    }

    /// Every commit that was accepted.
    pub(crate) fn commits(&self) -> Vec<CommitEntry> {
        self.0.borrow().commits.clone()
    }

    /// Connects a worker. It joins its group when it first polls.
    pub(crate) fn connect(&self, spec: ConnectionSpec) -> Result<Connection, Error> {
        Connection::new(Rc::clone(&self.0), spec)
    }

    /// Reads a topic in no group.
    pub(crate) fn reader(&self, topic: &str) -> Box<dyn Reader> {
        Box::new(reader::MemoryReader::new(Rc::clone(&self.0), topic.into()))
    }

    /// Time since this world began.
    pub(crate) fn now(&self) -> Duration {
        self.0.borrow().now
    }

    /// Lets time pass, and all happen that happens in it.
    pub(crate) fn advance(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        let until = state.now + time;
        state.advance_to(until);
    }

    /// The brokers are away for some time: nothing lands, nothing is answered.
    pub(crate) fn outage(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        state.broker_is_back_at = state.now + time;
        state.mishaps.outages += 1;
    }

    /// For some time, what is sent and reported takes up to `delay` longer.
    pub(crate) fn slow_down(&self, time: Duration, delay: Duration) {
        let mut state = self.0.borrow_mut();
        let until = state.now + time;
        state.slow = Slow { until, delay };
    }

    /// The next `count` records of a connection are reported as failed; if `landed`, they are in
    /// their topic all the same.
    pub(crate) fn fail_deliveries(&self, name: &str, count: u64, landed: bool) {
        let mut state = self.0.borrow_mut();
        state.failing.insert(name.into(), (count, landed));
    }

    /// Ends every trouble that was asked for.
    pub(crate) fn heal(&self) {
        let mut state = self.0.borrow_mut();
        state.broker_is_back_at = state.broker_is_back_at.min(state.now);
        state.slow = Slow::default();
        state.failing.clear();
    }

    /// Keeps the last record per key, as a compacted topic does sooner or later.
    pub(crate) fn compact(&self, topic: &str, partition: i32) -> Result<(), Error> {
        let mut state = self.0.borrow_mut();
        state.topics.log_mut(topic, partition)?.compact();
        Ok(())
    }

    /// Deletes what is before an offset, as retention does.
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

    /// Whether no record and no report is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.borrow().is_idle()
    }

    /// Transactions that are not decided, or whose markers are not all written.
    pub(crate) fn open_transactions(&self) -> usize {
        self.0.borrow().coordinator.open_transactions()
    }

    /// What went wrong so far.
    pub(crate) fn mishaps(&self) -> Mishaps {
        self.0.borrow().mishaps
    }

    /// From now on, what happens is written down as readable lines.
    pub(crate) fn keep_trace(&self) {
        self.0.borrow_mut().trace = Some(Vec::new());
    }

    /// Adds a line, if lines are kept.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.0.borrow_mut().note(line);
    }

    /// The lines so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.0.borrow().trace.clone().unwrap_or_default()
    }
}
