//! The one error type. Every message is a sentence that says what happened where, and what to do.

use std::{convert::Infallible, error, fmt, io, path::PathBuf, time::Duration};

/// What a handler may fail with: any error converts into it.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// `goka::Result` is what handlers and `main` return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
///
/// Displayed, it is one sentence with the cause and the cure. `Debug` gives the same sentence, for that is what a
/// `main` prints that returns [`goka::Result`](crate::Result). What [`source`](error::Error::source) gives lies behind
/// the sentence: the first cause of the cause that is not in it yet, so that a report that goes through all sources,
/// as anyhow's `{:#}` does, says nothing twice. The cause itself is the `source` of the variant, to be matched on.
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
    /// A codec refuses a topic before the program reads or writes the topic: see
    /// [`Codec::prepare`](crate::Codec::prepare).
    Prepare {
        /// The topic on the broker.
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
    /// The operating system refused what goka needs to run: a thread, or a handler of signals.
    System {
        /// What goka was doing, for example "start the thread of an emitter".
        doing: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// This process no longer updates its local copy of a table, because it could not read the changelog or store
    /// rows. What was stored before can still be read.
    Stale {
        /// The changelog of the table.
        topic: String,
        /// Why the local copy is no longer updated, and what to do.
        reason: String,
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

    pub(crate) fn system(doing: impl Into<String>, source: io::Error) -> Self {
        Error::System {
            doing: doing.into(),
            source,
        }
    }

    pub(crate) fn state(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Error::State {
            path: path.into(),
            problem: problem.into(),
        }
    }

    /// What somebody else's code says of it, which the sentence of this error ends with.
    pub(crate) fn reason(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Decode { source, .. }
            | Error::Encode { source, .. }
            | Error::Prepare { source, .. }
            | Error::Record { source, .. }
            | Error::Kafka { source, .. } => Some(&**source),
            Error::System { source, .. } => Some(source),
            Error::Config(_)
            | Error::Topic(_)
            | Error::State { .. }
            | Error::NoRoom { .. }
            | Error::Stale { .. }
            | Error::Fenced(_)
            | Error::Elsewhere { .. }
            | Error::VisitCancelled { .. }
            | Error::Expired { .. }
            | Error::Closed(_) => None,
        }
    }
}

/// What programs that return an error from `main` print: a sentence for people, as any other way to print it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a processor gets past a record that it cannot decode.
const WAY_ON: &str = "; nothing is committed past it: read it as what it is, or choose with `on_error` what becomes of such \
                      records (docs/errors.md)";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Decode { topic, source } => {
                write!(f, "cannot decode a record of `{topic}`: {}", said(source))
            }
            Error::Encode { topic, source } => {
                write!(f, "cannot encode a record for `{topic}`: {}", said(source))
            }
            Error::Prepare { topic, source } => {
                write!(f, "cannot prepare the codec of topic `{topic}`: {}", said(source))
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
                 {offset}, key `{key}`: {}",
                said(source)
            )
            .and_then(|()| match doing.starts_with("decode ") {
                true => f.write_str(WAY_ON),
                false => Ok(()),
            }),
            Error::Config(sentence) | Error::Topic(sentence) | Error::Fenced(sentence) => {
                f.write_str(sentence.trim_end())
            }
            Error::State { path, problem } | Error::NoRoom { path, problem } => {
                write!(
                    f,
                    "local state in {}: {}",
                    path.display(),
                    problem.trim_end()
                )
            }
            Error::Kafka { doing, source } => write!(f, "cannot {doing}: {}", said(source)),
            Error::System { doing, source } => write!(f, "cannot {doing}: {source}"),
            Error::Stale { topic, reason } => write!(
                f,
                "the local copy of table topic `{topic}` is no longer updated: {}",
                reason.trim_end()
            ),
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

/// Nothing but what cannot happen: an error of others is no error of goka. What fails with both returns a [`BoxError`].
impl<E: OfGoka> From<E> for Error {
    fn from(error: E) -> Self {
        error.into_error()
    }
}

/// What `?` turns into an error of goka: of others' errors, only the one that cannot happen. It is here for what the
/// compiler says of all others; without it, it compares types. Of a text for `?`, rustc shows the label alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no error of goka",
    label = "fails with an error that is not goka's: let the function return `Result<(), goka::BoxError>`, which takes all errors"
)]
pub trait OfGoka {
    /// The error.
    fn into_error(self) -> Error;
}
#[diagnostic::do_not_recommend]
impl OfGoka for Infallible {
    fn into_error(self) -> Error {
        match self {}
    }
}

/// Texts of librdkafka may end with a new line.
fn said(reason: &BoxError) -> String {
    let mut text = reason.to_string();
    text.truncate(text.trim_end().len());
    text
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        let sentence = self.to_string();
        let mut behind = self.reason()?.source();
        while let Some(error) = behind
            && sentence.contains(error.to_string().trim_end())
        {
            behind = error.source();
        }
        behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows its cause itself, or leaves that to whoever asks for its source.
    #[derive(Debug)]
    struct Because(&'static str, Option<Box<Because>>, bool);

    impl fmt::Display for Because {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Because(text, Some(cause), true) => write!(f, "{text}: {cause}"),
                Because(text, ..) => f.write_str(text),
            }
        }
    }
    impl error::Error for Because {
        fn source(&self) -> Option<&(dyn error::Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn because(text: &'static str, cause: Option<Because>, is_shown: bool) -> Because {
        Because(text, cause.map(Box::new), is_shown)
    }

    /// As a report that goes through all sources.
    fn reported(error: &Error) -> String {
        let chain = std::iter::successors(Some(error as &dyn error::Error), |e| e.source());
        let texts: Vec<_> = chain.map(ToString::to_string).collect();
        texts.join(" < ")
    }

    #[test]
    fn an_error_that_main_returns_is_a_sentence() {
        let state = Error::state("state", "another process holds it");
        assert_eq!(
            format!("{state:?}"),
            "local state in state: another process holds it"
        );
        assert_eq!(format!("{state:#?}"), state.to_string());
        let kafka = Error::kafka("open the emitter", "No provider for SASL mechanism\n");
        assert_eq!(
            format!("{kafka:?}"),
            "cannot open the emitter: No provider for SASL mechanism"
        );
        let setting = Error::Config("librdkafka does not take it: no such key\n".to_owned());
        assert_eq!(
            format!("{setting:?}"),
            "librdkafka does not take it: no such key"
        );
    }

    #[test]
    fn a_record_that_does_not_decode_has_a_way_on() {
        let record = |doing| Error::Record {
            group: "counters",
            topic: "clicks".into(),
            partition: 2,
            offset: 40,
            key: "alice".into(),
            handler: "count",
            doing,
            source: "no number".into(),
        };
        let undecoded = record("decode its value").to_string();
        assert!(
            undecoded.contains("no number; nothing is committed past it"),
            "{undecoded}"
        );
        assert!(undecoded.contains("`on_error`"), "{undecoded}");
        assert!(record("run").to_string().ends_with("no number"));
    }

    #[test]
    fn a_report_of_all_sources_says_nothing_twice() {
        let plain = Error::decode("clicks")("not a number".into());
        assert_eq!(
            reported(&plain),
            "cannot decode a record of `clicks`: not a number"
        );

        let refused = because("refused", None, false);
        let behind = Error::kafka("read", because("no connection", Some(refused), false));
        assert_eq!(reported(&behind), "cannot read: no connection < refused");

        let deep = because("no route", Some(because("no gateway", None, false)), false);
        let shown = Error::kafka("read", because("no connection", Some(deep), true));
        assert_eq!(
            reported(&shown),
            "cannot read: no connection: no route < no gateway"
        );
    }
}
