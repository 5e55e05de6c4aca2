//! Starts an app: checks settings and topics, opens the state directory, and starts a thread per worker. Must not know
//! how a worker processes records.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    app::{
        copies,
        group::{Group, Remote},
        home::Home,
        leftovers::Leftovers,
        orphans::{self, Orphans},
        replicas::{self, TableSource},
        running::Running,
        together::{Place, Together},
        topology::Topology,
        watched::Watched,
    },
    base::{
        config::{Config, Guarantee, Membership, Standby},
        error::{Error, Result},
        kind::Kind,
    },
    engine::{
        port::{crash, fault::Planted},
        program::{EdgeInfo, Program},
        replica::tables::Tables,
        spec::mark,
        spec::{Settings, Spec},
        status::Status,
        table::rows::STORED_AT_ONCE,
        worker::Worker,
    },
    kafka::{Cluster, MemberSpec, check_settings, message_timeout, transaction_timeout},
};

/// How long a turn of a worker waits if there is nothing to do. A worker notices a shutdown within this time.
const IDLE: Duration = Duration::from_millis(5);

/// Maximum size of the uncommitted rows of one partition in memory, in bytes. Beyond this size, the worker commits
/// early.
const UNCOMMITTED_BYTES: usize = 16 << 20;

/// Minimum time between two attempts of a fenced worker to join its group again.
const REJOIN_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum membership lease: if the last proof of membership is older, a worker proves its membership again before it
/// processes a record. The maximum is shorter than the session timeout (6 s by default), after which other members may
/// have taken over the partitions.
const LEASE_MAX: Duration = Duration::from_secs(4);

pub(super) fn launch(
    config: Config,
    programs: Vec<Arc<dyn Program>>,
    runtime: Option<Handle>,
) -> Result<Running> {
    if programs.is_empty() {
        return Err(Error::Config(
            "the app has no processor. Add one with `App::processor`".to_owned(),
        ));
    }
    crash::prepare()?;
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
                "two processors of this app belong to group `{group}`, but a group has one processor. For more parallelism, \
                 raise the number of workers (`Config::workers`)"
            )));
        }
        let topology = Topology::prepare(&cluster, &**program)?;
        program.prepare(&topology.names, &config)?;
        topologies.push(topology);
    }
    let home = Arc::new(Home::open(&config, &cluster)?);
    let instance = config
        .instance_id
        .clone()
        .unwrap_or_else(|| home.instance_id().to_owned());
    let (changed, changes) = watch::channel(0);
    let (ends, mut ended) = mpsc::unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let (mut groups, mut starts) = (Vec::new(), Vec::new());
    let mut leftovers = Leftovers::new(config.cleanup_delay);
    for (program, topology) in programs.iter().zip(&topologies) {
        let config = for_group(&config, &cluster, &**program)?;
        refuse_two_leaders(&cluster, &**program, topology)?;
        if config.guarantee == Guarantee::AtLeastOnce {
            topology.warn_of_compaction();
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = config
            .workers
            .unwrap_or(cores)
            .min(topology.partitions as usize)
            .max(1);
        let mut tables = tables(&cluster, &home, &**program)?;
        if config.standby == Standby::All {
            tables.want_all();
        }
        let tables = Arc::new(tables);
        let table = copies::table(&config, &cluster, &home, &**program, topology)?;
        let standby = table.as_ref().and_then(|table| table.standby.as_ref());
        let standby = standby.map_or_else(Weak::new, Arc::downgrade);
        let mut remotes = Vec::new();
        let together = Arc::new(Together::default());
        for number in 0..workers {
            let worker = Remote {
                status: Arc::new(Status::new(changed.clone())),
                visits: Arc::default(),
            };
            remotes.push(worker.clone());
            let start = Start {
                spec: Spec {
                    tables: tables.clone(),
                    table: table.clone(),
                    ..spec(
                        &config,
                        &cluster,
                        program,
                        topology,
                        (&instance, number),
                        worker,
                    )?
                },
                member: member(&config, &**program, &instance, number),
                cluster: cluster.clone(),
                _home: home.clone(),
                stop: stop.clone(),
                runtime: runtime.clone(),
                recovers_ahead: config.recover_ahead,
                together: Some(together.place()),
            };
            starts.push(start);
        }
        let statuses = remotes.iter().map(|remote| remote.status.clone());
        let copies = copies::directories(&cluster, &home, &**program)?;
        leftovers.add(home.state(), copies, statuses.collect());
        groups.push(Group {
            name: program.group(),
            partitions: topology.partitions,
            processor: program.processor(),
            workers: remotes,
            standby,
        });
    }
    let (monitor, ends_monitor) = std_mpsc::channel();
    let watched = Watched {
        orphans: orphans(&config, &cluster, programs.iter().zip(&topologies)),
        cluster,
        topologies,
        interval: config.metadata_interval,
        leftovers,
        stop: stop.clone(),
    };
    // The workers start only now, when all groups have passed their checks.
    let mut spawned = starts.into_iter();
    let spawned = spawned.try_for_each(|start| start.spawn(ends.clone()));
    if let Err(error) = spawned.and_then(|()| watched.watch(ends_monitor, ends)) {
        stop.store(true, Ordering::Relaxed);
        // Waits for the workers that run already: the last worker closes the channel when it ends.
        while ended.blocking_recv().is_some() {}
        return Err(error);
    }
    Ok(Running {
        stop,
        ended,
        groups,
        changes,
        _monitor: monitor,
        first_error: None,
    })
}

/// What the thread of a worker starts with.
struct Start {
    spec: Spec,
    member: MemberSpec,
    cluster: Cluster,
    /// Keeps the state directory locked until the last worker has ended.
    _home: Arc<Home>,
    stop: Arc<AtomicBool>,
    runtime: Option<Handle>,
    /// Whether the worker joins the group only when the local copies have caught up.
    recovers_ahead: bool,
    /// The worker's place among the workers that join together; `None` after its first join.
    together: Option<Place>,
}

impl Start {
    fn spawn(self, ends: mpsc::UnboundedSender<Result>) -> Result {
        let name = format!("{}-{}", self.member.group, self.member.worker);
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let (stop, visits) = (self.stop.clone(), self.spec.visits.clone());
            let (group, status) = (self.member.group.clone(), self.spec.status.clone());
            let ended = catch_unwind(AssertUnwindSafe(|| self.run()));
            let ended = ended.unwrap_or_else(|_| {
                let what = "the thread of a worker panicked".to_owned();
                Err(Error::Bug(what))
            });
            if let Err(failure) = &ended {
                error!(group, error = %failure, "a processor failed; stopping the app");
                // The other workers shut down cleanly, even if nobody waits for them.
                stop.store(true, Ordering::Relaxed);
            }
            visits.close();
            // Wakes all tasks that wait for the partitions of this worker to run.
            status.changed();
            // Sending fails only if nobody waits for the end of the app any more.
            let _ = ends.send(ended);
        });
        spawned
            .map(drop)
            .map_err(|error| Error::system("start the thread of a worker", error))
    }

    fn run(mut self) -> Result {
        let _entered = self.runtime.as_ref().map(Handle::enter);
        if self.recovers_ahead {
            self.recover_ahead()?;
        }
        let mut rejoined: Option<Instant> = None;
        loop {
            let kafka = self.cluster.member(&self.member)?;
            if let Some(place) = self.together.take() {
                place.wait();
            }
            let mut worker = Worker::new(self.spec.clone(), kafka);
            let mut turned = Ok(());
            while turned.is_ok() && !self.stop.load(Ordering::Relaxed) {
                turned = worker.turn(IDLE);
            }
            // After an outage, the broker may mistake the remains of this member for another member. If there really is
            // another member with this id, this worker is fenced again within a minute.
            let again = rejoined.is_none_or(|at| at.elapsed() > REJOIN_INTERVAL);
            match turned {
                Err(Error::Fenced(reason)) if again => {
                    warn!(
                        group = self.member.group,
                        reason, "the worker was fenced; joining the group again"
                    );
                    rejoined = Some(Instant::now());
                    worker.abandon()?;
                }
                turned => {
                    let closed = worker.close();
                    return turned.and(closed);
                }
            }
        }
    }
}

impl Start {
    /// Waits until the local copies of all partitions have caught up with the changelogs, or the app is stopped. Until
    /// then the group does not know this instance, and the partitions of the group keep running on the other instances.
    fn recover_ahead(&self) -> Result {
        let standby = self.spec.table.as_ref().and_then(|t| t.standby.as_ref());
        while !self.stop.load(Ordering::Relaxed) {
            let own = standby.map_or(Ok(true), |standby| standby.is_caught_up())?;
            if own && self.spec.tables.are_all_up_to_date()? {
                info!(
                    group = self.member.group,
                    "all local copies have caught up; joining the group"
                );
                return Ok(());
            }
            thread::park_timeout(IDLE);
        }
        Ok(())
    }
}

/// The settings, with the guarantee that applies to this group.
fn for_group(config: &Config, cluster: &Cluster, program: &dyn Program) -> Result<Config> {
    let wanted = program.options().guarantee.unwrap_or(config.guarantee);
    let guarantee = cluster.guarantee(wanted);
    if guarantee != wanted {
        warn!(
            group = program.group(),
            "the embedded broker does not support exactly-once; running this group with at-least-once. Use a real \
             Kafka for exactly-once"
        );
    }
    let config = config.clone().guarantee(guarantee);
    check_settings(&config)?;
    Ok(config)
}

fn member(config: &Config, program: &dyn Program, instance: &str, worker: usize) -> MemberSpec {
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
        // Members subscribe to the changelog, because it stays the same when a deployment changes the inputs. If
        // members subscribed to an input instead, the group could split into two halves that both own a partition.
        leader: table.clone().unwrap_or_else(|| sources[0].clone()),
        sources,
        targets: edges.iter().map(|edge| edge.topic.to_owned()).collect(),
        table,
        guarantee: config.guarantee,
    }
}

/// The groups to check for orphaned partitions: the groups with static members. A static member that is killed during a
/// rebalance can leave such partitions behind.
fn orphans<'a>(
    config: &Config,
    cluster: &Cluster,
    programs: impl Iterator<Item = (&'a Arc<dyn Program>, &'a Topology)>,
) -> Orphans {
    let can_be = config.membership == Membership::Static && !cluster.is_embedded();
    let groups = programs
        .filter(|_| can_be)
        .map(|(program, topology)| orphans::Group {
            name: program.group(),
            leader: member(config, &**program, "", 0).leader,
            partitions: topology.partitions,
        });
    Orphans::of(groups)
}

fn spec(
    config: &Config,
    cluster: &Cluster,
    program: &Arc<dyn Program>,
    topology: &Topology,
    (instance, number): (&str, usize),
    worker: Remote,
) -> Result<Spec> {
    let names = cluster.names();
    let guarantee = config.guarantee;
    let commits_as = match guarantee {
        Guarantee::AtLeastOnce => instance.to_owned(),
        Guarantee::ExactlyOnce => names.transactional_id(program.group(), instance, number)?,
    };
    Ok(Spec {
        program: program.clone(),
        topics: topology.names.clone(),
        topic_ids: topology
            .topics
            .iter()
            .map(|topic| topic.id.clone())
            .collect(),
        table: None,
        settings: Settings {
            guarantee,
            commit_interval: config.commit_interval,
            records_max: config.records_per_commit as u64,
            bytes_max: UNCOMMITTED_BYTES,
            stored_at_once: STORED_AT_ONCE,
            lease: LEASE_MAX.min(message_timeout(config)?),
            handler_max: transaction_timeout(config)? / 2,
            instance: mark(&commits_as),
            start: config.start,
            out_of_range: config.out_of_range,
            fault: Planted::from_env()?,
        },
        tables: Arc::default(),
        status: worker.status,
        visits: worker.visits,
    })
}

/// The replicas of the tables that a processor reads and that belong to other groups.
fn tables(cluster: &Cluster, home: &Home, program: &dyn Program) -> Result<Tables> {
    let group = program.group();
    let table = |edge: EdgeInfo| {
        let how = match edge.kind {
            Kind::Join => "the join",
            Kind::Lookup => "the lookup",
            Kind::Input | Kind::Loop | Kind::Output | Kind::Table | Kind::DeadLetter => {
                return Ok(None);
            }
        };
        let source = TableSource {
            topic: edge.topic,
            partitioner: edge.partitioner,
            codec: edge.codec,
            reader: format!("{how} of group `{group}`"),
            committed_by: None,
        };
        let replica = replicas::open(cluster, home, &source)?;
        Ok(Some((edge.kind, replica)))
    };
    let tables: Result<Vec<_>> = program.edges().into_iter().map(table).collect();
    Ok(Tables::new(tables?))
}

/// Refuses to start if running members of the group subscribe to a topic other than the one this program subscribes to.
/// A group without a table subscribes to its first input, so two programs that order their inputs differently would
/// form two halves of one group, and both halves would own the same partitions.
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
                "group `{group}` assigns partitions by its first input, which is `{theirs}` in the running member `{id}` and \
                 `{leader}` here: both members would own the same partitions. Keep the same first input, or stop the \
                 running members first"
            )));
        }
    }
    Ok(())
}
