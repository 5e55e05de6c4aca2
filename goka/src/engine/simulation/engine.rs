//! The real worker in a simulation: a program that counts, with its local copies on a real disk.
//!
//! Must not know what goes wrong around it.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::watch;

use super::{
    Copy, Driven, ECHO, GROUP, INPUTS, TABLE, TOPICS, VISITS, Visited,
    schedule::Schedule,
    visits::{Answered, Visiting},
};
use crate::{
    Deferred, Error, Guarantee, Kind, Meta, Partitioner,
    engine::{
        effects::{Effects, Row},
        program::{EdgeInfo, Failure, OwnedRecord, Program, Reads, SharedReads, Waiting},
        replica::{Keeper, Replica, Spec as ReplicaSpec},
        rows::Rows,
        standby::Standby,
        status::Status,
        trust::mark,
        visiting::Visits,
        worker::{Settings, Spec, TableSpec, Worker},
    },
    kafka::memory::{Connection, World},
    record::Record,
    store::{Identity, Options, StateDir, Store},
};

/// How long a turn waits if there is nothing to do.
const IDLE: Duration = Duration::from_millis(10);

/// Makes workers of the engine.
pub(super) struct Rig {
    disk: TempDir,
    partitions: i32,
    handlers_wait: bool,
    handlers_defer: bool,
    standby: bool,
    guarantee: Guarantee,
    started: u64,
    answered: Answered,
}

impl Rig {
    pub(super) fn new(schedule: &Schedule) -> Self {
        // Syncing to a disk would take most of the time.
        let memory = Path::new("/dev/shm");
        let disk = match memory.is_dir() {
            true => TempDir::new_in(memory),
            false => TempDir::new(),
        };
        let disk = disk.expect("a simulation needs a directory for its local copies");
        Rig {
            disk,
            partitions: schedule.partitions,
            handlers_wait: schedule.handlers_wait,
            handlers_defer: schedule.handlers_defer,
            standby: schedule.standby,
            guarantee: match schedule.exactly_once {
                false => Guarantee::AtLeastOnce,
                true => Guarantee::ExactlyOnce,
            },
            started: 0,
            answered: Answered::default(),
        }
    }

    fn dir(&self, slot: usize) -> PathBuf {
        self.disk.path().join(slot.to_string())
    }

    /// The standby of a slot, and who gives it its turns.
    fn standby(&self, slot: usize, world: &World) -> Result<(Arc<Standby>, Keeper), Error> {
        let replica = Replica::without_thread(ReplicaSpec {
            _lock: Arc::new(StateDir::in_memory()?),
            dir: self.dir(slot),
            identity: self.identity(0),
            options: options(),
            partitioner: Partitioner::Murmur2,
            age_max_ms: None,
            forgets_rows: false,
        });
        let keeper = replica.keeper(world.reader(TABLE));
        Ok((Arc::new(Standby::new(replica)), keeper))
    }

    fn identity(&self, partition: i32) -> Identity {
        Identity {
            cluster: "memory".to_owned(),
            topic: TABLE.to_owned(),
            topic_id: String::new(),
            partition,
            partitions: self.partitions,
            codec: "text".to_owned(),
        }
    }
}

fn options() -> Options {
    Options {
        map_size: 8 << 20,
        wait: Duration::from_secs(10),
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
            guarantee: self.guarantee,
            commit_interval: Duration::from_millis(100),
            records_max: 50,
            bytes_max: 1 << 20,
            lease: Duration::from_secs(4),
            // Under exactly-once that is its transactional id.
            instance: mark(&format!("{GROUP}-worker-{slot}")),
            start: None,
        };
        let table = TableSpec {
            dir: self.dir(slot),
            identity: self.identity(0),
            options: options(),
            age_max_ms: None,
            forgets_rows: false,
            standby,
        };
        let visits: Arc<Visits> = Arc::default();
        let guards = self.handlers_defer.then(Guards::default);
        let spec = Spec {
            program: Arc::new(Count {
                waits: self.handlers_wait,
                guards: guards.clone(),
            }),
            topics: TOPICS.map(str::to_owned).into(),
            table: Some(table),
            settings,
            tables: Arc::default(),
            status: Arc::new(Status::new(watch::Sender::new(0))),
            visits: visits.clone(),
        };
        self.started += 1;
        Ok(Box::new(Process {
            worker: Worker::new(spec, Box::new(kafka)),
            keeper,
            world: world.clone(),
            guards: guards.unwrap_or_default(),
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
        // There may be nothing to delete.
        let _ = std::fs::remove_dir_all(self.dir(slot));
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
            let table = store.position().table;
            copies.push(Copy {
                partition,
                table,
                rows,
            });
        }
        Ok(copies)
    }
}

/// What handlers have deferred, and is not done yet.
type Guards = Arc<Mutex<VecDeque<Deferred>>>;

/// A worker, and the work that its handlers have deferred: which ends with it.
struct Process {
    worker: Worker,
    /// Of the partitions that other workers have.
    keeper: Option<Keeper>,
    world: World,
    guards: Guards,
    turns: u64,
    visiting: Visiting,
}

impl Driven for Process {
    fn turn(&mut self) -> Result<(), Error> {
        self.turns += 1;
        {
            let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
            // Not in the order in which it began, and some of it long after.
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

/// Counts the records of each key, and says which ones it handled.
struct Count {
    /// Whether the handler of the second input waits.
    waits: bool,
    /// Whether the handler of the first input defers every other record.
    guards: Option<Guards>,
}

impl Program for Count {
    fn group(&self) -> &'static str {
        GROUP
    }

    fn edges(&self) -> Vec<EdgeInfo> {
        let edge = |kind, topic| EdgeInfo {
            kind,
            topic,
            partitioner: Partitioner::Murmur2,
            codec: "text",
            waits: self.waits && topic == INPUTS[1],
            handler: "count",
        };
        vec![
            edge(Kind::Input, INPUTS[0]),
            edge(Kind::Input, INPUTS[1]),
            edge(Kind::Table, TABLE),
            edge(Kind::Output, ECHO),
            edge(Kind::Output, VISITS),
        ]
    }

    fn handle(
        &self,
        edge: usize,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure> {
        if let Some(guards) = &self.guards
            && record.offset % 2 == 0
        {
            let mut guards = guards.lock().unwrap_or_else(PoisonError::into_inner);
            guards.push_back(effects.defer());
        }
        count(edge, record, effects, reads.rows)
    }

    fn handle_later(
        &self,
        edge: usize,
        record: OwnedRecord,
        mut effects: Effects,
        reads: SharedReads,
    ) -> Waiting {
        let mut polls_left = record.offset % 4;
        Box::pin(poll_fn(move |waking| {
            polls_left -= 1;
            if polls_left >= 0 {
                waking.waker().wake_by_ref();
                return Poll::Pending;
            }
            let result = count(edge, record.as_record(), &mut effects, &reads.rows);
            Poll::Ready((std::mem::take(&mut effects), result))
        }))
    }

    fn processor(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(())
    }
}

/// One more for the key, and an output that names the record.
fn count(
    edge: usize,
    record: Record<'_>,
    effects: &mut Effects,
    rows: &Rows,
) -> Result<(), Failure> {
    let doing = "run";
    let failed = |error: Error| Failure {
        doing,
        source: error.into(),
    };
    let key = record.key.unwrap_or_default();
    let before = rows
        .read(key, |row| row.map(<[u8]>::to_vec))
        .map_err(failed)?;
    let before = before.map_or(Ok("0".to_owned()), String::from_utf8);
    let before: u64 = before
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Failure {
            doing,
            source: "the row is no number".into(),
        })?;
    let count = (before + 1).to_string();
    let echo = format!("{edge}/{}/{}", record.partition, record.offset);
    let mut write = |bytes: &[u8]| {
        effects.encode(|buffer| {
            buffer.extend_from_slice(bytes);
            Ok::<(), Failure>(())
        })
    };
    let (row, key, echo) = (
        write(count.as_bytes())?,
        write(key)?,
        write(echo.as_bytes())?,
    );
    effects.set_row(Row::Put(row));
    let meta = Meta::new().to_partition(record.partition);
    effects.emit(3, Some(key), Some(echo), meta);
    Ok(())
}
