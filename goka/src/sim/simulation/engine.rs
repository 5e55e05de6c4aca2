//! The engine's worker in a simulation, with local copies on a disk.
//!
//! Must not know which faults happen.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Copy, Driven, GROUP, TABLE, Visited,
    program::{Clock, Count, Failing, Guards},
    schedule::Schedule,
    visits::{Answered, Visiting},
};
use crate::{
    base::{config::Guarantee, defer::Deferred, error::Error, partitioner::Partitioner},
    engine::{
        port::fault::{Fault, Planted},
        replica::{Keeper, Replica, Spec as ReplicaSpec, standby::Standby},
        spec::{Settings, Spec, TableSpec},
        table::rows::STORED_AT_ONCE,
        visits::Visits,
        worker::Worker,
    },
    sim::{
        kafka::{Connection, World},
        parts,
    },
    store::{Identity, Options, StateDir, Store},
};

/// How long a turn waits if there is nothing to do, in virtual time.
const IDLE: Duration = Duration::from_millis(10);

/// Creates workers of the engine.
pub(super) struct Rig {
    disk: TempDir,
    partitions: i32,
    handlers_wait: bool,
    handlers_are_slow: bool,
    handlers_defer: bool,
    coalesce: bool,
    stored_at_once: usize,
    standby: bool,
    lag_ms: i64,
    guarantee: Guarantee,
    fault: Planted,
    started: u64,
    answered: Answered,
}

impl Rig {
    pub(super) fn new(schedule: &Schedule, fault: Option<Fault>) -> Self {
        Rig {
            disk: parts::disk(),
            partitions: schedule.partitions,
            handlers_wait: schedule.handlers_wait,
            handlers_are_slow: schedule.handlers_are_slow,
            handlers_defer: schedule.handlers_defer,
            coalesce: schedule.coalesce,
            // Derived from the seed without a draw, so that the other values that are drawn from the seed do not
            // change.
            stored_at_once: [STORED_AT_ONCE, 0, 3][schedule.seed as usize % 3],
            standby: schedule.standby,
            lag_ms: schedule.lag_ms,
            guarantee: match schedule.exactly_once {
                false => Guarantee::AtLeastOnce,
                true => Guarantee::ExactlyOnce,
            },
            fault: Planted::new(fault),
            started: 0,
            answered: Answered::default(),
        }
    }

    fn dir(&self, slot: usize) -> PathBuf {
        self.disk.path().join(slot.to_string())
    }

    /// The standby of a slot, and the keeper that updates the standby's copies.
    fn standby(&self, slot: usize, world: &World) -> Result<(Arc<Standby>, Keeper), Error> {
        let replica = Replica::without_thread(ReplicaSpec {
            _lock: Arc::new(StateDir::in_memory()?),
            dir: self.dir(slot),
            identity: self.identity(0),
            options: options(),
            partitioner: Partitioner::Murmur2,
            age_max_ms: None,
            forgets_rows: false,
            metadata_interval: Duration::from_secs(60),
        });
        let (reader, ignores_cuts) = (world.reader(TABLE), self.fault.is(Fault::StandbyAhead));
        let keeper = match self.guarantee {
            Guarantee::AtLeastOnce if !ignores_cuts => {
                replica.committed_keeper(reader, world.cuts(GROUP, TABLE))
            }
            _ => replica.keeper(reader),
        };
        Ok((Arc::new(Standby::new(replica)), keeper))
    }

    fn identity(&self, partition: i32) -> Identity {
        Identity {
            partition,
            ..parts::identity(TABLE, self.partitions)
        }
    }
}

fn options() -> Options {
    Options {
        map_size: 8 << 20,
        // So small that nearly every batch is stored in parts.
        part_pages: 2,
        ..parts::options()
    }
}

impl super::Rig for Rig {
    fn start(
        &mut self,
        slot: usize,
        world: &World,
        kafka: Connection,
    ) -> Result<Box<dyn Driven>, Error> {
        let standby = self.standby.then(|| self.standby(slot, world));
        let (standby, keeper) = standby.transpose()?.unzip();
        let settings = Settings {
            records_max: 50,
            bytes_max: 1 << 20,
            stored_at_once: self.stored_at_once,
            fault: self.fault,
            // This name is also the transactional id under exactly-once.
            ..parts::settings(self.guarantee, &format!("{GROUP}-worker-{slot}"))
        };
        let table = TableSpec {
            options: options(),
            standby,
            compaction_lag_ms: Some(self.lag_ms),
            ..parts::table(self.dir(slot), self.identity(0))
        };
        let visits: Arc<Visits> = Arc::default();
        let guards = self.handlers_defer.then(Guards::default);
        let failing = Failing::default();
        let clock = Clock::default();
        let program = Count {
            waits: self.handlers_wait,
            clock: self.handlers_are_slow.then(|| clock.clone()),
            coalesce: self.coalesce,
            guards: guards.clone(),
            failing: failing.clone(),
        };
        let spec = Spec {
            table: Some(table),
            visits: visits.clone(),
            ..parts::spec(Arc::new(program.into_program()), settings)
        };
        self.started += 1;
        Ok(Box::new(Process {
            worker: Worker::new(spec, Box::new(kafka)),
            keeper,
            world: world.clone(),
            guards: guards.unwrap_or_default(),
            failing,
            clock,
            turns: 0,
            visiting: Visiting {
                name: format!("worker {slot}, process {}", self.started),
                visits,
                answered: Rc::clone(&self.answered),
                asked: None,
                begun: 0,
            },
        }))
    }

    fn wipe(&mut self, slot: usize) {
        // Fails if there is nothing to delete, which is fine.
        let _ = std::fs::remove_dir_all(self.dir(slot));
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn tears_commits(&self) -> bool {
        self.fault.is(Fault::TornCommit)
    }

    fn visits(&self) -> Vec<Visited> {
        self.answered.borrow().clone()
    }

    fn copies(&self, slot: usize) -> Result<Vec<Copy>, Error> {
        let mut copies = Vec::new();
        for partition in 0..self.partitions {
            let path = self.dir(slot).join(partition.to_string());
            if !path.exists() {
                continue;
            }
            let (store, _) = Store::open(&path, &self.identity(partition), &options())?;
            let mut rows = BTreeMap::new();
            store.snapshot()?.scan(&[], false, &mut |key, value| {
                rows.insert(key.to_vec(), value.to_vec());
                true
            })?;
            copies.push(Copy {
                partition,
                table: store.position().changelog,
                reaches: store.reaches(),
                whole_from: store.position().whole_from,
                rows,
            });
        }
        Ok(copies)
    }
}

/// A worker, and the guards of its deferred records, which are dropped with the worker.
struct Process {
    worker: Worker,
    /// Updates the standby copies.
    keeper: Option<Keeper>,
    world: World,
    guards: Guards,
    failing: Failing,
    clock: Clock,
    turns: u64,
    visiting: Visiting,
}

impl Driven for Process {
    fn turn(&mut self) -> Result<(), Error> {
        self.turns += 1;
        let now_ms = u64::try_from(self.world.now().as_millis()).unwrap_or(u64::MAX);
        self.clock.store(now_ms, Ordering::Relaxed);
        {
            let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
            // The guards are not completed in the order in which they were created, and some are completed much later.
            let done = match self.turns % 5 {
                0 => guards.pop_back(),
                1 | 3 => guards.pop_front(),
                _ => None,
            };
            done.into_iter().for_each(Deferred::done);
        }
        if let Some(keeper) = &mut self.keeper {
            let (now, at_ms) = (self.world.now(), self.world.wall_ms());
            keeper.turn(Duration::ZERO, now, at_ms)?;
        }
        self.visiting.before(&self.worker);
        let turned = self.worker.turn(IDLE);
        self.visiting.after();
        turned
    }

    fn visit(&mut self, moment: u64) {
        self.visiting.ask(moment);
    }

    fn fail_next(&mut self, panics: bool) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = Some(panics);
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let Process {
            worker,
            keeper,
            world,
            ..
        } = *self;
        worker.close()?;
        keeper.map_or(Ok(()), |keeper| keeper.close(world.wall_ms()))
    }
}
