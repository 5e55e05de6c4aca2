//! What the thread of a replica does, turn by turn: opens what is wanted, closes what is not, reads,
//! and stores. It has no clock of its own, so that a simulation can take its turns.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use tracing::{debug, warn};

use crate::{
    base::{error::Error, state::PartitionState},
    engine::{
        port::{Reader, TableEvent},
        replica::{
            board::{BEGINNING, Board},
            copy::Copy,
            loans::Demand,
            spec::Spec,
        },
    },
};

/// Events taken in one turn.
const EVENTS_MAX: usize = 10_000;
/// How long it takes until a copy is opened again that there was no room for.
const OPEN_RETRY: Duration = Duration::from_secs(2);
/// How often it is looked how far the ends of partitions are.
const HEAR: Duration = Duration::from_secs(1);

pub(crate) struct Keeper {
    spec: Arc<Spec>,
    board: Arc<Board>,
    reader: Box<dyn Reader>,
    copies: BTreeMap<i32, Copy>,
    hear_at: Duration,
    /// When a copy is opened again that there was no room for.
    open_at: Duration,
    /// When the topic is looked at again.
    look_at: Option<Duration>,
}

impl Keeper {
    pub(super) fn new(spec: Arc<Spec>, board: Arc<Board>, reader: Box<dyn Reader>) -> Self {
        Keeper {
            spec,
            board,
            reader,
            copies: BTreeMap::new(),
            hear_at: Duration::ZERO,
            open_at: Duration::ZERO,
            look_at: None,
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
        self.look_at_topic(now)?;
        self.heed_demand(now, at_ms)?;
        self.see_to_age(now, at_ms)?;
        self.begin(now, at_ms)?;
        self.read(wait, now, at_ms)?;
        for copy in self.copies.values_mut() {
            let followed = copy.follow(&self.board, at_ms);
            found_room(copy, &self.board, &*self.reader, now, followed)?;
        }
        if now >= self.hear_at {
            self.hear_at = now + HEAR;
            for copy in self.copies.values_mut() {
                if let Some((_, end)) = self.reader.progress(copy.number()) {
                    copy.hear_of(Some(end), &self.board);
                }
            }
        }
        Ok(())
    }

    /// Stores and closes all.
    pub(crate) fn close(self, at_ms: i64) -> Result<(), Error> {
        let mut closed = Ok(());
        for copy in self.copies.into_values() {
            // One that fails is no reason to leave the others behind.
            closed = closed.and(copy.close(&*self.reader, &self.board, at_ms));
        }
        for store in self.board.loans.rest() {
            closed = closed.and(store.close());
        }
        closed
    }

    /// Rows of a topic that is gone are not rows of the one that has its name, and an offset in the one means
    /// nothing in the other.
    fn look_at_topic(&mut self, now: Duration) -> Result<(), Error> {
        let look_at = *self
            .look_at
            .get_or_insert(now + self.spec.metadata_interval);
        if now < look_at {
            return Ok(());
        }
        self.look_at = None;
        let known = &self.spec.identity.topic_id;
        match self.reader.topic_id() {
            Some(id) if !known.is_empty() && id != *known => Err(Error::Topic(format!(
                "topic `{}` was deleted and created again while it was read: drop all that reads it and open that \
                 again, or start the program again; the local copy is rebuilt then",
                self.topic()
            ))),
            _ => Ok(()),
        }
    }

    fn heed_demand(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
        let board = &self.board;
        for number in board.wanted() {
            let given = match board.loans.demand(number) {
                Demand::Keep => None,
                Demand::TakeBack(store) => store,
                Demand::LetGo => {
                    let copy = self.copies.remove(&number);
                    let store = copy.map(|copy| copy.into_store(&*self.reader, board, at_ms));
                    board.lent(number);
                    board.loans.let_go(number, store.transpose()?);
                    continue;
                }
                Demand::Leave => continue,
            };
            if let Entry::Vacant(entry) = self.copies.entry(number) {
                let copy = match given {
                    Some(store) => Copy::given(&self.spec, number, store),
                    None if now < self.open_at => continue,
                    None => match Copy::open(&self.spec, number) {
                        Err(error @ Error::NoRoom { .. }) => {
                            self.open_at = now + OPEN_RETRY;
                            warn!(partition = number, %error, "waiting for room on the disk");
                            continue;
                        }
                        opened => opened?,
                    },
                };
                board.opened(number, copy.snapshots(), copy.standing());
                entry.insert(copy);
            }
        }
        let unwanted = self
            .copies
            .extract_if(.., |number, _| board.close_unwanted(*number));
        for (_, copy) in unwanted {
            copy.close(&*self.reader, board, at_ms)?;
        }
        Ok(())
    }

    /// A copy that is at the end proves now and then that it still is. One that cannot for too long,
    /// during an outage, begins anew, as if it was just opened.
    fn see_to_age(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
        for (&number, copy) in &mut self.copies {
            if copy.is_aged(&self.spec, at_ms) {
                self.reader.stop(number)?;
                copy.start_over();
                self.board.set_state(number, BEGINNING);
            } else if copy.is_to_refresh(now, at_ms) {
                copy.try_later(now);
                match self.reader.bounds(number) {
                    Ok((_, end)) => {
                        let refreshed = copy.refresh(end, &self.board, at_ms);
                        found_room(copy, &self.board, &*self.reader, now, refreshed)?;
                    }
                    Err(_) => break,
                }
            }
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
                Ok(bounds) => {
                    let from = copy.begin(&self.spec, &self.board, bounds, now, at_ms);
                    let from = found_room(copy, &self.board, &*self.reader, now, from)?;
                    starting.extend(from.map(|from| (number, from)));
                }
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

    fn read(&mut self, mut wait: Duration, now: Duration, at_ms: i64) -> Result<(), Error> {
        let Keeper {
            board,
            reader,
            copies,
            spec,
            ..
        } = self;
        for _ in 0..EVENTS_MAX {
            let mut result = Ok(());
            let some = reader.poll(wait, &mut |event| {
                result = on(event, copies, board, &**reader, spec, now, at_ms);
            });
            result?;
            if !some {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }
}

/// Passes on what a write to a copy came to. `None`: there was no room for it, and the copy rests. It
/// can be read meanwhile, as it is.
fn found_room<T>(
    copy: &mut Copy,
    board: &Board,
    reader: &dyn Reader,
    now: Duration,
    written: Result<T, Error>,
) -> Result<Option<T>, Error> {
    match written {
        Err(error @ Error::NoRoom { .. }) => {
            let partition = copy.number();
            warn!(partition, %error, "waiting for room on the disk");
            reader.stop(partition)?;
            copy.rest(now);
            board.set_state(partition, PartitionState::NoRoom);
            Ok(None)
        }
        written => written.map(Some),
    }
}

fn on(
    event: TableEvent<'_>,
    copies: &mut BTreeMap<i32, Copy>,
    board: &Board,
    reader: &dyn Reader,
    spec: &Spec,
    now: Duration,
    at_ms: i64,
) -> Result<(), Error> {
    match event {
        TableEvent::Record(record) => {
            if let Some(copy) = copies.get_mut(&record.partition) {
                let taken = copy.take(&record, board, now, at_ms);
                if let Some(Some(state)) = found_room(copy, board, reader, now, taken)? {
                    board.set_state(record.partition, state);
                }
            }
            Ok(())
        }
        TableEvent::End { partition } => {
            let next = reader.progress(partition).map_or(0, |(next, _)| next);
            if let Some(copy) = copies.get_mut(&partition) {
                let ended = copy.end(next, board, now, at_ms);
                if found_room(copy, board, reader, now, ended)? == Some(true) {
                    board.set_state(partition, PartitionState::Running);
                }
            }
            Ok(())
        }
        TableEvent::OutOfRange { partition } => {
            let topic = &spec.identity.topic;
            warn!(
                topic,
                partition, "the table's topic was cut off or made anew"
            );
            if let Some(copy) = copies.get_mut(&partition) {
                copy.start_over();
                board.set_state(partition, BEGINNING);
            }
            reader.stop(partition)
        }
        TableEvent::Failed(error) => Err(error),
    }
}
