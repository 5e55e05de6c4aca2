//! The state of a world, and its virtual time, which jumps from each event to the next. Must not know what is behind a
//! connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use super::{
    chance::Chance,
    coordinator::{Coordinator, Landing},
    group::{Group, MemberId},
    log::{Topics, Written},
    positions::{CommitEntry, Late},
    producer::{Due, Flight, Place, Producer},
};
use crate::{
    base::{error::Error, record::wire_size},
    engine::port::{CommitError, Committed, Outgoing, Report, SendError},
};

/// Wall clock of a new world: 2026-01-01, in milliseconds since 1970.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// How long after the death of a process the records in its socket may still land.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a request takes to fail while the brokers are away.
const NO_ANSWER: Duration = Duration::from_millis(100);

/// How much time a call takes that does not wait.
const CALL: Duration = Duration::from_micros(1);

/// The settings of a world.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `session.timeout.ms`
    pub(crate) session: Duration,
    /// How long a member takes to learn that partitions move.
    pub(crate) rebalance: Duration,
    /// `message.timeout.ms`
    pub(crate) message_timeout: Duration,
    /// `transaction.timeout.ms`
    pub(crate) transaction_timeout: Duration,
    /// How many records a producer holds at most, `queue.buffering.max.messages`.
    pub(crate) queue_max: usize,
    /// Maximum size of a record, `message.max.bytes`.
    pub(crate) record_bytes_max: usize,
    /// Whether a commit whose answer was given up or lost may be applied later, after later commits of its sender.
    pub(crate) late_commits: bool,
    /// Whether the coordinator may refuse single offsets of a commit, and store the others.
    pub(crate) torn_commits: bool,
    /// Decides delays, overtaking and rejections. Without a seed there are none of these.
    pub(crate) chance: Chance,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            session: Duration::from_secs(6),
            rebalance: Duration::ZERO,
            message_timeout: Duration::from_secs(4),
            transaction_timeout: Duration::from_secs(15),
            queue_max: 100_000,
            record_bytes_max: 1_000_000,
            late_commits: false,
            torn_commits: false,
            chance: Chance::none(),
        }
    }
}

/// Counts what has gone wrong in a world. If all counts are 0, every record is handled exactly once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mishaps {
    pub(crate) expelled: u32,
    /// Connections that were dropped without a close.
    pub(crate) crashed: u32,
    pub(crate) failed_deliveries: u32,
    pub(crate) refused_commits: u32,
    /// Transactions whose outcome the worker did not learn.
    pub(crate) in_doubt: u32,
    pub(crate) outages: u32,
}

#[derive(Default)]
pub(super) struct Slow {
    pub(super) until: Duration,
    pub(super) delay: Duration,
}

pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) now: Duration,
    pub(super) moment: u64,
    pub(super) chance: Chance,
    pub(super) topics: Topics,
    pub(super) groups: BTreeMap<String, Group>,
    /// The topic for which producers refuse records.
    pub(super) refused: Option<String>,
    pub(super) producers: BTreeMap<u64, Producer>,
    pub(super) coordinator: Coordinator,
    next_id: u64,
    pub(super) broker_is_back_at: Duration,
    pub(super) slow: Slow,
    pub(super) failing: BTreeMap<Rc<str>, (u64, bool)>,
    pub(super) commits: Vec<CommitEntry>,
    /// Commits that their senders have given up, and that are still on their way.
    pub(super) late: Vec<Late>,
    /// The moments at which members asked for the committed offsets of a partition, with the partition.
    pub(super) asked: Vec<(u64, i32)>,
    pub(super) mishaps: Mishaps,
    pub(super) trace: Option<Vec<String>>,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        State {
            now: Duration::ZERO,
            moment: 0,
            chance: settings.chance.clone(),
            topics: Topics::default(),
            groups: BTreeMap::new(),
            refused: None,
            producers: BTreeMap::new(),
            coordinator: Coordinator::default(),
            next_id: 0,
            broker_is_back_at: Duration::ZERO,
            slow: Slow::default(),
            failing: BTreeMap::new(),
            commits: Vec::new(),
            late: Vec::new(),
            asked: Vec::new(),
            mishaps: Mishaps::default(),
            trace: None,
            settings,
        }
    }

    pub(super) fn wall_ms(&self) -> i64 {
        let passed = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        BEGINNING_MS.saturating_add(passed)
    }

    /// Returns a new id for a member or a producer.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3}s  {}", self.now.as_secs_f64(), line()));
        }
    }

    pub(super) fn is_broker_away(&self) -> bool {
        self.now < self.broker_is_back_at
    }

    pub(super) fn is_idle(&self) -> bool {
        self.producers.values().all(Producer::is_idle)
    }

    pub(super) fn append(
        &mut self,
        topic: &str,
        partition: i32,
        record: Written,
    ) -> Result<i64, Error> {
        self.append_to(topic, partition, record, None)
    }

    /// Appends a record, as a part of `transaction` if there is one.
    pub(super) fn append_to(
        &mut self,
        topic: &str,
        partition: i32,
        mut record: Written,
        transaction: Option<u64>,
    ) -> Result<i64, Error> {
        record.moment = self.next_moment();
        let shown = self.trace.is_some().then(|| show(&record));
        let log = self.topics.log_mut(topic, partition)?;
        let offset = match transaction {
            Some(transaction) => log.append_to(transaction, record),
            None => log.append(record),
        };
        self.note(|| {
            format!(
                "{topic}/{partition} @ {offset}: {}",
                shown.unwrap_or_default()
            )
        });
        Ok(offset)
    }

    pub(super) fn new_producer(&mut self) -> u64 {
        let id = self.new_id();
        self.producers.insert(id, Producer::default());
        id
    }

    pub(super) fn record_max(&self) -> usize {
        self.settings.record_bytes_max
    }

    /// Checks whether a producer accepts a record.
    pub(super) fn accept(
        &self,
        producer: u64,
        topic: &str,
        record: &Outgoing<'_>,
    ) -> Result<(), SendError> {
        if self.refused.as_deref() == Some(topic) {
            let why = Error::kafka(format!("write to topic `{topic}`"), "the topic is refused");
            return Err(SendError::Refused(why));
        }
        let log = self.topics.log(topic, record.partition);
        log.map_err(SendError::Refused)?;
        let bytes = wire_size(record.key, record.value, record.headers);
        if bytes > self.settings.record_bytes_max {
            return Err(SendError::Refused(Error::kafka(
                format!("write to topic `{topic}`"),
                format!("a record of {bytes} bytes is larger than `message.max.bytes`"),
            )));
        }
        match self.in_flight(producer) {
            held if held >= self.settings.queue_max => Err(SendError::Full),
            _ => Ok(()),
        }
    }

    /// Sends a record from a producer, and decides when it lands, when its report arrives, and whether it is lost.
    pub(super) fn send(
        &mut self,
        (producer, transaction): (u64, Option<u64>),
        place: Place,
        record: Written,
        tag: u32,
    ) {
        let delay = self.delay();
        let report_takes = self.delay();
        let failing = self.failing.get_mut(&record.by);
        let fate = failing
            .filter(|(count, _)| *count > 0)
            .map(|(count, landed)| {
                *count -= 1;
                *landed
            });
        let timeout = self.settings.message_timeout;
        let flight = Flight {
            record,
            tag,
            transaction,
            lands_at: self.now + delay,
            // A record that lands fails nevertheless if its report does not arrive within the timeout.
            report_takes: if fate == Some(true) {
                timeout
            } else {
                report_takes
            },
            times_out_at: self.now + timeout,
            lost: fate == Some(false),
            forgotten: false,
        };
        if let Some(producer) = self.producers.get_mut(&producer) {
            producer.send(place, flight);
        }
    }

    /// Returns a random time that a transfer through the network takes.
    pub(super) fn delay(&mut self) -> Duration {
        let slow = if self.now < self.slow.until {
            self.slow.delay
        } else {
            Duration::ZERO
        };
        let slow_us = u64::try_from(slow.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.chance.below(10_000) + self.chance.below(slow_us))
    }

    /// Reports all records of a producer as failed. If `dead`, the process of the producer and its socket are gone.
    pub(super) fn purge(&mut self, producer: u64, dead: bool) {
        let until = if dead {
            self.now + LAST_WORDS
        } else {
            Duration::MAX
        };
        if let Some(producer) = self.producers.get_mut(&producer) {
            let purged = producer.purge(&mut self.chance, until);
            self.mishaps.failed_deliveries += if dead { 0 } else { purged };
        }
    }

    pub(super) fn in_flight(&self, producer: u64) -> usize {
        let producer = self.producers.get(&producer);
        producer.map_or(0, Producer::in_flight)
    }

    pub(super) fn take_reports(&mut self, producer: u64) -> Vec<Report> {
        let producer = self.producers.get_mut(&producer);
        producer.map(Producer::take_reports).unwrap_or_default()
    }

    /// Returns an error if the brokers do not answer now. Returning the error takes [`NO_ANSWER`].
    pub(super) fn answer(&mut self, doing: &str) -> Result<(), Error> {
        if !self.is_broker_away() {
            return Ok(());
        }
        self.advance_to(self.now + NO_ANSWER);
        Err(Error::kafka(doing, "the brokers do not answer"))
    }

    /// The reason why a member cannot commit now; `None` if it can.
    pub(super) fn refuse_commit(
        &mut self,
        group: &str,
        member: Option<MemberId>,
    ) -> Option<CommitError> {
        let doing = || format!("commit offsets of group `{group}`");
        let group = self.groups.get(group)?;
        if !member.is_some_and(|id| group.is_member(id)) {
            let error = Error::kafka(doing(), "this member is not in the group");
            return Some(CommitError::NotMember(error));
        }
        if group.is_rebalancing() && self.chance.one_in(4) {
            self.mishaps.refused_commits += 1;
            let error = Error::kafka(doing(), "the group is rebalancing");
            return Some(CommitError::Again(error));
        }
        None
    }

    pub(super) fn generation(&self, group: &str) -> u64 {
        self.groups.get(group).map_or(0, Group::generation)
    }

    /// Marks the entries of partitions that the member owns now.
    pub(super) fn mark_owned(&self, group: &str, member: MemberId, entries: &mut [CommitEntry]) {
        for entry in entries {
            let group = self.groups.get(group);
            entry.owned = group.is_some_and(|group| group.owns(member, entry.partition));
        }
    }

    /// Stores the positions of one request of a member that may commit.
    pub(super) fn commit_all(&mut self, group: &str, entries: Vec<CommitEntry>) {
        let request = self.next_moment();
        for entry in entries {
            self.commit(group, CommitEntry { request, ..entry });
        }
    }

    fn commit(&mut self, group: &str, entry: CommitEntry) {
        let moment = self.next_moment();
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        let (topic, partition, offset) = (&entry.topic, entry.partition, entry.offset);
        let metadata = entry.metadata.clone();
        let before = group
            .committed(topic, partition)
            .map(|before| before.offset);
        group.commit(topic, partition, Committed { offset, metadata });
        if before != Some(offset) {
            let late = if entry.is_late { " late" } else { "" };
            self.note(|| format!("{} commits{late} {topic}/{partition} @ {offset}", entry.by));
        }
        self.commits.push(CommitEntry { moment, ..entry });
    }

    /// Begins a call that waits, and returns its deadline. Every such call takes a little time, so that time passes in
    /// a loop of polls that find nothing.
    pub(super) fn begin_wait(&mut self, wait: Duration) -> Duration {
        self.advance_to(self.now + CALL);
        self.now + wait
    }

    /// Lets time pass until the next event. Returns `false` if the deadline has passed.
    pub(super) fn go_on_waiting(&mut self, deadline: Duration) -> bool {
        if self.now >= deadline {
            return false;
        }
        // The step is at most as long as the heartbeat interval, so that a connection that waits sends its heartbeats.
        let next = self.next_at().unwrap_or(deadline);
        let step = next.min(deadline).min(self.now + self.settings.session / 3);
        self.advance_to(step.max(self.now));
        true
    }

    /// Lets time pass until the moment `until`, and handles everything that is due by then.
    pub(super) fn advance_to(&mut self, until: Duration) {
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.happen();
        }
        self.now = self.now.max(until);
    }

    /// The time of the next event.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let back_at = self.broker_is_back_at;
        let producers = self.producers.values();
        let producers = producers.filter_map(|producer| producer.next_at(back_at));
        let session = self.settings.session;
        let silent = self.groups.values().filter_map(Group::most_silent);
        // The coordinator restarts the session timeouts when it comes back.
        let expelled = silent.map(|heard| heard.max(back_at) + session);
        let groups = self.groups.values();
        let told = groups.filter_map(|group| group.next_order_at(self.now));
        let decided = self.coordinator.next_at(self.now, back_at);
        let late = self.late.iter().map(|late| late.at.max(back_at)).min();
        let events = producers.chain(expelled).chain(told).chain(decided);
        events.chain(late).min()
    }

    /// Handles everything that is due now.
    fn happen(&mut self) {
        let (now, back_at) = (self.now, self.broker_is_back_at);
        let ids: Vec<u64> = self.producers.keys().copied().collect();
        for id in ids {
            while let Some(due) = self
                .producers
                .get_mut(&id)
                .and_then(|p| p.next(now, back_at))
            {
                match due {
                    Due::Land(place, flight) => self.land(id, place, *flight),
                    Due::TimedOut => self.mishaps.failed_deliveries += 1,
                }
            }
            if let Some(producer) = self.producers.get_mut(&id) {
                producer.deliver_reports(now);
            }
        }
        self.coordinate();
        self.apply_late();
        let session = self.settings.session;
        let mut expelled: BTreeSet<MemberId> = BTreeSet::new();
        for group in self.groups.values_mut() {
            group.hear_all(back_at.min(now));
            expelled.extend(group.expel(session, now));
        }
        for id in expelled {
            self.mishaps.expelled += 1;
            self.note(|| format!("member {id} is expelled: its session timed out"));
        }
    }

    fn land(&mut self, producer: u64, place: Place, mut flight: Flight) {
        let now = self.now;
        let id = self.producers.get(&producer);
        let id = id.and_then(|producer| producer.transactional_id.clone());
        let landing = match &id {
            Some(id) => self.land_in_transaction((producer, id), &place, &flight),
            None => match self.append(&place.0, place.1, flight.record.clone()) {
                Ok(offset) => Landing::At(offset),
                // Cannot happen: opening a connection to a topic that does not exist fails.
                Err(_) => return,
            },
        };
        let failed = now + flight.report_takes >= flight.times_out_at;
        let Some(producer) = self.producers.get_mut(&producer) else {
            return;
        };
        match landing {
            Landing::At(offset) => {
                self.mishaps.failed_deliveries += u32::from(failed && !flight.forgotten);
                producer.landed(place, &flight, offset, now);
            }
            Landing::NotBefore(at) => {
                flight.lands_at = at;
                flight.times_out_at = flight.times_out_at.max(at + Duration::from_micros(1));
                producer.put_back(place, flight);
            }
            Landing::Never(why) => producer.refused(&flight, why),
        }
    }
}

fn show(record: &Written) -> String {
    let text = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.as_deref();
        bytes.map_or("null".into(), |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        })
    };
    let more = if record.headers.is_empty() {
        ""
    } else {
        " with headers"
    };
    let (key, value) = (text(&record.key), text(&record.value));
    format!("{key} = {value}{more}, by {}", record.by)
}
