//! A Kafka in memory, as tests and the tester hold it. Must not know who connects to it.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{
    connection::Connection,
    log::Written,
    reader::MemoryReader,
    spec::ConnectionSpec,
    state::{Settings, State},
};
use crate::{
    base::{error::Error, record::OwnedHeaders},
    engine::port::{Committed, Reader},
};

/// The writer of records from [`World::append`].
pub(crate) const TEST: &str = "test";

/// A Kafka in memory. Clones share it.
#[derive(Clone)]
pub(crate) struct World(pub(super) Rc<RefCell<State>>);

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        World(Rc::new(RefCell::new(State::new(settings))))
    }

    /// Creates a topic, unless it exists.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        self.0.borrow_mut().topics.create(topic, partitions);
    }

    /// Writes a record, as another program would, and returns its offset.
    pub(crate) fn append(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<i64, Error> {
        self.append_with(topic, partition, (key, value), None, &OwnedHeaders::new())
    }

    /// Writes a record with headers and, unless it is now, a timestamp; see [`append`](Self::append).
    pub(crate) fn append_with(
        &self,
        topic: &str,
        partition: i32,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        timestamp: Option<i64>,
        headers: &OwnedHeaders,
    ) -> Result<i64, Error> {
        let mut state = self.0.borrow_mut();
        let record = Written {
            offset: 0,
            timestamp: timestamp.unwrap_or_else(|| state.wall_ms()),
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: headers.clone(),
            by: TEST.into(),
            moment: 0,
        };
        state.append(topic, partition, record)
    }

    /// Every record that was ever written to a partition, including compacted records, without aborted ones.
    pub(crate) fn history(&self, topic: &str, partition: i32) -> Result<Vec<Rc<Written>>, Error> {
        let state = self.0.borrow();
        let log = state.topics.log(topic, partition)?;
        Ok(log.history())
    }

    /// The offset after the last record that readers get. Readers get neither markers nor aborted records.
    pub(crate) fn readable_end(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        let state = self.0.borrow();
        Ok(state.topics.log(topic, partition)?.readable_end())
    }

    /// End offset of a partition, markers included.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        let state = self.0.borrow();
        Ok(state.topics.log(topic, partition)?.end())
    }

    /// Number of partitions of a topic; 0 if there is no such topic.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        self.0.borrow().topics.partitions(topic)
    }

    /// Wall clock, milliseconds since 1970.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.0.borrow().wall_ms()
    }

    /// The committed offset of a group.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<Committed> {
        let state = self.0.borrow();
        let group = state.groups.get(group)?;
        group.committed(topic, partition).cloned()
    }

    /// Connects a worker. It joins its group with its first poll.
    pub(crate) fn connect(&self, spec: ConnectionSpec) -> Result<Connection, Error> {
        Connection::new(Rc::clone(&self.0), spec)
    }

    /// Opens a reader of a topic, outside any group.
    pub(crate) fn reader(&self, topic: &str) -> Box<dyn Reader> {
        Box::new(MemoryReader::new(Rc::clone(&self.0), topic.into()))
    }

    /// Time since this world began.
    pub(crate) fn now(&self) -> Duration {
        self.0.borrow().now
    }

    /// Lets time pass, and everything happen that is due in that time.
    pub(crate) fn advance(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        let until = state.now + time;
        state.advance_to(until);
    }

    /// The brokers are away for some time: they write no records and answer no requests.
    pub(crate) fn outage(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        state.broker_is_back_at = state.now + time;
        state.mishaps.outages += 1;
    }

    /// The next `count` records of a connection are reported as failed. If `landed`, they are written nevertheless.
    pub(crate) fn fail_deliveries(&self, name: &str, count: u64, landed: bool) {
        let mut state = self.0.borrow_mut();
        state.failing.insert(name.into(), (count, landed));
    }

    /// Whether no record and no report is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.borrow().is_idle()
    }

    /// Number of transactions that are undecided or whose markers are not all written.
    pub(crate) fn open_transactions(&self) -> usize {
        self.0.borrow().coordinator.open_transactions()
    }
}
