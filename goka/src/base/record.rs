//! Records as bytes, with their headers and metadata. Must not know types of keys and values.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Owned headers: names and values. Kafka allows null values, which are `None` here.
pub(crate) type OwnedHeaders = Vec<(String, Option<Vec<u8>>)>;

/// The headers of a row, which has none.
pub(crate) static NO_HEADERS: OwnedHeaders = Vec::new();

/// A record between broker and handler: borrowed bytes and metadata.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970; -1 if the record has none.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

/// Maximum size of a record on the wire, in bytes, to compare with `message.max.bytes`.
pub(crate) fn wire_size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &OwnedHeaders) -> usize {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    len(key) + len(value) + RECORD_OVERHEAD + headers_size(headers)
}

/// Maximum size of headers on the wire, in bytes. This is also roughly their size in memory.
pub(crate) fn headers_size(headers: &OwnedHeaders) -> usize {
    let len = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
    let sizes = headers
        .iter()
        .map(|(name, value)| name.len() + len(value) + 2 * INTEGER_BYTES);
    sizes.sum()
}

/// Size of the lengths, the offset and the timestamp of a record, in bytes, as librdkafka counts them.
pub(crate) const RECORD_OVERHEAD: usize = 36;
/// Maximum size of the length that precedes a header's name or value, in bytes.
const INTEGER_BYTES: usize = 5;

/// A source of headers: a message from the broker, or a list of headers.
pub(crate) trait HeaderSource {
    fn len(&self) -> usize;
    /// The name and the value of the header at `index`, which is below `len`.
    fn get(&self, index: usize) -> (&str, Option<&[u8]>);
}

impl HeaderSource for OwnedHeaders {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn get(&self, index: usize) -> (&str, Option<&[u8]>) {
        let (name, value) = &self[index];
        (name, value.as_deref())
    }
}

/// Headers of a record, in order. A name may occur more than once.
///
/// Headers are read from the message only when a method asks for them, and cost nothing otherwise.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a>(pub(crate) Option<&'a dyn HeaderSource>);

impl<'a> Headers<'a> {
    /// The value of the last header with this name; `None` if there is no such header, or if its value is null.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = None;
        for (n, value) in self.iter() {
            if n == name {
                found = value;
            }
        }
        found
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let source = self.0;
        (0..self.len()).filter_map(move |index| source.map(|source| source.get(index)))
    }

    /// The number of headers.
    pub fn len(&self) -> usize {
        self.0.map_or(0, HeaderSource::len)
    }

    /// Whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Metadata of a record to write: headers, timestamp and partition.
///
/// By default a record has no headers, the timestamp of the record that is being processed (for an
/// [`Emitter`](crate::Emitter): the current time), and the partition of its key.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    pub(crate) headers: OwnedHeaders,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
}

impl Meta {
    /// The default metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.into(), Some(value.as_ref().to_vec())));
        self
    }

    /// Adds these headers, for example the headers of the record that is being processed.
    #[must_use]
    pub fn headers(mut self, headers: Headers<'_>) -> Self {
        let copied = headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
        self.headers.extend(copied);
        self
    }

    /// Sets the partition that the record is written to, instead of the partition of its key.
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp of the record to write, instead of that of the record that is being processed.
    #[must_use]
    pub fn at(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Some(to_ms(timestamp));
        self
    }
}

/// A time as a Kafka timestamp: milliseconds since 1970, and 0 for times before 1970.
pub(crate) fn to_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time that a Kafka timestamp stands for; the start of 1970 for a record without a timestamp (-1).
pub(crate) fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A copy of a record that outlives the poll that returned the record.
pub(crate) struct OwnedRecord {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: OwnedHeaders,
}

impl OwnedRecord {
    pub(crate) fn of(record: &Record<'_>) -> Self {
        let headers = record.headers.iter();
        OwnedRecord {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }

    /// The memory that the record takes, bytes.
    pub(crate) fn size(&self) -> usize {
        let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + part(&self.key) + part(&self.value) + headers_size(&self.headers)
    }

    pub(crate) fn as_record(&self) -> Record<'_> {
        Record {
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: Headers(Some(&self.headers)),
        }
    }
}
