//! A worker's connection: [`Kafka`] in memory.
//!
//! A connection holds no borrow of the world while it calls back, because the called code may use the connection. A
//! connection that is dropped without a close is a process that died: its member stays in the group until the session
//! times out, and its records in flight may still be written. Must not know the engine.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use super::{
    committing::Committing,
    fetching::{Fetched, Fetching},
    group::Group,
    log::Written,
    membership::{Membership, Told},
    positions::{CommitEntry, Positions, Sent},
    reader::MemoryReader,
    spec::{ConnectionSpec, OnPoint, Point},
    state::State,
    transacting::Transacting,
    writer::Writer,
};
use crate::{
    base::{
        error::Error,
        index::{EdgeIx, SourceIx},
    },
    engine::port::{
        Clock, CommitError, Event, GroupOffsets, Kafka, Log, Member, Outgoing, Position, Producer,
        Reader, Report, SendError, Step, Transactions, Unstable,
    },
};

/// How far the clock of a dead process is ahead of the world's: everything that the process waits for while it shuts
/// down times out immediately.
const AFTER_DEATH: Duration = Duration::from_secs(86_400);

/// One worker's connection to a world.
pub(crate) struct Connection {
    state: Rc<RefCell<State>>,
    name: Rc<str>,
    group: String,
    instance: Option<String>,
    sources: Vec<Rc<str>>,
    targets: Vec<Rc<str>>,
    table: Option<MemoryReader>,
    on_point: Option<OnPoint>,
    tears_commits: bool,
    writer: Writer,
    membership: RefCell<Membership>,
    committing: Committing,
    fetching: RefCell<Fetching>,
    /// How many records may still be returned before the pending event of the group; `None` until that is decided.
    overtaking: Cell<Option<u64>>,
    /// How far the clock of this connection is ahead; `None` until the connection is closed or its process dies.
    dead: Cell<Option<Duration>>,
}

enum Found {
    Fetched(Fetched),
    Told(Told),
}

impl Connection {
    pub(super) fn new(state: Rc<RefCell<State>>, spec: ConnectionSpec) -> Result<Self, Error> {
        let name: Rc<str> = spec.name.into();
        let topics =
            |topics: Vec<String>| -> Vec<Rc<str>> { topics.into_iter().map(Rc::from).collect() };
        let (sources, targets) = (topics(spec.sources), topics(spec.targets));
        let table: Option<Rc<str>> = spec.table.map(Rc::from);
        let writer = {
            let mut state = state.borrow_mut();
            for topic in sources.iter().chain(&targets).chain(&table) {
                state.topics.log(topic, 0)?;
            }
            let leader = table.as_ref().or(sources.first());
            let partitions = leader.map_or(0, |topic| state.topics.partitions(topic));
            let takes = state.settings.rebalance;
            let group = || Group::new(partitions, takes);
            state.groups.entry(spec.group.clone()).or_insert_with(group);
            match spec.transactional_id {
                None => Writer::Plain(state.new_producer()),
                Some(id) => {
                    Writer::Transacting(Box::new(Transacting::begin(&mut state, id.into())))
                }
            }
        };
        Ok(Connection {
            table: table.map(|topic| MemoryReader::new(Rc::clone(&state), topic)),
            state,
            name,
            group: spec.group,
            instance: spec.instance,
            sources,
            targets,
            on_point: spec.on_point,
            tears_commits: spec.tears_commits,
            writer,
            membership: RefCell::default(),
            committing: Committing::default(),
            fetching: RefCell::default(),
            overtaking: Cell::new(None),
            dead: Cell::default(),
        })
    }

    /// Ends the process. No call that the process makes while it shuts down has an effect.
    fn die(&self) {
        if self.is_dead() {
            return;
        }
        self.dead.set(Some(AFTER_DEATH));
        if let Some(table) = &self.table {
            table.die();
        }
        let mut state = self.state.borrow_mut();
        self.committing.die(&mut state, &self.group);
        self.writer.die(&mut state);
    }

    fn is_dead(&self) -> bool {
        self.dead.get().is_some()
    }

    fn transacting(&self) -> Option<&Transacting> {
        self.writer.transacting()
    }

    fn sent(&self, positions: &[Position]) -> Result<Sent, Error> {
        self.answer("commit offsets")?;
        Ok(Sent {
            member: self.membership.borrow().member,
            generation: self.state.borrow().generation(&self.group),
            tears: self.tears_commits,
            entries: self.entries(positions)?,
        })
    }

    /// The commit entries for these positions, in the name of this connection.
    fn entries(&self, positions: &[Position]) -> Result<Vec<CommitEntry>, Error> {
        let entry = |position: &Position| {
            let topic = match (position.log, &self.table) {
                (Log::Source(source), _) => self.source(source)?,
                (Log::Changelog, Some(table)) => table.topic(),
                (Log::Changelog, None) => return Err(Error::Closed("the changelog")),
            };
            Ok(CommitEntry::of(position, topic, &self.name))
        };
        positions.iter().map(entry).collect()
    }

    /// Tells the simulation that the worker has reached a point, where the simulation may end the process.
    fn pass(&self, point: Point) -> Result<(), Error> {
        if self.is_dead() {
            return Err(Error::Closed("this connection"));
        }
        let Some(on_point) = &self.on_point else {
            return Ok(());
        };
        on_point(point).inspect_err(|_| {
            let mut state = self.state.borrow_mut();
            state.note(|| format!("{} dies: {point:?}", self.name));
            state.mishaps.crashed += 1;
            drop(state);
            self.die();
        })
    }

    /// Returns an error if the brokers do not answer requests now.
    fn answer(&self, doing: &str) -> Result<(), Error> {
        self.pass(Point::Asks)?;
        self.state.borrow_mut().answer(doing)
    }

    fn heartbeat(&self, state: &mut State) {
        let (new, now) = (state.new_id(), state.now);
        let Some(group) = state.groups.get_mut(&self.group) else {
            return;
        };
        let mut membership = self.membership.borrow_mut();
        if membership.heartbeat(group, self.instance.as_deref(), new, now) {
            state.note(|| format!("{} joins the group as member {new}", self.name));
        }
    }

    /// Sends a heartbeat. Called in every wait, because librdkafka sends heartbeats whatever its application does.
    fn be_heard(&self, state: &mut State) {
        let (member, now) = (self.membership.borrow().member, state.now);
        let group = state.groups.get_mut(&self.group);
        if let (Some(group), Some(member)) = (group, member) {
            group.hear(member, now);
        }
    }

    fn next(&self, state: &mut State) -> Option<Found> {
        if self.is_dead() || state.is_broker_away() {
            return None;
        }
        self.heartbeat(state);
        let now = state.now;
        let State {
            groups,
            topics,
            chance,
            ..
        } = state;
        let group = groups.get_mut(&self.group)?;
        let mut membership = self.membership.borrow_mut();
        let news = membership.has_news(group, now);
        let first = match self.overtaking.get() {
            None if news => chance.below(4),
            Some(left) => left,
            None => 0,
        };
        if !news || first > 0 {
            let mut fetching = self.fetching.borrow_mut();
            let fetched = fetching.fetch(&self.sources, topics, chance);
            if let Some(fetched) = fetched {
                self.overtaking.set(news.then(|| first - 1));
                return Some(Found::Fetched(fetched));
            }
        }
        self.overtaking.set(None);
        let told = membership.listen(group, now)?;
        state.note(|| format!("{} gets {told:?}", self.name));
        Some(Found::Told(told))
    }

    fn give(&self, found: Found, on: &mut dyn FnMut(Event<'_>)) {
        on(match &found {
            Found::Fetched(Fetched::Record(source, partition, record)) => Event::Record {
                source: SourceIx::new(*source),
                record: record.as_record(*partition),
            },
            Found::Fetched(Fetched::OutOfRange(source, partition)) => Event::OutOfRange {
                source: SourceIx::new(*source),
                partition: *partition,
            },
            Found::Told(Told::Assigned(partitions)) => Event::Assigned(partitions.clone()),
            Found::Told(Told::Revoked { partitions, lost }) => Event::Revoked {
                partitions: partitions.clone(),
                lost: *lost,
            },
            Found::Told(Told::Fenced) => Event::Failed(Error::kafka(
                format!("stay in group `{}`", self.group),
                "another member has the same `group.instance.id`",
            )),
        });
    }

    fn target(&self, target: EdgeIx) -> Result<&Rc<str>, Error> {
        let target = target.index();
        let topic = self.targets.get(target);
        topic.ok_or_else(|| Error::Topic(format!("target {target} does not exist")))
    }

    fn source(&self, source: SourceIx) -> Result<&Rc<str>, Error> {
        let source = source.index();
        let topic = self.sources.get(source);
        topic.ok_or_else(|| Error::Topic(format!("source {source} does not exist")))
    }
}

impl Clock for Connection {
    fn now(&self) -> Duration {
        self.state.borrow().now + self.dead.get().unwrap_or_default()
    }

    fn wall_ms(&self) -> i64 {
        self.state.borrow().wall_ms()
    }
}

impl Member for Connection {
    fn poll(&self, wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool {
        if self.pass(Point::Asks).is_err() {
            return false;
        }
        let deadline = self.state.borrow_mut().begin_wait(wait);
        loop {
            let found = self.next(&mut self.state.borrow_mut());
            if let Some(found) = found {
                self.give(found, on);
                return true;
            }
            if !self.state.borrow_mut().go_on_waiting(deadline) {
                return false;
            }
        }
    }

    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} assigns partition {partition} at {offsets:?}", self.name));
        self.fetching.borrow_mut().assign(partition, offsets);
        Ok(())
    }

    fn unassign(&self, partition: i32) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} unassigns partition {partition}", self.name));
        let State { topics, chance, .. } = &mut *state;
        let mut fetching = self.fetching.borrow_mut();
        fetching.unassign(partition, &self.sources, topics, chance);
        Ok(())
    }

    fn released(&self, partitions: &[i32]) -> Result<(), Error> {
        if self.is_dead() {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        self.committing.arrive(&mut state, &self.group);
        state.note(|| format!("{} has given back {partitions:?}", self.name));
        let now = state.now;
        if let Some(group) = state.groups.get_mut(&self.group) {
            self.membership
                .borrow_mut()
                .released(group, partitions, now);
        }
        Ok(())
    }

    fn commit(&self, positions: &[Position]) -> Result<(), CommitError> {
        let sent = self.sent(positions).map_err(CommitError::Again)?;
        self.committing
            .take(&mut self.state.borrow_mut(), &self.group, sent)
    }

    fn begin_commit(&self, positions: &[Position]) {
        let sent = self.sent(positions);
        self.committing
            .begin(&mut self.state.borrow_mut(), &self.group, sent);
    }

    fn commit_outcome(&self) -> Option<Result<(), CommitError>> {
        self.committing
            .outcome(&mut self.state.borrow_mut(), &self.group)
    }

    fn committed(&self, partition: i32) -> Result<GroupOffsets, Error> {
        self.answer("fetch committed offsets")?;
        let mut state = self.state.borrow_mut();
        self.committing.arrive(&mut state, &self.group);
        let moment = state.moment;
        state.asked.push((moment, partition));
        let is_unstable =
            |topic: &Rc<str>| state.coordinator.is_unstable(&self.group, topic, partition);
        let table = self.table.as_ref().map(MemoryReader::topic);
        if self.transacting().is_some() && self.sources.iter().chain(table).any(is_unstable) {
            return Err(Error::kafka("fetch committed offsets", Unstable));
        }
        let group = state.groups.get(&self.group);
        let committed = |topic: &Rc<str>| group?.committed(topic, partition).cloned();
        Ok(GroupOffsets {
            sources: self.sources.iter().map(committed).collect(),
            changelog: table.and_then(committed),
        })
    }

    fn bounds(&self, source: SourceIx, partition: i32) -> Result<(i64, i64), Error> {
        self.answer("fetch the offsets of a partition")?;
        let state = self.state.borrow();
        let log = state.topics.log(self.source(source)?, partition)?;
        Ok(log.bounds())
    }
}

impl Producer for Connection {
    fn partitions(&self, target: EdgeIx) -> i32 {
        self.target(target)
            .map_or(0, |topic| self.state.borrow().topics.partitions(topic))
    }

    fn record_max(&self) -> usize {
        self.state.borrow().record_max()
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError> {
        self.pass(Point::Sends).map_err(SendError::Refused)?;
        let topic = self.target(record.target).map_err(SendError::Refused)?;
        let mut state = self.state.borrow_mut();
        state.accept(self.writer.producer(), topic, record)?;
        let written = Written {
            offset: 0,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.clone(),
            by: Rc::clone(&self.name),
            moment: 0,
        };
        let place = (Rc::clone(topic), record.partition);
        self.writer.send(&mut state, place, written, record.tag);
        Ok(())
    }

    fn serve(&self, wait: Duration, on: &mut dyn FnMut(Report)) {
        if self.pass(Point::Asks).is_err() {
            // The process is dead. All its records have failed, so nobody waits for them. Its clock runs on, so that
            // later waits end as well.
            self.dead.update(|ahead| ahead.map(|ahead| ahead + wait));
            let reports = self.writer.take_reports(&mut self.state.borrow_mut());
            return reports.into_iter().for_each(on);
        }
        let deadline = self.state.borrow_mut().begin_wait(wait);
        loop {
            let reports = self.writer.take_reports(&mut self.state.borrow_mut());
            let waits = reports.is_empty();
            reports.into_iter().for_each(&mut *on);
            let mut state = self.state.borrow_mut();
            self.be_heard(&mut state);
            if !waits || !state.go_on_waiting(deadline) {
                return;
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.writer.in_flight(&self.state.borrow())
    }

    fn purge(&self) {
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} purges its producer", self.name));
        state.purge(self.writer.producer(), false);
    }
}

impl Transactions for Connection {
    fn end_transaction(&self) {
        self.transacting().into_iter().for_each(Transacting::end);
    }

    fn commit_transaction(&self, positions: &[Position]) {
        let Some(transacting) = self.transacting() else {
            return;
        };
        // The simulation may pause the worker in `pass` below. After the pause, the worker continues with what it read
        // here.
        let member = self.membership.borrow().member;
        let generation = self.state.borrow().generation(&self.group);
        let entries = self.entries(positions);
        if self.pass(Point::Asks).is_err() {
            return;
        }
        let (Some(member), Ok(entries)) = (member, entries) else {
            let why = "this worker is no longer a member of the group";
            return transacting.refuse(Error::kafka("commit a transaction", why));
        };
        let positions = Positions {
            group: self.group.clone(),
            member,
            generation,
            entries,
        };
        transacting.commit(&mut self.state.borrow_mut(), positions);
    }

    fn abort_transaction(&self) {
        if let (Some(transacting), false) = (self.transacting(), self.is_dead()) {
            transacting.abort(&mut self.state.borrow_mut());
        }
    }

    fn transaction(&self) -> Option<Result<(), Error>> {
        if self.is_dead() {
            return Some(Err(Error::Closed("this connection")));
        }
        self.transacting()?.outcome(&mut self.state.borrow_mut())
    }

    fn is_full(&self) -> bool {
        self.in_flight() > 200
    }

    fn table_end(&self, partition: i32) -> Result<i64, Error> {
        self.answer("fetch the end offset of a partition")?;
        let end = |table: &MemoryReader| table.end(partition);
        self.table.as_ref().map_or(Ok(0), end)
    }

    fn fence(&self, partition: i32, before: &BTreeSet<String>) {
        if let Some(transacting) = self.transacting() {
            let state = &mut *self.state.borrow_mut();
            state.note(|| format!("{} fences owners of partition {partition}", self.name));
            transacting.fence(state, &self.group, &self.sources, partition, before);
        }
    }
}

impl Kafka for Connection {
    fn table(&self) -> Option<&dyn Reader> {
        let table = self.table.as_ref();
        table.map(|table| table as &dyn Reader)
    }

    fn reached(&self, step: Step) -> Result<(), Error> {
        self.pass(Point::Reached(step))
    }

    fn close(&self) {
        if self.is_dead() {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            state.note(|| format!("{} closes", self.name));
            let (member, now) = (self.membership.borrow().member, state.now);
            let group = state.groups.get_mut(&self.group);
            if let (Some(id), Some(group)) = (member, group) {
                group.leave(id, now);
            }
        }
        self.die();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_dead() {
            return;
        }
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} is killed", self.name));
        state.mishaps.crashed += 1;
        drop(state);
        self.die();
    }
}
