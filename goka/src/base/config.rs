//! Settings: brokers, state directory, prefix of topics, guarantee, membership, and every key of librdkafka.
//!
//! [`Config`] is plain data with safe defaults. A wrong setting is an error where the `Config` is used first:
//! [`App::run`](crate::App::run), [`Emitter::new`](crate::Emitter::new), [`View::open`](crate::View::open).

// `kafka::client::settings` checks librdkafka's keys, `check` the rest. Names here are logical: `kafka::client::names`
// alone knows what they are called on the broker.

mod check;
mod environment;
mod secret;

use std::{
    collections::BTreeMap,
    env, fmt,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use self::secret::may_be_shown;
use crate::base::error::Error;

/// How to run: brokers, state, names, and librdkafka's settings.
///
/// ```
/// let config = goka::Config::new()
///     .brokers("localhost:9092")
///     .prefix("staging-")
///     .set("session.timeout.ms", "10000");
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) brokers: String,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) prefix: String,
    /// Physical names of single topics, by their logical ones.
    pub(crate) topics: BTreeMap<String, String>,
    pub(crate) guarantee: Guarantee,
    pub(crate) commit_interval: Duration,
    pub(crate) records_per_commit: usize,
    pub(crate) metadata_interval: Duration,
    pub(crate) workers: Option<usize>,
    pub(crate) instance_id: Option<String>,
    pub(crate) membership: Membership,
    pub(crate) start: Option<Start>,
    pub(crate) out_of_range: OutOfRange,
    pub(crate) standby: Standby,
    pub(crate) recover_ahead: bool,
    pub(crate) cleanup_delay: Duration,
    pub(crate) map_size: usize,
    pub(crate) snapshot_max: Duration,
    /// Topics to be created where they are missing, and their partitions.
    pub(crate) streams: Vec<(String, i32)>,
    pub(crate) keys: Keys,
}

/// Keys of librdkafka that were set.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    pub(crate) both: BTreeMap<String, String>,
    pub(crate) consumer: BTreeMap<String, String>,
    pub(crate) producer: BTreeMap<String, String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        let roles = [
            ("", &self.both),
            ("consumer ", &self.consumer),
            ("producer ", &self.producer),
        ];
        for (role, keys) in roles {
            for (key, value) in keys {
                map.entry(&format!("{role}{key}"), &secret::shown(key, value));
            }
        }
        map.finish()
    }
}

/// How often a record counts, whatever fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// Every record is handled. After a failure, those of the last interval may be handled again, and
    /// their outputs written twice.
    #[default]
    AtLeastOnce,
    /// What a record does to the table, to outputs and to the loop is there once: it is committed
    /// together with the record's position, in transactions of Kafka. Readers must be of the kind
    /// that waits for commits (`isolation.level=read_committed`, as goka's own), and see a record
    /// after its interval. Needs a real Kafka: on the embedded broker an app runs at-least-once, and
    /// says so in the log.
    ExactlyOnce,
}

/// How instances belong to their group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// The group knows an instance by its id: after a restart it goes on with its partitions at
    /// once. After a clean stop they wait for `session.timeout.ms` before others take them.
    #[default]
    Static,
    /// An instance leaves when it stops: others take over at once, and a restart moves partitions
    /// twice. For those who scale up and down often.
    Dynamic,
}

/// Which partitions of the group table an instance keeps up to date beside those that it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standby {
    /// None: an instance that is given a partition tops up what it has of it, or reads all of it.
    #[default]
    None,
    /// All: an instance that is given a partition, because another one failed or left, runs it at
    /// once. Costs disk, and the traffic of the table's topic, in every instance.
    All,
}

/// Where a group begins that has no position, neither in Kafka nor in its local state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record of each input.
    Earliest,
    /// With the records that come after the start.
    Latest,
    /// Empties the group's table, then with the oldest record of each input.
    Reset,
}

/// What a group does whose next record of an input is no longer there: it fell off retention before
/// it was handled, or the topic was made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfRange {
    /// The processor ends with an error that says which records are there.
    #[default]
    Fail,
    /// It goes on with the oldest record that is there. How many are missing is logged as a warning.
    Earliest,
    /// It goes on with the records that come from now on, and logs that.
    Latest,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            brokers: "localhost:9092".to_owned(),
            state_dir: None,
            prefix: String::new(),
            topics: BTreeMap::new(),
            guarantee: Guarantee::default(),
            commit_interval: Duration::from_millis(100),
            records_per_commit: 100_000,
            metadata_interval: Duration::from_secs(60),
            workers: None,
            instance_id: None,
            membership: Membership::default(),
            start: None,
            out_of_range: OutOfRange::default(),
            standby: Standby::default(),
            recover_ahead: false,
            cleanup_delay: Duration::from_secs(600),
            map_size: 64 << 30,
            snapshot_max: Duration::from_secs(60),
            streams: Vec::new(),
            keys: Keys::default(),
        }
    }
}

impl Config {
    /// Defaults, with brokers at `localhost:9092`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Addresses of one or more brokers, separated by commas; `embedded` for a broker inside this
    /// process (see [`crate::EmbeddedBroker`]).
    #[must_use]
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// Where local state is kept, by default `$XDG_STATE_HOME/goka/<program>` or
    /// `~/.local/state/goka/<program>`. One process holds a directory at a time. It must stay when
    /// the process ends (else tables are read from Kafka again at each start) and be on a local
    /// file system.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// Begins every name on the broker, of topics and groups, with this.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Calls a topic of the graph something else on the broker. The prefix is not added to it.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, on_the_broker: impl Into<String>) -> Self {
        self.topics.insert(name.into(), on_the_broker.into());
        self
    }

    /// What a failure may do to the result, by default [`Guarantee::AtLeastOnce`]. A processor may have
    /// one of its own: `guarantee = ...` in its attribute.
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// How often positions are committed, by default every 100 ms. A killed process repeats at most
    /// what it handled in one interval.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Commits earlier than at the interval once a partition has handled so many records, by
    /// default 100,000.
    #[must_use]
    pub fn records_per_commit(mut self, records: usize) -> Self {
        self.records_per_commit = records;
        self
    }

    /// How often topics are checked against the graph again, by default every 60 s.
    #[must_use]
    pub fn metadata_interval(mut self, interval: Duration) -> Self {
        self.metadata_interval = interval;
        self
    }

    /// Threads per processor, by default one for each core, at most one for each partition.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Names this instance among those of its group, by default an id kept in the state directory.
    #[must_use]
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// How instances belong to their group, by default [`Membership::Static`].
    #[must_use]
    pub fn membership(mut self, membership: Membership) -> Self {
        self.membership = membership;
        self
    }

    /// Where a group begins that has no position, by default [`Start::Earliest`] if its table is
    /// empty; otherwise to start is refused until this is set.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// What a group does whose next record of an input is no longer there, by default
    /// [`OutOfRange::Fail`].
    #[must_use]
    pub fn out_of_range(mut self, out_of_range: OutOfRange) -> Self {
        self.out_of_range = out_of_range;
        self
    }

    /// Which partitions of the group table an instance keeps up to date beside those that it runs, by
    /// default [`Standby::None`]. With [`Standby::All`], joined tables are kept in all partitions too.
    #[must_use]
    pub fn standby(mut self, standby: Standby) -> Self {
        self.standby = standby;
        self
    }

    /// Joins the group only when the local copies have caught up: each has been at the end of its
    /// partition since the start, and is followed from there. Until then the partitions run where they
    /// are, so that nothing waits for an instance that recovers. Needs [`Standby::All`], for which
    /// partitions will be given to an instance is not known before.
    #[must_use]
    pub fn recover_ahead(mut self, ahead: bool) -> Self {
        self.recover_ahead = ahead;
        self
    }

    /// How long the local copy of a partition stays that runs elsewhere, by default 10 minutes: should
    /// the partition come back in time, only what was written meanwhile is read. Kafka Streams calls
    /// it `state.cleanup.delay.ms`. Time without contact to the group does not count, and with
    /// [`Standby::All`] every copy is in use.
    #[must_use]
    pub fn cleanup_delay(mut self, delay: Duration) -> Self {
        self.cleanup_delay = delay;
        self
    }

    /// How large the local copy of one partition may become, bytes, by default 64 GiB. It is address space,
    /// and costs nothing until it is used; where a limit on virtual memory or a 32-bit machine forbids that
    /// much, set less. A copy that would grow beyond it is an error, and goes on after a restart with more.
    #[must_use]
    pub fn map_size(mut self, bytes: usize) -> Self {
        self.map_size = bytes;
        self
    }

    /// For how long a snapshot of a view ([`View::snapshot`](crate::View::snapshot)) may be held, by default
    /// 60 s. What it sees keeps the file of the local copy from using room again, so the first write after that
    /// time lets go of it, and its reads are errors ([`Error::Expired`]).
    #[must_use]
    pub fn snapshot_max(mut self, age: Duration) -> Self {
        self.snapshot_max = age;
        self
    }

    /// Creates the topic of a stream with so many partitions, if it is missing. One that exists with
    /// another number is refused: it is never changed.
    #[must_use]
    pub fn create_stream(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.streams.push((name.into(), partitions));
        self
    }

    /// Sets a key of librdkafka for consumers and producers, for example
    /// `.set("security.protocol", "ssl")`.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.both.insert(key.into(), value.into());
        self
    }

    /// Sets a key of librdkafka for consumers only; wins over [`Config::set`].
    #[must_use]
    pub fn set_consumer(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.consumer.insert(key.into(), value.into());
        self
    }

    /// Sets a key of librdkafka for producers only; wins over [`Config::set`].
    #[must_use]
    pub fn set_producer(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.producer.insert(key.into(), value.into());
        self
    }

    /// The state directory, chosen or by default; it need not exist.
    pub(crate) fn state_path(&self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.state_dir {
            return Ok(path.clone());
        }
        let absolute = |name: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        let program = env::current_exe().ok();
        let program = program.as_deref().and_then(Path::file_stem);
        match (home, program) {
            (Some(home), Some(program)) => Ok(home.join("goka").join(program)),
            _ => Err(Error::Config(
                "there is no place for local state: neither XDG_STATE_HOME nor HOME is set; \
                 choose one with `Config::state_dir` or GOKA_STATE_DIR"
                    .to_owned(),
            )),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("brokers", &self.brokers)
            .field("state_dir", &self.state_dir)
            .field("prefix", &self.prefix)
            .field("topics", &self.topics)
            .field("guarantee", &self.guarantee)
            .field("commit_interval", &self.commit_interval)
            .field("records_per_commit", &self.records_per_commit)
            .field("metadata_interval", &self.metadata_interval)
            .field("workers", &self.workers)
            .field("instance_id", &self.instance_id)
            .field("membership", &self.membership)
            .field("start", &self.start)
            .field("out_of_range", &self.out_of_range)
            .field("standby", &self.standby)
            .field("recover_ahead", &self.recover_ahead)
            .field("cleanup_delay", &self.cleanup_delay)
            .field("map_size", &self.map_size)
            .field("snapshot_max", &self.snapshot_max)
            .field("streams", &self.streams)
            .field("keys", &self.keys)
            .finish()
    }
}
