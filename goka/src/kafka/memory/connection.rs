//! A worker's connection: group member and producer of a process that may die at any point.
//!
//! Never holds a borrow of the world while it calls back: what it calls may call it again. Dropped
//! without a close, it is a process that died: its member stays until the session is over, and what
//! it had sent may still land. Must not know the engine.

mod calls;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use super::{
    fetching::{Fetched, Fetching},
    group::Group,
    membership::{Membership, Told},
    reader::MemoryReader,
    state::{CommitEntry, State},
    transacting::Transacting,
};
use crate::{
    Error,
    kafka::{Event, Position, Report, Step},
};

/// How far the clock of a dead process is ahead.
const AFTER_DEATH: Duration = Duration::from_secs(86_400);

/// Where a worker may be stopped for a while, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// It got to a step of the commit protocol.
    Reached(Step),
    /// It is about to hand a record to its producer.
    Sends,
    /// It is about to ask the brokers, or to wait for them.
    Asks,
}

/// Called at every point that a worker comes by; an error ends the process there.
pub(crate) type OnPoint = Rc<dyn Fn(Point) -> Result<(), Error>>;

/// Who connects, and to what.
pub(crate) struct ConnectionSpec {
    /// For traces, and for [`super::World::fail_deliveries`].
    pub(crate) name: String,
    pub(crate) group: String,
    /// `group.instance.id`: who comes back under it gets its place back.
    pub(crate) instance: Option<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) targets: Vec<String>,
    /// The group table's topic.
    pub(crate) table: Option<String>,
    /// Exactly-once.
    pub(crate) transactional_id: Option<String>,
    pub(crate) on_point: Option<OnPoint>,
}

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
    writer: Writer,
    membership: RefCell<Membership>,
    fetching: RefCell<Fetching>,
    /// How many records may still come before what the group has to say.
    overtaking: Cell<Option<u64>>,
    /// Closed, or its process ended.
    dead: Cell<bool>,
}

/// A producer, or one after another.
enum Writer {
    Plain(u64),
    Transacting(Transacting),
}

impl Writer {
    fn producer(&self) -> u64 {
        match self {
            Writer::Plain(producer) => *producer,
            Writer::Transacting(transacting) => transacting.producer(),
        }
    }

    fn take_reports(&self, state: &mut State) -> Vec<Report> {
        match self {
            Writer::Plain(producer) => state.take_reports(*producer),
            Writer::Transacting(transacting) => transacting.take_reports(state),
        }
    }
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
                Some(id) => Writer::Transacting(Transacting::begin(&mut state, id.into())),
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
            writer,
            membership: RefCell::default(),
            fetching: RefCell::default(),
            overtaking: Cell::new(None),
            dead: Cell::new(false),
        })
    }

    /// The process ends here: nothing that it calls on its way out has an effect.
    fn die(&self) {
        if self.dead.replace(true) {
            return;
        }
        if let Some(table) = &self.table {
            table.die();
        }
        let state = &mut *self.state.borrow_mut();
        match &self.writer {
            Writer::Plain(producer) => state.purge(*producer, true),
            Writer::Transacting(transacting) => transacting.die(state),
        }
    }

    fn transacting(&self) -> Option<&Transacting> {
        match &self.writer {
            Writer::Plain(_) => None,
            Writer::Transacting(transacting) => Some(transacting),
        }
    }

    /// What is committed of positions, in the name of this connection.
    fn entries(&self, positions: &[Position], metadata: &str) -> Result<Vec<CommitEntry>, Error> {
        let entry = |position: &Position| {
            Ok(CommitEntry {
                by: Rc::clone(&self.name),
                topic: Rc::clone(self.source(position.source)?),
                partition: position.partition,
                offset: position.offset,
                metadata: metadata.to_owned(),
                moment: 0,
                owned: false,
            })
        };
        positions.iter().map(entry).collect()
    }

    /// A process may end at every point that it comes by.
    fn pass(&self, point: Point) -> Result<(), Error> {
        if self.dead.get() {
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

    /// Whether requests are answered; `Err` says that they aren't.
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

    /// librdkafka sends heartbeats whatever its application is doing.
    fn be_heard(&self, state: &mut State) {
        let (member, now) = (self.membership.borrow().member, state.now);
        let group = state.groups.get_mut(&self.group);
        if let (Some(group), Some(member)) = (group, member) {
            group.hear(member, now);
        }
    }

    fn next(&self, state: &mut State) -> Option<Found> {
        if self.dead.get() || state.is_broker_away() {
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
        state.note(|| format!("{} is told: {told:?}", self.name));
        Some(Found::Told(told))
    }

    fn give(&self, found: Found, on: &mut dyn FnMut(Event<'_>)) {
        on(match &found {
            Found::Fetched(Fetched::Record(source, partition, record)) => {
                Event::Record(record.as_record(*source, *partition))
            }
            Found::Fetched(Fetched::OutOfRange(source, partition)) => Event::OutOfRange {
                source: *source,
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

    fn target(&self, target: usize) -> Result<&Rc<str>, Error> {
        let topic = self.targets.get(target);
        topic.ok_or_else(|| Error::Topic(format!("there is no target {target}")))
    }

    fn source(&self, source: usize) -> Result<&Rc<str>, Error> {
        let topic = self.sources.get(source);
        topic.ok_or_else(|| Error::Topic(format!("there is no source {source}")))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.dead.get() {
            return;
        }
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} is killed", self.name));
        state.mishaps.crashed += 1;
        drop(state);
        self.die();
    }
}
