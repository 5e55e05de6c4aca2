//! A program's processors, run together: topics are checked, workers are threads, and one failure
//! stops all of them in good order.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};
use tracing::{error, info, warn};

use crate::{
    Codec, Config, Error, Kind, PartitionState, Processor, Result, SharedTable, Topic,
    engine::{
        program::Program,
        replica,
        status::Status,
        trust::mark,
        worker::{Settings, Spec, TableSpec, Worker},
    },
    kafka::{Cluster, MemberSpec},
    store::Identity,
    topology::Topology,
    typed::Typed,
};

pub(crate) use crate::home::Home;

/// How long a turn of a worker may wait for something to do: how soon it sees a shutdown.
const IDLE: Duration = Duration::from_millis(5);
/// Uncommitted rows of one partition in memory, bytes: then it commits early.
const UNCOMMITTED_BYTES: usize = 16 << 20;
/// Membership is proven anew before a record is handled if the last proof is older. Below the
/// session timeout of 6 s, after which others may have taken the partitions.
const LEASE: Duration = Duration::from_secs(4);

/// Processors to be run together in this process.
///
/// ```no_run
/// # #[goka::table(group = "my-group", value = i64)]
/// # pub struct Clicks;
/// # #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
/// # fn count(ctx: &mut count::Context, _at: String) -> goka::Result {
/// #     let clicks = ctx.value()?.unwrap_or(0);
/// #     ctx.set_value(&(clicks + 1))
/// # }
/// #[tokio::main]
/// async fn main() -> goka::Result {
///     goka::App::from_env()?.processor(count::Processor).run().await
/// }
/// ```
pub struct App {
    config: Config,
    programs: Vec<Arc<dyn Program>>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self
            .programs
            .iter()
            .map(|program| program.group())
            .collect();
        f.debug_struct("App")
            .field("config", &self.config)
            .field("groups", &groups)
            .finish()
    }
}

impl App {
    /// An app without processors yet.
    pub fn new(config: Config) -> Self {
        App {
            config,
            programs: Vec::new(),
        }
    }

    /// [`App::new`] with [`Config::from_env`].
    ///
    /// # Errors
    /// If a variable is malformed or unknown.
    pub fn from_env() -> Result<Self> {
        Config::from_env().map(Self::new)
    }

    /// Adds a processor. One value serves all of its workers.
    #[must_use]
    pub fn processor<P: Processor>(mut self, processor: P) -> Self {
        self.programs.push(Arc::new(Typed(Arc::new(processor))));
        self
    }

    /// Checks the topics, creates the groups' own ones and starts the workers. Handlers that are
    /// `async fn` run within the tokio runtime that this is called in.
    ///
    /// Installs no signal handlers.
    ///
    /// # Errors
    /// If no broker answers within 10 seconds, a topic is missing or not as the graph needs it, or
    /// the state directory cannot be used. Nothing runs then.
    pub async fn start(self) -> Result<Running> {
        let runtime = Handle::try_current().ok();
        blocking("start the app", move || {
            launch(self.config, self.programs, runtime)
        })
        .await
    }

    /// [`start`](Self::start), then runs until SIGINT or SIGTERM, and shuts down: handles what was
    /// begun, commits, leaves the groups.
    ///
    /// # Errors
    /// As `start`, and if a processor fails while it runs.
    pub async fn run(self) -> Result {
        let mut signals = Signals::new()?;
        let start = self.start();
        let mut running = tokio::select! {
            started = start => started?,
            () = signals.next() => return Ok(()),
        };
        tokio::select! {
            ended = running.wait() => ended,
            () = signals.next() => {
                info!("shutting down");
                running.shutdown().await
            }
        }
    }
}

/// SIGINT and SIGTERM; Ctrl-C where there are no signals.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen =
                |kind| signal(kind).map_err(|error| Error::kafka("listen for signals", error));
            let interrupt = listen(SignalKind::interrupt())?;
            let terminate = listen(SignalKind::terminate())?;
            Ok(Signals {
                interrupt,
                terminate,
            })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Started processors. Dropped without [`shutdown`](Self::shutdown), they are told to stop and end
/// on their own.
pub struct Running {
    stop: Arc<AtomicBool>,
    ended: mpsc::UnboundedReceiver<Result>,
    groups: Vec<Group>,
    changes: watch::Receiver<u64>,
    /// Dropped to end the monitor.
    _monitor: std_mpsc::Sender<()>,
    first_error: Option<Error>,
}

/// One processor of it.
struct Group {
    name: &'static str,
    partitions: i32,
    workers: Vec<Arc<Status>>,
}

/// Counters of a running app.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// One entry per processor, in the order in which they were added.
    pub groups: Vec<GroupStats>,
}

/// Counters of one processor in this process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupStats {
    /// The group's logical name.
    pub group: &'static str,
    /// Records that handlers returned `Ok` for, since the start. After a failure a record may count
    /// twice.
    pub handled: u64,
    /// How many partitions the group has in all processes together.
    pub partitions_total: i32,
    /// The partitions that are here, and what they do.
    pub partitions: BTreeMap<i32, PartitionState>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Waits until every partition that was given to this process runs, at least one per
    /// processor.
    ///
    /// # Errors
    /// [`Error::Closed`] if the processors ended; [`wait`](Self::wait) tells why.
    pub async fn recovered(&self) -> Result {
        let mut changes = self.changes.clone();
        loop {
            changes.borrow_and_update();
            let up = |group: &Group| {
                let mut here = group
                    .workers
                    .iter()
                    .flat_map(|worker| worker.partitions())
                    .peekable();
                here.peek().is_some() && here.all(|(_, state)| state == PartitionState::Running)
            };
            if self.groups.iter().all(up) {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) || changes.changed().await.is_err() {
                return Err(Error::Closed("the app"));
            }
        }
    }

    /// Counters and the state of each partition.
    pub fn stats(&self) -> Stats {
        let groups = self.groups.iter().map(|group| GroupStats {
            group: group.name,
            handled: group
                .workers
                .iter()
                .map(|worker| worker.handled_so_far())
                .sum(),
            partitions_total: group.partitions,
            partitions: group
                .workers
                .iter()
                .flat_map(|worker| worker.partitions())
                .collect(),
        });
        Stats {
            groups: groups.collect(),
        }
    }

    /// Waits until all processors have ended: by a failure, for otherwise they run on. May be
    /// cancelled and called again.
    ///
    /// # Errors
    /// The first failure. The other processors were shut down in good order.
    pub async fn wait(&mut self) -> Result {
        while let Some(ended) = self.ended.recv().await {
            if let Err(failure) = ended {
                self.stop.store(true, Ordering::Relaxed);
                error!(error = %failure, "a processor failed; stopping");
                self.first_error.get_or_insert(failure);
            }
        }
        self.first_error.take().map_or(Ok(()), Err)
    }

    /// Handles what was begun, commits, leaves the groups, and waits until all of it is done.
    ///
    /// # Errors
    /// If a processor failed before or on the way.
    pub async fn shutdown(mut self) -> Result {
        self.stop.store(true, Ordering::Relaxed);
        self.wait().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs what blocks on a thread of its own: works in any runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("goka: {what}"));
    let spawned = thread.spawn(move || {
        // Nobody waits any more if this fails.
        let _ = done.send(run());
    });
    spawned.map_err(|error| Error::kafka(what, error))?;
    result.await.unwrap_or(Err(Error::Closed("its thread")))
}

fn launch(
    config: Config,
    programs: Vec<Arc<dyn Program>>,
    runtime: Option<Handle>,
) -> Result<Running> {
    if programs.is_empty() {
        return Err(Error::Config(
            "the app has no processor: add one with `App::processor`".to_owned(),
        ));
    }
    let cluster = Cluster::connect(&config)?;
    Topology::create_streams(&cluster, &config.streams)?;
    let mut topologies = Vec::new();
    for (i, program) in programs.iter().enumerate() {
        if programs[..i]
            .iter()
            .any(|other| other.group() == program.group())
        {
            let group = program.group();
            return Err(Error::Config(format!(
                "two processors of this app belong to group `{group}`: a group is one processor; its workers run side by side"
            )));
        }
        topologies.push(Topology::prepare(&cluster, &**program)?);
    }
    let home = Arc::new(Home::open(&config, &cluster)?);
    let instance = config
        .instance_id
        .clone()
        .unwrap_or_else(|| home.instance_id().to_owned());
    let (changed, changes) = watch::channel(0);
    let (ends, ended) = mpsc::unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let mut groups = Vec::new();
    for (program, topology) in programs.iter().zip(&topologies) {
        refuse_two_leaders(&cluster, &**program, topology)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = config
            .workers
            .unwrap_or(cores)
            .min(topology.partitions as usize)
            .max(1);
        let mut statuses = Vec::new();
        for number in 0..workers {
            let status = Arc::new(Status::new(changed.clone()));
            statuses.push(status.clone());
            let start = Start {
                spec: spec(
                    &config, &cluster, &home, program, topology, &instance, status,
                )?,
                member: member(&**program, &instance, number),
                cluster: cluster.clone(),
                home: home.clone(),
                stop: stop.clone(),
                runtime: runtime.clone(),
            };
            start.spawn(ends.clone())?;
        }
        groups.push(Group {
            name: program.group(),
            partitions: topology.partitions,
            workers: statuses,
        });
    }
    let (monitor, ends_monitor) = std_mpsc::channel();
    let watched = Watched {
        cluster,
        topologies,
        interval: config.metadata_interval,
        stop: stop.clone(),
    };
    watched.watch(ends_monitor, ends)?;
    Ok(Running {
        stop,
        ended,
        groups,
        changes,
        _monitor: monitor,
        first_error: None,
    })
}

/// What the thread of a worker begins with.
struct Start {
    spec: Spec,
    member: MemberSpec,
    cluster: Cluster,
    home: Arc<Home>,
    stop: Arc<AtomicBool>,
    runtime: Option<Handle>,
}

impl Start {
    fn spawn(self, ends: mpsc::UnboundedSender<Result>) -> Result {
        let name = format!("{}-{}", self.member.group, self.member.worker);
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let stop = self.stop.clone();
            let ended = catch_unwind(AssertUnwindSafe(|| self.run()));
            let ended = ended.unwrap_or(Err(Error::Closed(
                "a worker, whose thread panicked, which is a bug of goka,",
            )));
            if ended.is_err() {
                // The others end in good order, also if nobody waits for them.
                stop.store(true, Ordering::Relaxed);
            }
            // Nobody waits any more if this fails.
            let _ = ends.send(ended);
        });
        spawned
            .map(drop)
            .map_err(|error| Error::kafka("start the thread of a worker", error))
    }

    fn run(self) -> Result {
        let _entered = self.runtime.as_ref().map(Handle::enter);
        let kafka = self.cluster.member(&self.member)?;
        let mut worker = Worker::new(self.spec, kafka);
        let mut turned = Ok(());
        while turned.is_ok() && !self.stop.load(Ordering::Relaxed) {
            turned = worker.turn(IDLE);
        }
        let closed = worker.close();
        drop(self.home);
        turned.and(closed)
    }
}

fn member(program: &dyn Program, instance: &str, worker: usize) -> MemberSpec {
    let edges = program.edges();
    let of = |kinds: &[Kind]| {
        let found = edges.iter().filter(|edge| kinds.contains(&edge.kind));
        found.map(|edge| edge.topic.to_owned()).collect::<Vec<_>>()
    };
    let (sources, table) = (of(&[Kind::Input, Kind::Loop]), of(&[Kind::Table]).pop());
    MemberSpec {
        group: program.group().to_owned(),
        instance: instance.to_owned(),
        worker,
        // The table's topic never changes, so that a deployment that changes inputs cannot split
        // the group into two halves that both own a partition.
        leader: table.clone().unwrap_or_else(|| sources[0].clone()),
        sources,
        targets: edges.iter().map(|edge| edge.topic.to_owned()).collect(),
        table,
    }
}

fn spec(
    config: &Config,
    cluster: &Cluster,
    home: &Home,
    program: &Arc<dyn Program>,
    topology: &Topology,
    instance: &str,
    status: Arc<Status>,
) -> Result<Spec> {
    let table = match topology.table() {
        None => None,
        Some((edge, topic)) => Some(TableSpec {
            dir: home.group(&cluster.names().group(program.group())?),
            identity: Identity {
                cluster: cluster.cluster_id().to_owned(),
                topic: topology.names[edge].clone(),
                topic_id: topic.id.clone(),
                partition: 0,
                partitions: topic.partitions,
                codec: program.edges()[edge].codec.to_owned(),
            },
            options: Home::options(),
            age_max_ms: topic.delete_retention_ms,
            forgets_rows: cluster.is_embedded(),
        }),
    };
    Ok(Spec {
        program: program.clone(),
        topics: topology.names.clone(),
        table,
        settings: Settings {
            commit_interval: config.commit_interval,
            records_max: config.records_per_commit as u64,
            bytes_max: UNCOMMITTED_BYTES,
            lease: LEASE,
            instance: mark(instance),
            start: config.start,
        },
        status,
    })
}

/// What a view of the table `T` keeps.
pub(crate) fn replica_spec<T: SharedTable>(
    cluster: &Cluster,
    home: &Home,
) -> Result<replica::Spec> {
    let name = <T as SharedTable>::NAME;
    let physical = cluster.names().topic(name)?;
    let topic = cluster.topics(&[name])?.into_iter().next().flatten().ok_or_else(|| {
        Error::Topic(format!(
            "the table topic `{physical}` does not exist: the processor of its group creates it, so start that first, or \
             check the name and the prefix"
        ))
    })?;
    Ok(replica::Spec {
        dir: home.replica(&physical),
        identity: Identity {
            cluster: cluster.cluster_id().to_owned(),
            topic: physical,
            topic_id: topic.id,
            partition: 0,
            partitions: topic.partitions,
            codec: <T::Codec as Codec<T::Value>>::name().to_owned(),
        },
        options: Home::options(),
        partitioner: <T as Topic>::PARTITIONER,
        age_max_ms: topic.delete_retention_ms,
        forgets_rows: cluster.is_embedded(),
    })
}

/// A group without a table is led by its first input. Two programs that order inputs differently
/// would be two halves of one group that both own partition 0.
fn refuse_two_leaders(cluster: &Cluster, program: &dyn Program, topology: &Topology) -> Result {
    if topology.table().is_some() {
        return Ok(());
    }
    let leader = program
        .edges()
        .iter()
        .position(|edge| edge.kind == Kind::Input)
        .unwrap_or(0);
    let leader = &topology.names[leader];
    for other in cluster.members(program.group())? {
        if !other.topics.is_empty() && !other.topics.contains(leader) {
            let (group, id) = (program.group(), &other.client);
            let theirs = other.topics.join("`, `");
            return Err(Error::Topic(format!(
                "group `{group}` is led by `{theirs}` in member `{id}` and would be led by `{leader}` here: both would own \
                 the same partitions. Keep the first input first, or stop the old members before"
            )));
        }
    }
    Ok(())
}

/// Topics that are looked at again and again, until the app is dropped or a topic is wrong.
struct Watched {
    cluster: Cluster,
    topologies: Vec<Topology>,
    interval: Duration,
    stop: Arc<AtomicBool>,
}

impl Watched {
    fn watch(self, end: std_mpsc::Receiver<()>, ends: mpsc::UnboundedSender<Result>) -> Result {
        // Must not keep `Running::wait` waiting.
        let ends = ends.downgrade();
        let thread = thread::Builder::new().name("goka-topics".to_owned());
        let spawned = thread.spawn(move || {
            while end.recv_timeout(self.interval) == Err(std_mpsc::RecvTimeoutError::Timeout) {
                let Err(failure) = self.look() else { continue };
                if let Some(ends) = ends.upgrade() {
                    // Nobody waits any more if this fails.
                    let _ = ends.send(Err(failure));
                }
                self.stop.store(true, Ordering::Relaxed);
                return;
            }
        });
        spawned
            .map(drop)
            .map_err(|error| Error::kafka("start the thread that checks topics", error))
    }

    fn look(&self) -> Result {
        for topology in &self.topologies {
            match topology.check_again(&self.cluster) {
                Ok(()) => {}
                Err(failure @ Error::Topic(_)) => return Err(failure),
                // The broker is away: workers know how to wait for it.
                Err(failure) => warn!(error = %failure, "topics could not be checked now"),
            }
        }
        Ok(())
    }
}
