//! One instance of a processor: a worker of the engine, and the replicas of the tables that the processor reads. Each
//! turn drives all of them. Must not know types or other instances.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use crate::{
    base::{
        config::Guarantee,
        error::{Error, Result},
        kind::Kind,
    },
    engine::{
        port::Step,
        program::{EdgeInfo, Program},
        replica::{Keeper, Replica, Spec as ReplicaSpec, tables::Tables},
        spec::{Spec, TableSpec},
        status::Status,
        visits::Visits,
        worker::Worker,
    },
    sim::{
        kafka::{ConnectionSpec, Point, World},
        parts,
    },
    store::{Identity, Options, StateDir},
};

/// How long a turn waits in virtual time if there is nothing to do.
pub(super) const IDLE: Duration = Duration::from_millis(10);
/// Size of the address space of a local copy, in bytes.
const MAP_BYTES: usize = 256 << 20;
/// Maximum time to wait for a local copy to be closed: the test may hold a snapshot of the copy.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the cluster in the paths of local copies.
const CLUSTER: &str = "memory";

/// An instance, which may or may not run. The disk of an instance outlives its process.
pub(super) struct Instance {
    /// The `group.instance.id`. Under exactly-once, also the transactional id.
    pub(super) name: String,
    disk: Arc<StateDir>,
    trap: Rc<Cell<Option<(Step, u32)>>>,
    pub(super) process: Option<Process>,
    /// Whether the instance is to be started whenever it does not run.
    pub(super) is_wanted: bool,
}

pub(super) struct Process {
    pub(super) worker: Worker,
    pub(super) followers: Vec<Follower>,
    pub(super) status: Arc<Status>,
    pub(super) visits: Arc<Visits>,
    died: Rc<Cell<bool>>,
}

/// A replica of a table, and the keeper that updates it.
pub(super) struct Follower {
    pub(super) topic: String,
    pub(super) replica: Arc<Replica>,
    keeper: RefCell<Keeper>,
}

/// The outcome of a turn.
pub(super) enum Turn {
    Done,
    /// The process was killed.
    Died,
}

/// What all instances of a group share.
pub(super) struct Setup<'a> {
    pub(super) world: &'a World,
    pub(super) program: &'a Arc<dyn Program>,
    pub(super) edges: &'a [EdgeInfo],
    pub(super) guarantee: Guarantee,
}

impl Instance {
    pub(super) fn new(group: &str, number: usize) -> Result<Self> {
        Ok(Instance {
            name: format!("{group}-{number}"),
            disk: Arc::new(StateDir::in_memory()?),
            trap: Rc::default(),
            process: None,
            is_wanted: true,
        })
    }

    /// Makes the process die when it reaches `step` for the `nth` time.
    pub(super) fn set_trap(&self, step: Step, nth: u32) {
        self.trap.set(Some((step, nth)));
    }

    pub(super) fn start(&mut self, setup: &Setup<'_>) -> Result {
        let (edges, group) = (setup.edges, setup.program.group());
        let (died, trap) = (Rc::new(Cell::new(false)), self.trap.clone());
        let dies = died.clone();
        let is_exactly_once = setup.guarantee == Guarantee::ExactlyOnce;
        let kafka = setup.world.connect(ConnectionSpec {
            instance: Some(self.name.clone()),
            // Taken from `edges` and not from the program, because `refused.rs` leaves some edges out.
            targets: edges.iter().map(|edge| edge.topic.to_owned()).collect(),
            transactional_id: is_exactly_once.then(|| self.name.clone()),
            on_point: Some(Rc::new(move |point| pass(&trap, &dies, point))),
            ..parts::connection(&**setup.program, setup.guarantee, &self.name)
        })?;
        let (mut followers, mut tables) = (Vec::new(), Vec::new());
        for edge in edges {
            tables.push(match edge.kind {
                Kind::Join | Kind::Lookup => {
                    let follower = Follower::new(setup.world, &self.disk, edge);
                    let replica = follower.replica.clone();
                    followers.push(follower);
                    Some((edge.kind, replica))
                }
                Kind::Input | Kind::Loop | Kind::Output | Kind::Table | Kind::DeadLetter => None,
            });
        }
        let table = edges.iter().find(|edge| edge.kind == Kind::Table);
        let table = table.map(|edge| TableSpec {
            options: options(),
            ..parts::table(
                parent(self.disk.group(CLUSTER, group, 0)),
                identity(setup.world, edge.topic, edge.codec),
            )
        });
        let settings = parts::settings(setup.guarantee, &self.name);
        let spec = Spec {
            table,
            tables: Arc::new(Tables::new(tables)),
            ..parts::spec(setup.program.clone(), settings)
        };
        let (status, visits) = (spec.status.clone(), spec.visits.clone());
        self.process = Some(Process {
            worker: Worker::new(spec, Box::new(kafka)),
            followers,
            status,
            visits,
            died,
        });
        Ok(())
    }

    /// Gives the worker and its replicas a turn. If this returns an error, the process has stopped.
    pub(super) fn turn(&mut self, world: &World) -> Result<Turn> {
        let Some(process) = &mut self.process else {
            return Ok(Turn::Done);
        };
        for follower in &process.followers {
            follower.turn(world)?;
        }
        let turned = process.worker.turn(IDLE);
        match turned {
            _ if process.died.get() => {
                self.process = None;
                Ok(Turn::Died)
            }
            Ok(()) => Ok(Turn::Done),
            // A fenced worker joins the group again, as in `app/launch.rs`.
            Err(Error::Fenced(_)) => {
                let process = self.process.take();
                process.map_or(Ok(()), |process| process.worker.abandon())?;
                Ok(Turn::Died)
            }
            Err(error) => {
                // The first error is returned. Records that the process could not finish are processed again.
                let _ = self.stop();
                Err(error)
            }
        }
    }

    /// Shuts the process down cleanly.
    pub(super) fn stop(&mut self) -> Result {
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        process.visits.close();
        let closed = process.worker.close();
        match process.died.get() {
            true => Ok(()),
            false => closed,
        }
    }

    /// Kills the process.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }
}

fn pass(trap: &Cell<Option<(Step, u32)>>, died: &Cell<bool>, point: Point) -> Result {
    let Some((step, nth)) = trap
        .get()
        .filter(|(step, _)| point == Point::Reached(*step))
    else {
        return Ok(());
    };
    if nth > 1 {
        trap.set(Some((step, nth - 1)));
        return Ok(());
    }
    trap.set(None);
    died.set(true);
    Err(Error::Closed("the process that the tester killed"))
}

impl Process {
    /// Whether any commit interval has records that are not acknowledged yet, or whose rows are not in the local copies
    /// yet.
    pub(super) fn is_busy(&self) -> bool {
        let mut partitions = self.worker.partitions().iter();
        partitions.any(|(_, partition)| !partition.intervals().is_empty() || !partition.is_stored())
    }

    /// Whether an offset commit has not been answered yet.
    pub(super) fn is_committing(&self) -> bool {
        self.worker.is_committing()
    }

    /// Whether a partition waits for an `async fn` handler, a deferred record, or a retry.
    pub(super) fn holds_back(&self, partition: i32) -> bool {
        let partition = self.worker.partitions().get(partition);
        partition.is_some_and(|partition| partition.queue().holds_back())
    }
}

impl Follower {
    pub(super) fn new(world: &World, disk: &Arc<StateDir>, edge: &EdgeInfo) -> Self {
        let replica = Arc::new(Replica::without_thread(ReplicaSpec {
            _lock: disk.clone(),
            dir: parent(disk.replica(CLUSTER, edge.topic, 0)),
            identity: identity(world, edge.topic, edge.codec),
            options: options(),
            partitioner: edge.partitioner,
            age_max_ms: None,
            forgets_rows: false,
            metadata_interval: Duration::from_secs(60),
        }));
        let keeper = replica.keeper(world.reader(edge.topic));
        Follower {
            topic: edge.topic.to_owned(),
            replica,
            keeper: RefCell::new(keeper),
        }
    }

    pub(super) fn turn(&self, world: &World) -> Result {
        let (now, at_ms) = (world.now(), world.wall_ms());
        self.keeper.borrow_mut().turn(Duration::ZERO, now, at_ms)
    }

    /// Whether an open partition of the replica has not been read to the end of the table.
    pub(super) fn is_behind(&self, world: &World) -> Result<bool> {
        for partition in 0..self.replica.partitions() {
            let end = world.readable_end(&self.topic, partition)?;
            let progress = self.replica.progress(partition);
            if progress.is_some_and(|progress| progress.visible < end) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn identity(world: &World, topic: &str, codec: &str) -> Identity {
    Identity {
        cluster: CLUSTER.to_owned(),
        codec: codec.to_owned(),
        ..parts::identity(topic, world.partitions(topic))
    }
}

fn options() -> Options {
    Options {
        map_size: MAP_BYTES,
        wait: CLOSE_TIMEOUT,
        ..parts::options()
    }
}

/// The directory that contains the directories of all partitions, derived from the directory of partition 0.
fn parent(mut path: std::path::PathBuf) -> std::path::PathBuf {
    path.pop();
    path
}
