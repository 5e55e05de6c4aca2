//! [`Reader`] in memory: reads one topic outside any group. Must not know groups or producers.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use super::{log::Written, state::State};
use crate::{
    base::error::Error,
    engine::port::{Reader, TableEvent},
};

/// A reader of one topic of a world.
pub(crate) struct MemoryReader {
    state: Rc<RefCell<State>>,
    topic: Rc<str>,
    reading: RefCell<BTreeMap<i32, Reading>>,
    /// Whether the process of the reader is gone.
    dead: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Reading {
    next: i64,
    /// Whether the reader has reported the end, and nothing was written since then.
    at_end: bool,
}

enum Found {
    Record(i32, Rc<Written>),
    End(i32),
    OutOfRange(i32),
}

impl MemoryReader {
    pub(super) fn new(state: Rc<RefCell<State>>, topic: Rc<str>) -> Self {
        MemoryReader {
            state,
            topic,
            reading: RefCell::default(),
            dead: Cell::new(false),
        }
    }

    pub(super) fn topic(&self) -> &Rc<str> {
        &self.topic
    }

    /// The end offset of a partition. Records of undecided transactions are before it.
    pub(super) fn end(&self, partition: i32) -> Result<i64, Error> {
        let state = self.state.borrow();
        Ok(state.topics.log(&self.topic, partition)?.end())
    }

    pub(super) fn die(&self) {
        self.dead.set(true);
    }

    fn next(&self, state: &mut State) -> Option<Found> {
        if self.dead.get() || state.is_broker_away() {
            return None;
        }
        let mut reading = self.reading.borrow_mut();
        let mut partitions: Vec<i32> = reading.keys().copied().collect();
        let first = state.chance.index(partitions.len());
        partitions.rotate_left(first);
        for partition in partitions {
            let log = state.topics.log(&self.topic, partition).ok()?;
            let at = reading.get_mut(&partition)?;
            let (start, end) = (log.bounds().0, log.end());
            if at.next < start || at.next > end {
                reading.remove(&partition);
                return Some(Found::OutOfRange(partition));
            }
            if let Some(record) = log.read(at.next) {
                let next = record.offset + 1;
                *at = Reading {
                    next,
                    at_end: false,
                };
                return Some(Found::Record(partition, Rc::clone(record)));
            }
            if !at.at_end {
                at.at_end = true;
                return Some(Found::End(partition));
            }
        }
        None
    }
}

impl Reader for MemoryReader {
    fn start(&self, partition: i32, from: i64) -> Result<(), Error> {
        self.state.borrow().topics.log(&self.topic, partition)?;
        let reading = Reading {
            next: from,
            at_end: false,
        };
        self.reading.borrow_mut().insert(partition, reading);
        Ok(())
    }

    fn stop(&self, partition: i32) -> Result<(), Error> {
        self.reading.borrow_mut().remove(&partition);
        Ok(())
    }

    fn poll(&self, wait: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool {
        let deadline = self.state.borrow_mut().begin_wait(wait);
        loop {
            let found = self.next(&mut self.state.borrow_mut());
            match found {
                Some(Found::Record(partition, record)) => {
                    on(TableEvent::Record(record.as_record(partition)));
                    return true;
                }
                Some(Found::End(partition)) => {
                    on(TableEvent::End { partition });
                    return true;
                }
                Some(Found::OutOfRange(partition)) => {
                    on(TableEvent::OutOfRange { partition });
                    return true;
                }
                None if self.state.borrow_mut().go_on_waiting(deadline) => {}
                None => return false,
            }
        }
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), Error> {
        let mut state = self.state.borrow_mut();
        state.answer("fetch the offsets of a partition")?;
        Ok(state.topics.log(&self.topic, partition)?.bounds())
    }

    fn progress(&self, partition: i32) -> Option<(i64, i64)> {
        let next = self.reading.borrow().get(&partition)?.next;
        let state = self.state.borrow();
        let (_, end) = state.topics.log(&self.topic, partition).ok()?.bounds();
        Some((next, end))
    }
}
