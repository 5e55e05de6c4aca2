//! Carries out a schedule: workers in slots, on one thread, in one world.
//!
//! A worker that pauses in the middle of a turn stays on the call stack, and the following actions of the schedule run
//! above it on the stack. Must not know what a worker is, nor what is expected of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    time::Duration,
};

use super::{
    Driven, GROUP, INPUTS, Rig, SWITCH, TABLE, TOPICS, outside,
    schedule::{Action, SLOTS, Schedule},
};
use crate::{
    base::{error::Error, partitioner::Partitioner, record::OwnedHeaders},
    sim::kafka::{Chance, ConnectionSpec, Point, Settings, World},
};

/// How long a process takes to start. In this time, the records in the socket of the slot's dead process are written.
const START: Duration = Duration::from_secs(1);
/// Maximum virtual time for processing everything once no more faults happen.
const PATIENCE: Duration = Duration::from_secs(180);
/// The same maximum as [`PATIENCE`], for schedules in which each record of a partition may take seconds.
const PATIENCE_WITH_SLOW: Duration = Duration::from_secs(3600);
/// `transaction.timeout.ms`: longer than [`PATIENCE`], so that a transaction that stays open is found before it times
/// out.
const TRANSACTION: Duration = Duration::from_secs(300);
/// How long idle workers keep running at the end: long enough for their checks for rows of other workers, which happen
/// only from time to time.
const AFTERWARDS: Duration = Duration::from_secs(40);

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) partitions: i32,
    pub(super) schedule: Schedule,
    next: Cell<usize>,
    rig: RefCell<Box<dyn Rig>>,
    slots: [Slot; SLOTS],
    failure: RefCell<Option<String>>,
    /// For each partition whose changelog has lost records to compaction, the moment at which that first happened.
    pub(super) compacted: RefCell<BTreeMap<i32, u64>>,
    /// The local copies of workers that have ended, at that moment.
    pub(super) left_behind: RefCell<Vec<LeftBehind>>,
}

/// The local copies that a worker has left on its disk.
pub(super) struct LeftBehind {
    pub(super) moment: u64,
    pub(super) slot: usize,
    pub(super) copies: Vec<super::Copy>,
}

#[derive(Default)]
struct Slot {
    worker: RefCell<Worker>,
    trap: RefCell<Option<Trap>>,
    frozen_until: Cell<Duration>,
    /// Whether a handler of the slot's worker was told to fail.
    may_fail: Cell<bool>,
    free_at: Cell<Duration>,
}

#[derive(Default)]
enum Worker {
    #[default]
    None,
    Waiting(Box<dyn Driven>),
    /// The worker is in a turn, and the turn is on the call stack.
    Driven,
    /// The worker is in a turn, and is killed as soon as the call stack returns to it.
    Dying,
}

/// What happens when a worker reaches `point` for the `nth` time.
struct Trap {
    point: Point,
    nth: u64,
    /// How long the worker pauses, in milliseconds; `None` kills the worker.
    freeze_ms: Option<u64>,
}

impl Stage {
    /// Runs a schedule, and continues until everything is processed. The error says what went wrong.
    pub(super) fn run(
        schedule: Schedule,
        rig: Box<dyn Rig>,
        world: World,
    ) -> Result<Rc<Self>, String> {
        for topic in TOPICS {
            world.create_topic(topic, schedule.partitions);
        }
        let stage = Rc::new(Stage {
            world,
            partitions: schedule.partitions,
            schedule,
            next: Cell::new(0),
            rig: RefCell::new(rig),
            slots: Default::default(),
            failure: RefCell::default(),
            compacted: RefCell::default(),
            left_behind: RefCell::default(),
        });
        stage.act_until(Duration::MAX);
        stage.failed()?;
        stage.settle()?;
        Ok(stage)
    }

    pub(super) fn settings(schedule: &Schedule) -> Settings {
        Settings {
            queue_max: schedule.queue_max,
            // Longer than a record usually takes to be written, as on a real Kafka.
            rebalance: Duration::from_millis(50),
            transaction_timeout: TRANSACTION,
            late_commits: schedule.late_commits,
            torn_commits: schedule.torn_commits,
            chance: Chance::seeded(!schedule.seed),
            ..Settings::default()
        }
    }

    /// The local copies on the disk of a slot.
    pub(super) fn copies(&self, slot: usize) -> Result<Vec<super::Copy>, String> {
        let rig = self.rig.borrow();
        let copies = rig.copies(slot);
        copies.map_err(|error| format!("the copies of worker {slot} cannot be read: {error}"))
    }

    pub(super) fn visits(&self) -> Vec<super::Visited> {
        self.rig.borrow().visits()
    }

    fn fail(&self, why: String) {
        self.world.note(|| format!("FAILED: {why}"));
        self.failure.borrow_mut().get_or_insert(why);
    }

    fn failed(&self) -> Result<(), String> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    fn act_until(self: &Rc<Self>, until: Duration) {
        while self.world.now() < until && self.failure.borrow().is_none() {
            let Some(action) = self.schedule.actions.get(self.next.get()) else {
                return;
            };
            self.next.set(self.next.get() + 1);
            if !matches!(action, Action::Turn { .. } | Action::Feed { .. }) {
                self.world.note(|| format!("-- {action:?}"));
            }
            self.act(action);
        }
    }

    fn act(self: &Rc<Self>, action: &Action) {
        let (world, ms) = (&self.world, Duration::from_millis);
        match *action {
            Action::Feed {
                input,
                key,
                count,
                age_h,
            } => self.feed(INPUTS[input], key, count, age_h),
            Action::Turn { slot } => self.turn(slot),
            Action::Wait { ms } => world.advance(Duration::from_millis(ms)),
            Action::Start { slot } => self.start(slot),
            Action::Stop { slot } => self.stop(slot),
            Action::Kill { slot } => self.kill(slot),
            Action::Freeze { slot, ms: time } => {
                self.slots[slot].frozen_until.set(world.now() + ms(time));
            }
            Action::DieAt { slot, point, nth } => self.set_trap(slot, point, nth, None),
            Action::FreezeAt {
                slot,
                point,
                nth,
                ms,
            } => self.set_trap(slot, point, nth, Some(ms)),
            Action::Wipe { slot } => {
                if matches!(*self.slots[slot].worker.borrow(), Worker::None) {
                    self.rig.borrow_mut().wipe(slot);
                }
            }
            Action::Slow { ms: time, delay_ms } => world.slow_down(ms(time), ms(delay_ms)),
            Action::Fail {
                slot,
                count,
                landed,
            } => {
                world.fail_deliveries(&name(slot), count, landed);
            }
            Action::Visit { slot } => {
                if let Worker::Waiting(worker) = &mut *self.slots[slot].worker.borrow_mut() {
                    worker.visit(world.moment());
                }
            }
            Action::Switch { key, on } => {
                let value = if on { "on" } else { "off" };
                self.write(INPUTS[0], &format!("{SWITCH}{key}"), value, 0);
            }
            Action::FailHandler { slot, panics } => {
                let at = &self.slots[slot];
                if let Worker::Waiting(worker) = &mut *at.worker.borrow_mut() {
                    worker.fail_next(panics);
                    at.may_fail.set(true);
                }
            }
            Action::Outage { ms: time } => world.outage(ms(time)),
            Action::Compact => {
                for partition in 0..self.partitions {
                    let removed = world.compact_with_lag(TABLE, partition, self.schedule.lag_ms);
                    if matches!(removed, Ok(removed) if removed > 0) {
                        let mut compacted = self.compacted.borrow_mut();
                        compacted.entry(partition).or_insert(world.moment());
                    }
                    self.expect(removed);
                }
            }
            Action::Other {
                partition,
                input,
                count,
            } => {
                let partition = partition % self.partitions;
                self.expect(outside::handle(self, partition, input, count));
            }
            Action::Operator { key } => self.expect(outside::write_row(self, key)),
        }
    }

    fn expect<T>(&self, result: Result<T, Error>) {
        if let Err(error) = result {
            self.fail(format!("error in the simulation itself: {error}"));
        }
    }

    fn feed(&self, input: &str, key: u64, count: u64, age_h: u64) {
        for _ in 0..count {
            self.write(input, &format!("k{key}"), "click", age_h);
        }
    }

    fn write(&self, input: &str, key: &str, value: &str, age_h: u64) {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let partition = Partitioner::Murmur2.partition(key, self.partitions);
        let age_ms = i64::try_from(age_h * 3_600_000).unwrap_or(0);
        let timestamp = Some(self.world.wall_ms() - age_ms);
        let (record, headers) = ((Some(key), Some(value)), OwnedHeaders::new());
        let written = self
            .world
            .append_with(input, partition, record, timestamp, &headers);
        self.expect(written);
    }

    /// Whether no worker runs, the group has no members, and nothing of former workers is in flight.
    pub(super) fn is_stopped(&self) -> bool {
        let is_none = |slot: &Slot| matches!(*slot.worker.borrow(), Worker::None);
        let is_idle = self.world.is_idle() && self.world.open_transactions() == 0;
        is_idle && self.slots.iter().all(is_none) && !self.world.has_members(GROUP)
    }

    /// Whether the workers promise exact tables.
    pub(super) fn is_exact(&self) -> bool {
        self.rig.borrow().is_exact()
    }

    /// Called when the worker of a slot has ended.
    fn ended(&self, slot: usize) {
        self.slots[slot].free_at.set(self.world.now() + START);
        if !self.is_exact() {
            return;
        }
        match self.copies(slot) {
            Ok(copies) => self.left_behind.borrow_mut().push(LeftBehind {
                moment: self.world.moment(),
                slot,
                copies,
            }),
            Err(why) => self.fail(why),
        }
    }

    fn set_trap(&self, slot: usize, point: Point, nth: u64, freeze_ms: Option<u64>) {
        let trap = Trap {
            point,
            nth,
            freeze_ms,
        };
        *self.slots[slot].trap.borrow_mut() = Some(trap);
    }

    fn start(self: &Rc<Self>, slot: usize) {
        let (world, at) = (&self.world, &self.slots[slot]);
        let free = matches!(*at.worker.borrow(), Worker::None) && at.free_at.get() <= world.now();
        if !free {
            return;
        }
        let stage: Weak<Self> = Rc::downgrade(self);
        let instance = self.schedule.static_members.then(|| name(slot));
        let connection = world.connect(ConnectionSpec {
            name: name(slot),
            group: GROUP.to_owned(),
            instance,
            sources: INPUTS.map(str::to_owned).into(),
            targets: TOPICS.map(str::to_owned).into(),
            table: Some(TABLE.to_owned()),
            transactional_id: self
                .schedule
                .exactly_once
                .then(|| format!("{GROUP}-{}", name(slot))),
            tears_commits: self.rig.borrow().tears_commits(),
            on_point: Some(Rc::new(move |point| match stage.upgrade() {
                Some(stage) => stage.pass(slot, point),
                None => Ok(()),
            })),
        });
        let started = connection.and_then(|kafka| self.rig.borrow_mut().start(slot, world, kafka));
        match started {
            Ok(worker) => {
                at.frozen_until.set(Duration::ZERO);
                at.may_fail.set(false);
                *at.worker.borrow_mut() = Worker::Waiting(worker);
            }
            Err(error) => self.fail(format!("worker {slot} does not start: {error}")),
        }
    }

    fn turn(&self, slot: usize) {
        let at = &self.slots[slot];
        if at.frozen_until.get() > self.world.now() {
            return;
        }
        let Some(mut worker) = at.take() else { return };
        let result = worker.turn();
        let is_dying = matches!(*at.worker.borrow(), Worker::Dying);
        match result {
            Ok(()) if !is_dying => {
                *at.worker.borrow_mut() = Worker::Waiting(worker);
                return;
            }
            // A handler has failed, and the process of the handler shuts down.
            Err(Error::Record { .. }) if !is_dying && at.may_fail.take() => {
                return self.close(slot, worker);
            }
            Err(error) if !is_dying => self.fail(format!("worker {slot} failed: {error}")),
            _ => {}
        }
        drop(worker);
        *at.worker.borrow_mut() = Worker::None;
        self.ended(slot);
    }

    fn stop(&self, slot: usize) {
        let at = &self.slots[slot];
        if at.frozen_until.get() > self.world.now() {
            return;
        }
        if let Some(worker) = at.take() {
            self.close(slot, worker);
        }
    }

    fn close(&self, slot: usize, worker: Box<dyn Driven>) {
        let at = &self.slots[slot];
        let result = worker.close();
        let dying = matches!(at.worker.replace(Worker::None), Worker::Dying);
        if let Err(error) = result
            && !dying
        {
            self.fail(format!("worker {slot} failed while it closed: {error}"));
        }
        self.ended(slot);
    }

    fn kill(&self, slot: usize) {
        let at = &self.slots[slot];
        let mut worker = at.worker.borrow_mut();
        *worker = match std::mem::take(&mut *worker) {
            Worker::Waiting(waiting) => {
                drop(waiting);
                drop(worker);
                return self.ended(slot);
            }
            Worker::Driven | Worker::Dying => Worker::Dying,
            Worker::None => Worker::None,
        };
    }

    /// Called when a worker reaches a point, where the worker may be killed or may pause while other workers continue.
    fn pass(self: &Rc<Self>, slot: usize, point: Point) -> Result<(), Error> {
        let at = &self.slots[slot];
        let mut trap = at.trap.borrow_mut();
        if let Some(set) = trap.as_mut().filter(|trap| trap.point == point) {
            set.nth -= 1;
            if set.nth == 0 {
                let freeze_ms = set.freeze_ms;
                *trap = None;
                drop(trap);
                match freeze_ms {
                    Some(ms) => {
                        self.world
                            .note(|| format!("{} pauses at {point:?}", name(slot)));
                        self.act_until(self.world.now() + Duration::from_millis(ms));
                        self.world.note(|| format!("{} goes on", name(slot)));
                    }
                    None => *at.worker.borrow_mut() = Worker::Dying,
                }
            }
        }
        match *at.worker.borrow() {
            Worker::Dying => Err(Error::Closed("the simulated process")),
            _ => Ok(()),
        }
    }

    /// Ends all faults, waits until everything is processed, and stops all workers.
    fn settle(self: &Rc<Self>) -> Result<(), String> {
        let world = &self.world;
        world.note(|| "-- no more faults from here on".to_owned());
        world.heal();
        for slot in &self.slots {
            *slot.trap.borrow_mut() = None;
            slot.frozen_until.set(Duration::ZERO);
        }
        if let Some(missing) = self.schedule.missing {
            self.kill(missing);
        }
        let others = (0..SLOTS).filter(|slot| self.schedule.missing != Some(*slot));
        let patience = match self.schedule.handlers_are_slow {
            false => PATIENCE,
            true => PATIENCE_WITH_SLOW,
        };
        let give_up = world.now() + patience;
        let mut quiet_since = None;
        loop {
            for slot in others.clone() {
                self.start(slot);
                self.turn(slot);
                self.failed()?;
            }
            let step_ms = if quiet_since.is_some() { 500 } else { 20 };
            world.advance(Duration::from_millis(step_ms));
            match (self.left()?, quiet_since) {
                (None, None) => quiet_since = Some(world.now()),
                (None, Some(since)) if world.now() > since + AFTERWARDS => break,
                (None, Some(_)) => {}
                (Some(left), _) if world.now() > give_up => {
                    return Err(format!("the workers did not finish in time: {left}"));
                }
                (Some(_), _) => quiet_since = None,
            }
        }
        for slot in 0..SLOTS {
            self.stop(slot);
            self.failed()?;
        }
        world.advance(TRANSACTION);
        Ok(())
    }

    /// Describes work that is left, for example a partition that is not fully processed and committed; `None` if there
    /// is none.
    fn left(&self) -> Result<Option<String>, String> {
        if !self.world.is_idle() {
            return Ok(Some("records are in flight".to_owned()));
        }
        // The open transaction of the missing worker may stay open, unless it blocks another worker.
        if self.schedule.missing.is_none() && self.world.open_transactions() > 0 {
            return Ok(Some("a transaction is open".to_owned()));
        }
        for input in INPUTS {
            for partition in 0..self.partitions {
                let bounds = self.world.bounds(input, partition);
                let end = bounds.map_err(|error| error.to_string())?.1;
                let committed = self.world.committed(GROUP, input, partition);
                let at = committed.map_or(0, |committed| committed.offset);
                if at != end {
                    let left =
                        format!("{input}/{partition}: committed offset {at}, end offset {end}");
                    return Ok(Some(left));
                }
            }
        }
        Ok(None)
    }
}

impl Slot {
    /// Takes the worker out of its slot for a turn or for a stop. `None` if there is no worker that waits.
    fn take(&self) -> Option<Box<dyn Driven>> {
        let mut worker = self.worker.borrow_mut();
        match std::mem::take(&mut *worker) {
            Worker::Waiting(waiting) => {
                *worker = Worker::Driven;
                Some(waiting)
            }
            other => {
                *worker = other;
                None
            }
        }
    }
}

fn name(slot: usize) -> String {
    format!("worker-{slot}")
}
