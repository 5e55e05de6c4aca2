//! Headers of a dead letter: where the record came from, and why it failed. Must not know when a dead letter is
//! written.

use std::str;

use crate::base::{
    excerpt,
    record::{Headers, Meta, OwnedHeaders, Record, from_ms},
};

const TOPIC: &str = "goka-topic";
const PARTITION: &str = "goka-partition";
const OFFSET: &str = "goka-offset";
const TIMESTAMP: &str = "goka-timestamp";
const GROUP: &str = "goka-group";
const HANDLER: &str = "goka-handler";
const STAGE: &str = "goka-stage";
const ERROR: &str = "goka-error";
const NAMES: [&str; 8] = [
    TOPIC, PARTITION, OFFSET, TIMESTAMP, GROUP, HANDLER, STAGE, ERROR,
];

/// Maximum length of the text of an error in the headers, in bytes.
const ERROR_MAX: usize = 4096;

/// A dead letter, read from its headers: where the record came from, and why it failed.
///
/// [`Policy::DEAD_LETTER`](crate::Policy::DEAD_LETTER) writes a record that failed to a dead-letter topic. The key, the
/// value and the headers of the record are unchanged; goka adds these headers:
///
/// | header | content |
/// |---|---|
/// | `goka-topic`, `goka-partition`, `goka-offset` | where the record is; the topic by its name on the broker |
/// | `goka-timestamp` | timestamp of the record, milliseconds since 1970 |
/// | `goka-group`, `goka-handler` | the group and the handler that failed |
/// | `goka-stage` | `decode`, `handler` or `panic` |
/// | `goka-error` | the error, at most 4096 bytes |
///
/// A processor of your own can correct dead letters and write them back to the topic that they came from:
///
/// ```
/// /// Clicks that could not be handled.
/// #[goka::stream("clicks-dead-letter", value = String)]
/// struct DeadClicks;
/// #[goka::stream("user-clicks", value = String)]
/// struct Clicks;
///
/// #[goka::processor(group = "mend-clicks", input = DeadClicks, output(Clicks))]
/// fn mend(ctx: &mut mend::Context, click: String) -> goka::Result {
///     match goka::DeadLetter::of(ctx.headers()) {
///         Some(letter) => ctx.emit_with::<Clicks>(ctx.key(), &click.replace(',', "."), letter.meta()),
///         None => Ok(()),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DeadLetter<'a> {
    /// The topic of the record, by its name on the broker.
    pub topic: &'a str,
    /// The partition of the record.
    pub partition: i32,
    /// The offset of the record in the partition.
    pub offset: i64,
    /// The timestamp of the record, in milliseconds since 1970; -1 if the record had none.
    pub timestamp: i64,
    /// The group that could not process the record.
    pub group: &'a str,
    /// The name of the handler for the record.
    pub handler: &'a str,
    /// The stage that failed: `decode`, `handler` or `panic`.
    pub stage: &'a str,
    /// The text of the error, cut to at most 4096 bytes.
    pub error: &'a str,
    headers: Headers<'a>,
}

impl<'a> DeadLetter<'a> {
    /// Reads a dead letter from the headers of a record; `None` if the record is not a dead letter.
    pub fn of(headers: Headers<'a>) -> Option<Self> {
        let text = |name| str::from_utf8(headers.get(name)?).ok();
        Some(DeadLetter {
            topic: text(TOPIC)?,
            partition: text(PARTITION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
            timestamp: text(TIMESTAMP)?.parse().ok()?,
            group: text(GROUP)?,
            handler: text(HANDLER)?,
            stage: text(STAGE)?,
            error: text(ERROR)?,
            headers,
        })
    }

    /// Metadata for writing the record back to its topic: the original headers, timestamp and partition of the record,
    /// without the headers that goka added.
    pub fn meta(&self) -> Meta {
        let mut meta = Meta::new().to_partition(self.partition);
        meta.headers = foreign(self.headers);
        match self.timestamp {
            ..0 => meta,
            ms => meta.at(from_ms(ms)),
        }
    }
}

/// The headers without those that goka adds to a dead letter.
fn foreign(headers: Headers<'_>) -> OwnedHeaders {
    let foreign = headers.iter().filter(|(name, _)| !NAMES.contains(name));
    foreign
        .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
        .collect()
}

/// Why a record becomes a dead letter.
pub(crate) struct Reason<'a> {
    pub(crate) topic: &'a str,
    pub(crate) group: &'a str,
    pub(crate) handler: &'a str,
    pub(crate) stage: &'a str,
    pub(crate) error: String,
}

impl Reason<'_> {
    /// The headers of the dead letter: the headers of the record, and the headers that goka adds. If the record was
    /// already a dead letter, goka's new headers replace its old ones.
    pub(crate) fn headers(mut self, record: &Record<'_>) -> OwnedHeaders {
        self.error = excerpt::cut(self.error, ERROR_MAX);
        let mut headers = foreign(record.headers);
        let mut add = |name: &str, value: String| {
            headers.push((name.to_owned(), Some(value.into_bytes())));
        };
        add(TOPIC, self.topic.to_owned());
        add(PARTITION, record.partition.to_string());
        add(OFFSET, record.offset.to_string());
        add(TIMESTAMP, record.timestamp.to_string());
        add(GROUP, self.group.to_owned());
        add(HANDLER, self.handler.to_owned());
        add(STAGE, self.stage.to_owned());
        add(ERROR, self.error);
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: &OwnedHeaders) -> Record<'_> {
        Record {
            partition: 3,
            offset: 17,
            timestamp: 1_700_000_000_000,
            key: None,
            value: None,
            headers: Headers(Some(headers)),
        }
    }

    fn reason(error: &str) -> Reason<'_> {
        Reason {
            topic: "clicks",
            group: "count",
            handler: "count",
            stage: "handler",
            error: error.to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let own: OwnedHeaders = vec![
            ("trace".to_owned(), Some(b"7".to_vec())),
            ("null".to_owned(), None),
        ];
        let written = reason("no").headers(&record(&own));
        let letter = DeadLetter::of(Headers(Some(&written)))
            .expect("the headers are those of a dead letter");
        assert_eq!(
            (letter.topic, letter.partition, letter.offset),
            ("clicks", 3, 17)
        );
        assert_eq!(
            (letter.group, letter.stage, letter.error),
            ("count", "handler", "no")
        );
        let meta = letter.meta();
        assert_eq!(meta.headers, own);
        assert_eq!(meta.partition, Some(3));
        assert_eq!(meta.timestamp, Some(1_700_000_000_000));
        assert!(DeadLetter::of(Headers(Some(&own))).is_none());
    }

    #[test]
    fn one_that_dies_again_says_why_it_did_last() {
        let before = reason("first").headers(&record(&Vec::new()));
        let after = reason("then").headers(&record(&before));
        assert_eq!(after.len(), NAMES.len());
        let letter =
            DeadLetter::of(Headers(Some(&after))).expect("the headers are those of a dead letter");
        assert_eq!(letter.error, "then");
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let headers = reason(&"ä".repeat(ERROR_MAX)).headers(&record(&Vec::new()));
        let letter = DeadLetter::of(Headers(Some(&headers)))
            .expect("the headers are those of a dead letter");
        assert!(letter.error.starts_with(&"ä".repeat(2000)));
        assert!(letter.error.len() <= ERROR_MAX);
    }
}
