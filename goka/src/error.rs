//! The one error type. Every message is a sentence that says what happened where, and what to do.

use std::{error, fmt, path::PathBuf, time::Duration};

/// What a handler may fail with: any error converts into it.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// `goka::Result` is what handlers and `main` return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no value of the type that the topic carries.
    Decode {
        /// The topic they came from.
        topic: String,
        /// What the codec says.
        source: BoxError,
    },
    /// A value that its codec cannot write.
    Encode {
        /// The topic it was meant for.
        topic: String,
        /// What the codec says.
        source: BoxError,
    },
    /// A record that could not be handled. Nothing is committed past it: a restart reads it again.
    Record {
        /// The group that reads it.
        group: &'static str,
        /// The physical topic.
        topic: Box<str>,
        /// The partition.
        partition: i32,
        /// The offset in the partition.
        offset: i64,
        /// Its key, as text where it is UTF-8, else in hexadecimal.
        key: Box<str>,
        /// The name of the handler, or of the visitor.
        handler: &'static str,
        /// What was being done, for example "decode its value" or "run".
        doing: &'static str,
        /// Why it failed.
        source: BoxError,
    },
    /// A setting that is unknown, malformed or in conflict with another.
    Config(String),
    /// A topic that is missing, or not as the graph needs it. Nothing was changed.
    Topic(String),
    /// The local state cannot be used.
    State {
        /// Its directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The disk has no room for the local state, or fails. What did not fit was not stored. Partitions
    /// of processors and views that meet it wait, and go on by themselves when there is room.
    NoRoom {
        /// The directory that has to grow.
        path: PathBuf,
        /// What could not be done, and what to do.
        problem: String,
    },
    /// The broker, or the connection to it.
    Kafka {
        /// What was being done.
        doing: String,
        /// What librdkafka says.
        source: BoxError,
    },
    /// Another member of the group has this one's instance id.
    Fenced(String),
    /// The row is at another instance of the group, or not recovered yet here.
    Elsewhere {
        /// The group.
        group: &'static str,
        /// The partition of the row.
        partition: i32,
    },
    /// A visit ended early, because a partition went to another instance, or because it is not known
    /// whether Kafka took a transaction with rows that were visited (the broker was away). What it did until
    /// then is committed, but for the last of that partition in the second case; visit again for the rest.
    VisitCancelled {
        /// The group.
        group: &'static str,
        /// The partition that went, or is in doubt.
        partition: i32,
        /// How many keys were visited here.
        keys: u64,
    },
    /// A snapshot of a view was held for longer than [`Config::snapshot_max`](crate::Config::snapshot_max) allows,
    /// and its table has changed meanwhile.
    Expired {
        /// How long it may be held.
        max_age: Duration,
    },
    /// Something was used after it was closed.
    Closed(&'static str),
}

impl Error {
    pub(crate) fn decode(topic: &str) -> impl FnOnce(BoxError) -> Self {
        move |source| Error::Decode {
            topic: topic.to_owned(),
            source,
        }
    }

    pub(crate) fn encode(topic: &str) -> impl FnOnce(BoxError) -> Self {
        move |source| Error::Encode {
            topic: topic.to_owned(),
            source,
        }
    }

    pub(crate) fn kafka(doing: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Error::Kafka {
            doing: doing.into(),
            source: source.into(),
        }
    }

    pub(crate) fn state(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Error::State {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Decode { topic, source } => {
                write!(f, "cannot decode a record of `{topic}`: {source}")
            }
            Error::Encode { topic, source } => {
                write!(f, "cannot encode a record for `{topic}`: {source}")
            }
            Error::Record {
                group,
                topic,
                partition,
                offset,
                key,
                handler,
                doing,
                source,
            } => write!(
                f,
                "handler `{handler}` of group `{group}` cannot {doing}: topic `{topic}`, partition {partition}, offset \
                 {offset}, key `{key}`: {source}"
            ),
            Error::Config(sentence) | Error::Topic(sentence) | Error::Fenced(sentence) => {
                f.write_str(sentence)
            }
            Error::State { path, problem } | Error::NoRoom { path, problem } => {
                write!(f, "local state in {}: {problem}", path.display())
            }
            Error::Kafka { doing, source } => write!(f, "cannot {doing}: {source}"),
            Error::Elsewhere { group, partition } => write!(
                f,
                "partition {partition} of group `{group}` does not run at this instance: ask the one that has it, or read \
                 the whole table by a `View`"
            ),
            Error::VisitCancelled {
                group,
                partition,
                keys,
            } => write!(
                f,
                "the visit of group `{group}` was cancelled after {keys} keys, because partition {partition} went to another \
                 instance, or a transaction of it is in doubt: visit again"
            ),
            Error::Expired { max_age } => write!(
                f,
                "the snapshot was held for longer than {max_age:?} while its table changed, and was let go of, for the \
                 local copy could not use room again meanwhile: take one, read, and drop it, or allow more time \
                 (`Config::snapshot_max`, GOKA_SNAPSHOT_MAX_MS)"
            ),
            Error::Closed(what) => write!(f, "{what} was closed"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Decode { source, .. }
            | Error::Encode { source, .. }
            | Error::Record { source, .. }
            | Error::Kafka { source, .. } => Some(&**source),
            Error::Config(_)
            | Error::Topic(_)
            | Error::State { .. }
            | Error::NoRoom { .. }
            | Error::Fenced(_)
            | Error::Elsewhere { .. }
            | Error::VisitCancelled { .. }
            | Error::Expired { .. }
            | Error::Closed(_) => None,
        }
    }
}
