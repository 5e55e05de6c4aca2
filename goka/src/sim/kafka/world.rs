//! A Kafka in memory, as tests and the tester use it. Must not know who connects to it.

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

/// The name of the writer of all records from [`World::append`].
pub(crate) const TEST: &str = "test";

/// A Kafka in memory. Clones share one world.
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

    /// Writes a record like [`append`](Self::append), with headers and a timestamp. The default timestamp is the
    /// current time.
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

    /// All records that were ever written to a partition, including compacted records, but not aborted ones.
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

    /// The end offset of a partition, after its last record or marker.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        let state = self.0.borrow();
        Ok(state.topics.log(topic, partition)?.end())
    }

    /// The number of partitions of a topic; 0 if the topic does not exist.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        self.0.borrow().topics.partitions(topic)
    }

    /// The wall clock, in milliseconds since 1970.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.0.borrow().wall_ms()
    }

    /// The committed offset of a group.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<Committed> {
        let state = self.0.borrow();
        let group = state.groups.get(group)?;
        group.committed(topic, partition).cloned()
    }

    /// Connects a worker. The worker joins its group with its first poll.
    pub(crate) fn connect(&self, spec: ConnectionSpec) -> Result<Connection, Error> {
        Connection::new(Rc::clone(&self.0), spec)
    }

    /// Opens a reader of a topic, outside any group.
    pub(crate) fn reader(&self, topic: &str) -> Box<dyn Reader> {
        Box::new(MemoryReader::new(Rc::clone(&self.0), topic.into()))
    }

    /// The time since this world began.
    pub(crate) fn now(&self) -> Duration {
        self.0.borrow().now
    }

    /// Lets time pass, and handles everything that is due in that time.
    pub(crate) fn advance(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        let until = state.now + time;
        state.advance_to(until);
    }

    /// Makes the brokers unavailable for some time: they write no records and answer no requests.
    pub(crate) fn outage(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        state.broker_is_back_at = state.now + time;
        state.mishaps.outages += 1;
    }

    /// Makes the deliveries of the next `count` records of the connection `name` fail. If `landed`, the records are
    /// written nevertheless.
    pub(crate) fn fail_deliveries(&self, name: &str, count: u64, landed: bool) {
        let mut state = self.0.borrow_mut();
        state.failing.insert(name.into(), (count, landed));
    }

    /// Whether no record and no report is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.borrow().is_idle()
    }

    /// The number of transactions that are undecided, or that lack some of their markers.
    pub(crate) fn open_transactions(&self) -> usize {
        self.0.borrow().coordinator.open_transactions()
    }
}
