//! The keeper of a replica: opens the local copies of wanted partitions, closes the other copies, reads the changelog,
//! and stores rows. The thread of the replica drives the keeper turn by turn. Must not know the clock, so that a
//! simulation can drive the keeper.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use tracing::{debug, warn};

use crate::{
    base::{error::Error, state::PartitionState},
    engine::{
        cut::Cut,
        port::{Cuts, GroupCommits, Reader, TableEvent},
        replica::{
            board::{BEGINNING, Board},
            copy::Copy,
            loans::Demand,
            spec::Spec,
        },
    },
};

/// Maximum number of events in a turn.
const EVENTS_MAX: usize = 10_000;
/// Retry interval for opening a local copy after the disk was full.
const ROOM_RETRY: Duration = Duration::from_secs(2);
/// How often the group is asked for its committed offsets.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the known end offsets are passed on to readers.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);

/// Writes the local copies of a replica.
pub(crate) struct Keeper {
    spec: Arc<Spec>,
    board: Arc<Board>,
    reader: Box<dyn Reader>,
    /// The committed offsets of the group. `None`: rows are stored as they are read.
    cuts: Option<Box<dyn Cuts>>,
    /// When to ask for the committed offsets next. `None` while a question has no answer.
    ask_at: Option<Duration>,
    /// Whether the last question could not be answered.
    is_unanswered: bool,
    copies: BTreeMap<i32, Copy>,
    /// When the known end offsets are next passed on to readers.
    ends_at: Duration,
    /// When to try again to open local copies, after the disk was full.
    open_at: Duration,
    /// When to check next that the topic was not created again. `None` until this time is set.
    check_at: Option<Duration>,
}

impl Keeper {
    pub(super) fn new(
        spec: Arc<Spec>,
        board: Arc<Board>,
        reader: Box<dyn Reader>,
        cuts: Option<Box<dyn Cuts>>,
    ) -> Self {
        Keeper {
            spec,
            board,
            reader,
            cuts,
            ask_at: Some(Duration::ZERO),
            is_unanswered: false,
            copies: BTreeMap::new(),
            ends_at: Duration::ZERO,
            open_at: Duration::ZERO,
            check_at: None,
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.spec.identity.topic
    }

    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Does the work that is due, or waits up to `wait` for events. `now` is the time since an arbitrary origin;
    /// `at_ms` is the time in milliseconds since 1970.
    ///
    /// # Errors
    /// The local copies can no longer be updated.
    pub(crate) fn turn(&mut self, wait: Duration, now: Duration, at_ms: i64) -> Result<(), Error> {
        self.check_topic(now)?;
        self.open_and_close(now, at_ms)?;
        self.refresh_or_restart(now, at_ms)?;
        self.begin(now, at_ms)?;
        self.follow_cuts(now, at_ms)?;
        self.read(wait, now, at_ms)?;
        for copy in self.copies.values_mut() {
            let followed = copy.follow(&self.board, at_ms);
            or_wait_for_room(copy, &self.board, &*self.reader, now, followed)?;
        }
        if now >= self.ends_at {
            self.ends_at = now + ENDS_INTERVAL;
            for copy in self.copies.values_mut() {
                let number = copy.number();
                let end = match copy.is_paused() {
                    true => self.reader.bounds(number).ok().map(|(_, end)| end),
                    false => self.reader.progress(number).map(|(_, end)| end),
                };
                if end.is_some() {
                    copy.set_end(end, &self.board);
                }
            }
        }
        Ok(())
    }

    /// Stores the rows that were read, and closes all local copies.
    pub(crate) fn close(self, at_ms: i64) -> Result<(), Error> {
        let mut closed = Ok(());
        for copy in self.copies.into_values() {
            // If closing one copy fails, the other copies are closed nevertheless.
            closed = closed.and(copy.close(&*self.reader, &self.board, at_ms));
        }
        for store in self.board.loans.rest() {
            closed = closed.and(store.close());
        }
        closed
    }

    /// Checks that the topic was not deleted and created again: the rows and offsets of the new topic would have
    /// nothing to do with those of the local copies.
    fn check_topic(&mut self, now: Duration) -> Result<(), Error> {
        let check_at = *self
            .check_at
            .get_or_insert(now + self.spec.metadata_interval);
        if now < check_at {
            return Ok(());
        }
        self.check_at = None;
        let known = &self.spec.identity.topic_id;
        match self.reader.topic_id() {
            Some(id) if !known.is_empty() && id != *known => Err(Error::Topic(format!(
                "topic `{}` was deleted and created again while this process was reading it. Drop all views and \
                 processors that read the topic and open them again, or restart the program; goka then rebuilds the \
                 local copy",
                self.topic()
            ))),
            _ => Ok(()),
        }
    }

    /// Opens and closes local copies, as partitions become wanted or unwanted, or are lent and given back.
    fn open_and_close(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
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
                    Some(store) => Copy::given(&self.spec, number, store, self.cuts.is_some()),
                    None if now < self.open_at => continue,
                    None => match Copy::open(&self.spec, number, self.cuts.is_some()) {
                        Err(error @ Error::NoRoom { .. }) => {
                            self.open_at = now + ROOM_RETRY;
                            let topic = &self.spec.identity.topic;
                            warn!(topic, partition = number, %error, "disk full; waiting for space");
                            continue;
                        }
                        opened => opened?,
                    },
                };
                board.opened(number, copy.snapshots(), copy.progress());
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

    /// Refreshes the stored time of local copies that are up to date: if the position of a copy still equals the end
    /// offset, the copy is up to date as of now. A copy that could not be refreshed for too long, during an outage,
    /// starts over, as if it had just been opened.
    fn refresh_or_restart(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
        for (&number, copy) in &mut self.copies {
            if copy.is_aged(&self.spec, at_ms) {
                self.reader.stop(number)?;
                copy.start_over();
                self.board.set_state(number, BEGINNING);
            } else if copy.is_to_refresh(now, at_ms) {
                copy.retry_later(now);
                match self.reader.bounds(number) {
                    Ok((_, end)) => {
                        let refreshed = copy.refresh(end, &self.board, at_ms);
                        or_wait_for_room(copy, &self.board, &*self.reader, now, refreshed)?;
                    }
                    Err(_) => break,
                }
            }
        }
        Ok(())
    }

    /// Starts to read the partitions that are open but not read yet.
    fn begin(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
        let mut starting = Vec::new();
        for (&number, copy) in &mut self.copies {
            if !copy.is_due(now) {
                continue;
            }
            copy.retry_later(now);
            match self.reader.bounds(number) {
                Ok(bounds) => {
                    let from = copy.begin(&self.spec, &self.board, bounds, now, at_ms);
                    let from = or_wait_for_room(copy, &self.board, &*self.reader, now, from)?;
                    starting.extend(from.map(|from| (number, from)));
                }
                Err(error) => {
                    let topic = &self.spec.identity.topic;
                    debug!(topic, partition = number, %error, "could not query the end offsets; trying again");
                    // Each query may take long to fail, and a turn should not wait for all of them.
                    break;
                }
            }
        }
        // The partitions are started together, because a broker answers the requests of a connection one after
        // another.
        starting
            .into_iter()
            .try_for_each(|(number, from)| self.reader.start(number, from))
    }

    /// Asks for the committed offsets of the group, and stores the rows that the group has committed.
    fn follow_cuts(&mut self, now: Duration, at_ms: i64) -> Result<(), Error> {
        let Some(cuts) = &self.cuts else {
            return Ok(());
        };
        if self.ask_at.is_none()
            && let Some(answer) = cuts.answer()
        {
            self.ask_at = Some(now + ASK_INTERVAL);
            let was_unanswered = std::mem::replace(&mut self.is_unanswered, answer.is_err());
            match answer {
                Ok(commits) => self.release(&commits, now, at_ms)?,
                Err(error) if was_unanswered => {
                    debug!(topic = self.topic(), %error, "could not fetch the committed offsets again");
                }
                Err(error) => {
                    let topic = self.topic();
                    warn!(topic, %error, "could not fetch the committed offsets of the group; holding new rows back");
                }
            }
        }
        if let Some(cuts) = &self.cuts
            && !self.copies.is_empty()
            && self.ask_at.is_some_and(|at| now >= at)
        {
            for copy in self.copies.values_mut() {
                let progress = self.reader.progress(copy.number());
                copy.asked(progress.map(|(_, end)| end));
            }
            self.ask_at = None;
            cuts.ask();
        }
        Ok(())
    }

    /// Stores the rows that the group has committed.
    fn release(&mut self, commits: &GroupCommits, now: Duration, at_ms: i64) -> Result<(), Error> {
        let (board, reader) = (&self.board, &*self.reader);
        for (&number, copy) in &mut self.copies {
            let offsets = usize::try_from(number)
                .ok()
                .and_then(|number| commits.partitions.get(number));
            let Some(offsets) = offsets else { continue };
            let inputs = commits.inputs.iter().map(|name| &**name);
            let sources = offsets.sources.iter();
            let sources = sources.map(|committed| committed.as_ref().map(|c| c.offset));
            let found = Cut::find(offsets.changelog.as_ref(), inputs.zip(sources));
            let answered = copy.answered(found, reader, board, now, at_ms);
            if or_wait_for_room(copy, board, reader, now, answered)? == Some(true) {
                board.set_state(number, PartitionState::Running);
            }
            if let Some(from) = copy.resume() {
                reader.start(number, from)?;
            }
        }
        Ok(())
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

/// Passes on the result of a write to a local copy. `None`: the disk was full, and the local copy waits for space.
/// Meanwhile, the copy can still be read.
fn or_wait_for_room<T>(
    copy: &mut Copy,
    board: &Board,
    reader: &dyn Reader,
    now: Duration,
    written: Result<T, Error>,
) -> Result<Option<T>, Error> {
    match written {
        Err(error @ Error::NoRoom { .. }) => {
            let partition = copy.number();
            warn!(partition, %error, "disk full; waiting for space");
            reader.stop(partition)?;
            copy.wait_for_room(now);
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
                let taken = copy.take(&record, reader, board, now, at_ms);
                if let Some(Some(state)) = or_wait_for_room(copy, board, reader, now, taken)? {
                    board.set_state(record.partition, state);
                }
                if copy.pause() {
                    debug!(
                        topic = spec.identity.topic,
                        partition = record.partition,
                        "too many rows are not committed; reading the changelog stops until the group commits"
                    );
                    reader.stop(record.partition)?;
                }
            }
            Ok(())
        }
        TableEvent::End { partition } => {
            let next = reader.progress(partition).map_or(0, |(next, _)| next);
            if let Some(copy) = copies.get_mut(&partition) {
                let ended = copy.end(next, reader, board, now, at_ms);
                if or_wait_for_room(copy, board, reader, now, ended)? == Some(true) {
                    board.set_state(partition, PartitionState::Running);
                }
            }
            Ok(())
        }
        TableEvent::OutOfRange { partition } => {
            let topic = &spec.identity.topic;
            warn!(
                topic,
                partition,
                "position in the changelog out of range; comparing the local copy with the changelog again"
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
