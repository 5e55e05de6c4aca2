//! Records to produce, and their delivery reports. Must not know why a record is sent.

use std::time::Duration;

use crate::base::{error::Error, index::EdgeIx, record::OwnedHeaders};

/// The idempotent producer of a worker.
///
/// [`Producer::send`] only queues a record. For each record that was taken, [`Producer::serve`] passes on exactly one
/// report: delivered or failed. Until then, the record is in flight.
pub(crate) trait Producer {
    /// Number of partitions of a target.
    fn partitions(&self, target: EdgeIx) -> i32;

    /// Size of the largest record that `send` takes, in bytes, as
    /// [`wire_size`](crate::base::record::wire_size) counts them.
    fn record_max(&self) -> usize;

    /// Queues a record. Records of one target and partition are written in the order in which they were sent.
    /// [`SendError::Full`] is back-pressure: the record was not taken; call `serve` and send it again.
    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError>;

    /// Waits up to `wait` for delivery reports, and passes all that have come to `on`.
    fn serve(&self, wait: Duration, on: &mut dyn FnMut(Report));

    /// Number of records that were sent and are not reported yet.
    fn in_flight(&self) -> usize;

    /// Gives up every record that is in flight; `serve` reports them as failed. A record that the network has already
    /// taken may be written all the same. Default: does nothing, for a producer that delivers immediately.
    fn purge(&self) {}
}

/// A record to produce.
pub(crate) struct Outgoing<'a> {
    pub(crate) target: EdgeIx,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
    /// A number that the sender chooses and that the record's [`Report`] repeats.
    pub(crate) tag: u32,
}

/// The delivery report of a record: its offset, or why it was not delivered.
pub(crate) struct Report {
    pub(crate) tag: u32,
    pub(crate) result: Result<i64, Undelivered>,
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undelivered {
    pub(crate) reason: Box<str>,
    /// Whether the same record may be delivered if it is sent again later: the brokers were away, or the record was
    /// given up only because of others.
    pub(crate) may_pass: bool,
}

/// Why [`Producer::send`] did not take a record.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The queue is full: back-pressure.
    Full,
    /// The producer will never take this record, for example because it exceeds `message.max.bytes`.
    Refused(Error),
}
