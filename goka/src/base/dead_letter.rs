//! A record that was set aside, as it stands in a dead-letter topic: what its headers say. Must not
//! know when one is written.

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

/// So much of an error is written, bytes.
const ERROR_MAX: usize = 4096;

/// Where a dead letter is from, and why it is one: what the headers of a record say that
/// [`Policy::DEAD_LETTER`](crate::Policy::DEAD_LETTER) has set aside. Key, value and its other
/// headers are as they came.
///
/// | header | |
/// |---|---|
/// | `goka-topic`, `goka-partition`, `goka-offset` | where the record stands; the topic by its name on the broker |
/// | `goka-timestamp` | its timestamp, milliseconds since 1970 |
/// | `goka-group`, `goka-handler` | who could not handle it |
/// | `goka-stage` | `decode`, `handler` or `panic` |
/// | `goka-error` | what went wrong |
///
/// This reads them back, for example to write what can be mended to where it came from:
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
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970; -1 if it had none.
    pub timestamp: i64,
    /// The group that could not handle it.
    pub group: &'a str,
    /// The name of the handler.
    pub handler: &'a str,
    /// `decode`, `handler` or `panic`.
    pub stage: &'a str,
    /// What went wrong.
    pub error: &'a str,
    headers: Headers<'a>,
}

impl<'a> DeadLetter<'a> {
    /// What the headers say; `None` if they are not those of a dead letter.
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

    /// To write the record to where it came from: with its own headers and timestamp, to its own
    /// partition.
    pub fn meta(&self) -> Meta {
        let mut meta = Meta::new().to_partition(self.partition);
        meta.headers = foreign(self.headers);
        match self.timestamp {
            ..0 => meta,
            ms => meta.at(from_ms(ms)),
        }
    }
}

/// Without those of a dead letter.
fn foreign(headers: Headers<'_>) -> OwnedHeaders {
    let foreign = headers.iter().filter(|(name, _)| !NAMES.contains(name));
    foreign
        .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
        .collect()
}

/// What is said of a record that is set aside.
pub(crate) struct Reason<'a> {
    pub(crate) topic: &'a str,
    pub(crate) group: &'a str,
    pub(crate) handler: &'a str,
    pub(crate) stage: &'a str,
    pub(crate) error: String,
}

impl Reason<'_> {
    /// The headers of the dead letter: those of the record, and ours. Of a record that was one
    /// before, the newest are kept.
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
            edge: 0,
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
        let letter = DeadLetter::of(Headers(Some(&written))).expect("a dead letter");
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
        let letter = DeadLetter::of(Headers(Some(&after))).expect("a dead letter");
        assert_eq!(letter.error, "then");
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let headers = reason(&"ä".repeat(ERROR_MAX)).headers(&record(&Vec::new()));
        let letter = DeadLetter::of(Headers(Some(&headers))).expect("a dead letter");
        assert!(letter.error.starts_with(&"ä".repeat(2000)));
        assert!(letter.error.len() <= ERROR_MAX);
    }
}
