//! Errors: [`Error`] has a variant for each place where an error can arise.
//!
//! Each message is a sentence that says what happened, where (topic, partition, offset), and what to do. Handlers may
//! return errors of any type, as [`BoxError`].

// Must not know any other part of goka.

use std::{convert::Infallible, error, fmt, io, path::PathBuf, time::Duration};

/// Any error, boxed: what handlers may return. All error types convert into `BoxError`.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// The `Result` of goka, with `()` and [`Error`] as defaults: `goka::Result` is what handlers and `main` return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Errors of goka, by where they arose.
///
/// `Display` gives one sentence that states the cause and what to do. `Debug` gives the same sentence, because a `main`
/// that returns [`goka::Result`](crate::Result) prints the `Debug` form of its error.
///
/// To match on the cause, use the `source` field of a variant. [`source()`](error::Error::source) returns only causes
/// that the sentence does not contain, so that a report of the whole chain, such as anyhow's `{:#}`, repeats nothing.
#[non_exhaustive]
pub enum Error {
    /// Bytes from Kafka or from a local copy do not decode as the type that the topic declares.
    Decode {
        /// The topic of the record or of the row.
        topic: String,
        /// The error of the codec.
        source: BoxError,
    },
    /// A codec cannot encode a value.
    Encode {
        /// The topic that the record or the row was meant for.
        topic: String,
        /// The error of the codec.
        source: BoxError,
    },
    /// A codec refused a topic before the program read or wrote any record of the topic: see
    /// [`Codec::prepare`](crate::Codec::prepare).
    Prepare {
        /// The topic, by its name on the broker.
        topic: String,
        /// The error of the codec.
        source: BoxError,
    },
    /// A record could not be processed. No offset past the record was committed: after a restart, goka reads the record
    /// again.
    Record {
        /// The group of the processor.
        group: &'static str,
        /// The topic of the record, by its name on the broker.
        topic: Box<str>,
        /// The partition of the record.
        partition: i32,
        /// The offset of the record in the partition.
        offset: i64,
        /// The key of the record: as text if the key is UTF-8, otherwise in hexadecimal.
        key: Box<str>,
        /// The name of the handler, or of the visitor.
        handler: &'static str,
        /// The step that failed, for example "decode the value" or "run".
        doing: &'static str,
        /// The cause, for example the error that the handler returned.
        source: BoxError,
    },
    /// A setting is unknown, malformed, or in conflict with another setting.
    Config(String),
    /// A topic is missing, or differs from what the graph needs. Goka changed nothing.
    Topic(String),
    /// The local state cannot be used.
    State {
        /// The directory of the local state.
        path: PathBuf,
        /// What is wrong, and how to fix it.
        problem: String,
    },
    /// The disk is full or failing. The rows that did not fit were not stored. A partition of a processor or of a view
    /// that meets this error waits, and continues by itself when there is space.
    NoRoom {
        /// The directory that has to grow.
        path: PathBuf,
        /// What goka could not do, and how to fix the problem.
        problem: String,
    },
    /// The broker refused a request, did not answer, or could not be reached.
    Kafka {
        /// What goka was doing.
        doing: String,
        /// The error of librdkafka.
        source: BoxError,
    },
    /// The operating system refused a resource that goka needs: a thread, or a signal handler.
    System {
        /// What goka was doing, for example "start the thread of an emitter".
        doing: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// This process no longer updates its local copy of a table, because it could not read the changelog or store
    /// rows. Reads still return the rows that were stored earlier.
    Stale {
        /// The changelog of the table, by its name on the broker.
        topic: String,
        /// Why the local copy is no longer updated, and what to do.
        reason: String,
    },
    /// This instance was fenced: another member of the group has the same instance id.
    Fenced(String),
    /// The partition of a row is not assigned to this instance, or has not recovered here yet.
    Elsewhere {
        /// The group.
        group: &'static str,
        /// The partition of the row.
        partition: i32,
    },
    /// A visit ended early, because a partition moved to another instance, or because the outcome of a transaction is
    /// unknown (the broker did not answer). The effects of the visit so far are committed. The only exception: if the
    /// outcome of a transaction is unknown, the last effects in its partition may not be committed. Start the visit
    /// again for the remaining rows.
    VisitCancelled {
        /// The group.
        group: &'static str,
        /// The partition that moved, or whose transaction has an unknown outcome.
        partition: i32,
        /// The number of keys that were visited in this process.
        keys: u64,
    },
    /// A snapshot of a view was held for longer than [`Config::snapshot_max`](crate::Config::snapshot_max), and the
    /// table of the view has changed since the snapshot was taken.
    Expired {
        /// The maximum age of a snapshot.
        max_age: Duration,
    },
    /// An object of goka was used after it was closed, or was closed before it could answer.
    Closed(&'static str),
    /// A defect in goka: a thread of goka panicked. Please report it.
    Bug(String),
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

    /// The cause, as code outside goka reported it. The sentence of this error contains the text of the cause.
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
            | Error::Closed(_)
            | Error::Bug(_) => None,
        }
    }
}

/// Writes the sentence of `Display`, because a program that returns an error from `main` prints the `Debug` form of the
/// error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What to do about a record that does not decode.
const CURE: &str = ". No offset past this record was committed. Fix the codec, or set `on_error` to skip or dead-letter \
                    such records (docs/errors.md)";

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
                write!(
                    f,
                    "cannot prepare the codec of topic `{topic}`: {}",
                    said(source)
                )
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
            } => {
                write!(f, "handler `{handler}` of group `{group}` ")?;
                match *doing {
                    "run" => f.write_str("failed")?,
                    doing => write!(f, "cannot {doing}")?,
                }
                write!(
                    f,
                    ": topic `{topic}`, partition {partition}, offset {offset}, key `{key}`: {}",
                    said(source)
                )?;
                match doing.starts_with("decode ") {
                    true => f.write_str(CURE),
                    false => Ok(()),
                }
            }
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
                "partition {partition} of group `{group}` is not assigned to this instance, or has not recovered yet: \
                 query its owner, or read the whole table with a `View`"
            ),
            Error::VisitCancelled {
                group,
                partition,
                keys,
            } => write!(
                f,
                "the visit of group `{group}` was cancelled after {keys} keys: partition {partition} moved to another \
                 instance, or the outcome of its last transaction is unknown. Start the visit again for the remaining rows"
            ),
            Error::Expired { max_age } => write!(
                f,
                "the snapshot was held for longer than {max_age:?} while its table changed, and was released so that \
                 the local copy can reuse disk space. Drop a snapshot as soon as you have read it, or allow more time \
                 (`Config::snapshot_max`, GOKA_SNAPSHOT_MAX_MS)"
            ),
            Error::Closed(what) => write!(f, "{what} was closed"),
            Error::Bug(what) => write!(f, "{what}: this is a bug in goka, please report it"),
        }
    }
}

/// Converts nothing but [`Infallible`]: errors of other crates do not become errors of goka. A function that can fail
/// with errors of goka and with errors of other crates returns [`BoxError`].
impl<E: OfGoka> From<E> for Error {
    fn from(error: E) -> Self {
        error.into_error()
    }
}

/// An error type that `?` converts into [`Error`]. The only such type is [`Infallible`].
///
/// The trait exists for its compiler diagnostic: without the trait, rustc would only say that two types differ. For
/// `?`, rustc shows only the label of the diagnostic.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an error of goka",
    label = "this error is not a `goka::Error`: let the function return `Result<(), goka::BoxError>`, which any error converts into"
)]
pub trait OfGoka {
    /// Converts this error.
    fn into_error(self) -> Error;
}
#[diagnostic::do_not_recommend]
impl OfGoka for Infallible {
    fn into_error(self) -> Error {
        match self {}
    }
}

/// The text of a cause, without white space at its end: texts of librdkafka may end with a line break.
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

    /// An error with an optional cause. If the flag is set, the text of the error contains the cause; otherwise only
    /// `source` gives the cause.
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

    /// A report of the error and of its whole chain of sources.
    fn reported(error: &Error) -> String {
        let chain = std::iter::successors(Some(error as &dyn error::Error), |e| e.source());
        let texts: Vec<_> = chain.map(ToString::to_string).collect();
        texts.join(" < ")
    }

    #[test]
    fn an_error_that_main_returns_is_a_sentence() {
        let state = Error::state("state", "another process uses this state directory");
        assert_eq!(
            format!("{state:?}"),
            "local state in state: another process uses this state directory"
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
    fn a_record_that_does_not_decode_says_what_to_do() {
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
        let undecoded = record("decode the value").to_string();
        assert!(
            undecoded.contains("no number. No offset past this record was committed"),
            "{undecoded}"
        );
        assert!(undecoded.contains("`on_error`"), "{undecoded}");
        let failed = record("run").to_string();
        assert!(
            failed.starts_with("handler `count` of group `counters` failed: topic `clicks`"),
            "{failed}"
        );
        assert!(failed.ends_with("no number"), "{failed}");
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
