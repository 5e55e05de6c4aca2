//! What the thread of a replica does, turn by turn: opens what is wanted, closes what is not, reads,
//! and stores. It has no clock of its own, so that a simulation can take its turns.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tracing::{debug, warn};

use super::{Spec, board::Board, copy::Copy};
use crate::{
    Error, PartitionState,
    kafka::{Reader, TableEvent},
};

/// Events taken in one turn.
const EVENTS_MAX: usize = 10_000;

pub(crate) struct Keeper {
    spec: Arc<Spec>,
    board: Arc<Board>,
    reader: Box<dyn Reader>,
    copies: BTreeMap<i32, Copy>,
}

impl Keeper {
    pub(super) fn new(spec: Arc<Spec>, board: Arc<Board>, reader: Box<dyn Reader>) -> Self {
        Keeper {
            spec,
            board,
            reader,
            copies: BTreeMap::new(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.spec.identity.topic
    }

    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Does what is to be done, and waits at most `wait` if that is nothing. `now` is from any
    /// origin, `at_ms` is milliseconds since 1970.
    pub(crate) fn turn(&mut self, wait: Duration, now: Duration, at_ms: i64) -> Result<(), Error> {
        self.heed_demand(at_ms)?;
        self.begin(now, at_ms)?;
        let Keeper {
            board,
            reader,
            copies,
            spec,
        } = self;
        let mut wait = wait;
        for _ in 0..EVENTS_MAX {
            let mut result = Ok(None);
            let some = reader.poll(wait, &mut |event| {
                result = on(copies, board, spec, event, now, at_ms);
            });
            if let Some(over) = result? {
                reader.stop(over)?;
            }
            if !some {
                break;
            }
            wait = Duration::ZERO;
        }
        let mut copies = copies.values_mut();
        copies.try_for_each(|copy| copy.follow(at_ms))
    }

    /// Stores and closes all.
    pub(crate) fn close(self, at_ms: i64) -> Result<(), Error> {
        let mut closed = Ok(());
        for copy in self.copies.into_values() {
            // One that fails is no reason to leave the others behind.
            closed = closed.and(copy.close(&*self.reader, at_ms));
        }
        closed
    }

    fn heed_demand(&mut self, at_ms: i64) -> Result<(), Error> {
        for number in self.board.wanted() {
            if !self.copies.contains_key(&number) {
                let copy = Copy::open(&self.spec, number)?;
                self.board.opened(number, copy.snapshots());
                self.copies.insert(number, copy);
            }
        }
        let board = &self.board;
        let unwanted = self
            .copies
            .extract_if(.., |number, _| board.close_unwanted(*number));
        for (_, copy) in unwanted {
            copy.close(&*self.reader, at_ms)?;
        }
        Ok(())
    }

    /// Begins to read every partition that is not read yet.
    fn begin(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
        let mut starting = Vec::new();
        for (&number, copy) in &mut self.copies {
            if !copy.is_to_begin(now) {
                continue;
            }
            copy.try_later(now);
            match self.reader.bounds(number) {
                Ok(bounds) => starting.push((number, copy.begin(&self.spec, bounds, now, at_ms)?)),
                Err(error) => {
                    debug!(partition = number, %error, "asking for the ends of the table's topic again");
                    // Each question may take long to fail, and who waits for the end of this turn
                    // would wait for all of them.
                    break;
                }
            }
        }
        // All at once: a broker answers one request of a connection after another.
        starting
            .into_iter()
            .try_for_each(|(number, from)| self.reader.start(number, from))
    }
}

/// Gives the partition that is to be stopped, if one is.
fn on(
    copies: &mut BTreeMap<i32, Copy>,
    board: &Board,
    spec: &Spec,
    event: TableEvent<'_>,
    now: Duration,
    at_ms: i64,
) -> Result<Option<i32>, Error> {
    match event {
        TableEvent::Record(record) => {
            let partition = record.partition;
            if let Some(copy) = copies.get_mut(&partition)
                && let Some((rows, bytes, progress)) = copy.take(&record, at_ms)?
            {
                let state = PartitionState::Recovering {
                    rows,
                    bytes,
                    progress,
                };
                board.set_state(partition, state);
            }
        }
        TableEvent::End { partition } => {
            if let Some(copy) = copies.get_mut(&partition)
                && copy.end(now, at_ms)?
            {
                board.set_state(partition, PartitionState::Running);
            }
        }
        TableEvent::OutOfRange { partition } => {
            let topic = &spec.identity.topic;
            warn!(
                topic,
                partition, "the table's topic was cut off or made anew"
            );
            if let Some(copy) = copies.get_mut(&partition) {
                copy.start_over();
                let state = PartitionState::Recovering {
                    rows: 0,
                    bytes: 0,
                    progress: 0.0,
                };
                board.set_state(partition, state);
            }
            return Ok(Some(partition));
        }
        TableEvent::Failed(error) => return Err(error),
    }
    Ok(None)
}
