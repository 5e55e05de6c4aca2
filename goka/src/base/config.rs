//! Settings: brokers, state directory, prefix of topics, guarantee, membership, and every key of librdkafka.
//!
//! [`Config`] is plain data with safe defaults. A wrong setting causes an error where the `Config` is first used:
//! [`App::run`](crate::App::run), [`Emitter::new`](crate::Emitter::new), [`View::open`](crate::View::open).

// `kafka::client::settings` checks librdkafka's keys; `check` checks the other settings. Topic and group names in this
// file are logical: only `kafka::client::names` knows the names on the broker.

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

/// Settings of an [`App`](crate::App), an [`Emitter`](crate::Emitter) or a [`View`](crate::View): brokers, state
/// directory, guarantee, and every key of librdkafka.
///
/// Goka checks the settings where they are first used, for example in [`App::start`](crate::App::start).
/// [`Config::from_env`] reads them from environment variables.
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
    /// Maps the logical names of single topics to their names on the broker.
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
    /// Topics to create if they are missing, with their numbers of partitions.
    pub(crate) streams: Vec<(String, i32)>,
    pub(crate) keys: Keys,
}

/// The keys of librdkafka that were set.
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

/// Processing guarantee: at-least-once or exactly-once.
///
/// [`Config::guarantee`] sets the guarantee for an app; `guarantee = ...` in the attribute of a processor sets it for
/// that processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// After any number of kills, moves and pauses, each input record counts once in the table and no output is lost;
    /// outputs since the group's last commit, normally those of one commit interval, may be repeated. The default.
    ///
    /// This holds for a group without a loop whose handlers depend only on key, value and row. A handler may look at
    /// its row before it emits. After a failure, the records since the group's last commit are processed again; before
    /// that, goka undoes the rows that these records had written. Messages of a loop may be written twice, and then
    /// count twice. `docs/guarantees.md` lists all limits.
    #[default]
    AtLeastOnce,
    /// The effects of a record on the table, the outputs and the loop are committed once, together with the offset of
    /// the record, in a Kafka transaction. Consumers of the topics must read committed records only
    /// (`isolation.level=read_committed`, as goka does). Such a consumer sees a record only after its commit interval.
    /// This guarantee needs a real Kafka: on the embedded broker, an app runs at-least-once and logs a warning.
    ExactlyOnce,
}

/// Consumer group membership of an instance: static (`group.instance.id`) or dynamic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// The group knows an instance by its id (`group.instance.id`). A restart within `session.timeout.ms` causes no
    /// rebalance: the instance keeps its partitions. If the instance does not come back, other instances take over its
    /// partitions after `session.timeout.ms`, even if the instance stopped cleanly. The default.
    #[default]
    Static,
    /// An instance leaves the group when it stops. Other instances take over its partitions immediately, so a restart
    /// moves the partitions twice. Dynamic membership is for deployments that scale up and down often.
    Dynamic,
}

/// Hot standbys: which partitions of the group table an instance keeps up to date in addition to its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standby {
    /// None. An instance that takes over a partition first restores the partition's local copy from the changelog: the
    /// instance reads only the records that its local copy lacks, or all records if it has no local copy. The default.
    #[default]
    None,
    /// All. If another instance fails or leaves, an instance that takes over a partition runs it immediately. The cost:
    /// each instance stores the whole table and consumes the whole changelog.
    All,
}

/// Where a group starts to read if it has neither a committed offset nor a position in its local state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record of each input.
    Earliest,
    /// At the end of each input: only records written after the start are processed.
    Latest,
    /// At the oldest record of each input, after the group has deleted all rows of its table.
    Reset,
}

/// What a group does if its next offset in an input is out of range: retention deleted the record before the group
/// processed it, or the topic was deleted and created again. This setting is like `auto.offset.reset`, but never
/// silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfRange {
    /// The processor stops with an error, which names the offsets that exist. The default.
    #[default]
    Fail,
    /// The group resumes at the oldest record that exists, and logs a warning with the number of missing records.
    Earliest,
    /// The group resumes at the end of the partition, and logs a warning.
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
    /// The default settings, with brokers at `localhost:9092`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Addresses of one or more brokers (`bootstrap.servers`), separated by commas, by default `localhost:9092`;
    /// `embedded` for a broker inside this process (see [`EmbeddedBroker`](crate::EmbeddedBroker)).
    #[must_use]
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// Directory of the local state, by default `$XDG_STATE_HOME/goka/<program>` or `~/.local/state/goka/<program>`.
    ///
    /// The directory must be on a local file system, and is locked by one process at a time. It should outlive the
    /// process: without it, goka restores tables from Kafka at each start.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// Prefix of all names on the broker: topics, groups and transactional ids. Empty by default.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Maps a topic of the graph to another name on the broker. The [`prefix`](Self::prefix) is not added to that name.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, on_the_broker: impl Into<String>) -> Self {
        self.topics.insert(name.into(), on_the_broker.into());
        self
    }

    /// The processing guarantee, by default [`Guarantee::AtLeastOnce`]: the table is exact, and outputs may be repeated
    /// after a failure. With [`Guarantee::ExactlyOnce`], outputs are not repeated either. The attribute of a processor
    /// may override the guarantee with `guarantee = ...`.
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Commit interval, by default 100 ms; above 0 and at most 2 s. After a process is killed, at most the records of
    /// one commit interval are processed again.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Number of records of a partition after which goka commits even if the commit interval is not over yet, by
    /// default 100,000.
    #[must_use]
    pub fn records_per_commit(mut self, records: usize) -> Self {
        self.records_per_commit = records;
        self
    }

    /// Interval at which a running app checks that its topics still match the graph, by default 60 s.
    #[must_use]
    pub fn metadata_interval(mut self, interval: Duration) -> Self {
        self.metadata_interval = interval;
        self
    }

    /// Number of worker threads per processor, by default one per core. A processor never has more workers than
    /// partitions.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Id of this instance in its group (the base of `group.instance.id`), by default an id that goka keeps in the
    /// state directory. The id must be unique in the group. It has at most 239 characters: letters, digits, `.`, `_`
    /// and `-`.
    #[must_use]
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// Static or dynamic membership in the consumer group, by default [`Membership::Static`].
    #[must_use]
    pub fn membership(mut self, membership: Membership) -> Self {
        self.membership = membership;
        self
    }

    /// Where a group without offsets starts to read, by default [`Start::Earliest`] if its table is empty. If the table
    /// has rows but the group has no offsets, the app does not start until `start` is set.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// What a group does if its next offset in an input is out of range, by default [`OutOfRange::Fail`].
    #[must_use]
    pub fn out_of_range(mut self, out_of_range: OutOfRange) -> Self {
        self.out_of_range = out_of_range;
        self
    }

    /// Hot standbys of the group table, by default [`Standby::None`]. With [`Standby::All`], this process also keeps
    /// all partitions of joined tables.
    #[must_use]
    pub fn standby(mut self, standby: Standby) -> Self {
        self.standby = standby;
        self
    }

    /// Whether an instance joins its group only after all of its local copies have caught up with the changelogs, by
    /// default `false`. Until the instance joins, the partitions keep running on the other instances, so that no
    /// partition waits while an instance restores its state. Needs [`Standby::All`], because an instance does not know
    /// before it joins which partitions it will be assigned.
    #[must_use]
    pub fn recover_ahead(mut self, ahead: bool) -> Self {
        self.recover_ahead = ahead;
        self
    }

    /// How long this instance keeps the local copy of a partition that moved to another instance, by default 10
    /// minutes. If the partition comes back within this time, goka restores only the rows that were written in the
    /// meantime. If this instance loses contact with the group, the delay starts again from zero when the instance is
    /// back in the group. With [`Standby::All`], no local copy is deleted. In Kafka Streams, this setting is
    /// `state.cleanup.delay.ms`.
    #[must_use]
    pub fn cleanup_delay(mut self, delay: Duration) -> Self {
        self.cleanup_delay = delay;
        self
    }

    /// Maximum size of the local copy of one partition, in bytes, by default 64 GiB (LMDB's map size). The setting
    /// reserves address space, not memory or disk space. Set a smaller size where virtual memory is limited, or on a
    /// 32-bit machine. A write that would make a local copy larger than this size is an error; restart with a larger
    /// size. The size is at least 1 MiB and at most 64 TiB.
    #[must_use]
    pub fn map_size(mut self, bytes: usize) -> Self {
        self.map_size = bytes;
        self
    }

    /// Maximum age of a snapshot of a view ([`View::snapshot`](crate::View::snapshot)), by default 60 s. A snapshot
    /// keeps the local copy from reusing disk space. Therefore the first write to the local copy after that time
    /// releases the snapshot, and later reads of the snapshot fail with [`Error::Expired`].
    #[must_use]
    pub fn snapshot_max(mut self, age: Duration) -> Self {
        self.snapshot_max = age;
        self
    }

    /// Creates the topic of a stream, with this number of partitions, if it does not exist. If the topic exists with
    /// another number of partitions, the app does not start; goka never changes an existing topic.
    #[must_use]
    pub fn create_stream(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.streams.push((name.into(), partitions));
        self
    }

    /// Sets a configuration key of librdkafka for all clients, for example `.set("security.protocol", "ssl")`.
    ///
    /// Goka refuses keys that would break its guarantees, and says why. `Debug` and errors hide values that may be
    /// secret.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.both.insert(key.into(), value.into());
        self
    }

    /// Sets a configuration key of librdkafka for consumers only. It takes precedence over [`Config::set`].
    #[must_use]
    pub fn set_consumer(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.consumer.insert(key.into(), value.into());
        self
    }

    /// Sets a configuration key of librdkafka for producers only. It takes precedence over [`Config::set`].
    #[must_use]
    pub fn set_producer(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.producer.insert(key.into(), value.into());
        self
    }

    /// The state directory: the directory that was set, or the default one. The directory need not exist.
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
                "no directory for local state: neither XDG_STATE_HOME nor HOME is set. Set one with \
                 `Config::state_dir` or GOKA_STATE_DIR"
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
