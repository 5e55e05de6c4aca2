//! Reading one topic outside any group. Must not know what the topic is for.

use std::time::Duration;

use crate::base::{error::Error, record::Record};

/// A reader of one topic, which joins no group. The engine uses a reader to restore local copies from a changelog, and
/// to follow the tables of other groups.
pub(crate) trait Reader {
    /// Starts to read a partition at offset `from`. If the partition does not have that offset, for example because
    /// it is below the log start offset, [`Reader::poll`] returns [`TableEvent::OutOfRange`].
    fn start(&self, partition: i32, from: i64) -> Result<(), Error>;

    /// Stops reading a partition: no event of the partition comes after this call. Does nothing for a partition that
    /// was not started.
    fn stop(&self, partition: i32) -> Result<(), Error>;

    /// Waits up to `wait` for the next event and passes it to `on`: at most one event per call. Returns `false` if no
    /// event came.
    fn poll(&self, wait: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool;

    /// Log start offset and end offset of a partition. Records of undecided transactions are beyond the end.
    fn bounds(&self, partition: i32) -> Result<(i64, i64), Error>;

    /// For a partition that is being read: the next offset to read (transaction markers are skipped), and the end
    /// offset as of the broker's last response. Sends no request to a broker. `None` (the default): not known.
    fn progress(&self, _partition: i32) -> Option<(i64, i64)> {
        None
    }

    /// The topic id that the broker gave this topic. A topic that is deleted and created again gets another id. `None`
    /// (the default): not known.
    fn topic_id(&self) -> Option<String> {
        None
    }
}

/// What [`Reader::poll`] returns.
pub(crate) enum TableEvent<'a> {
    /// A record.
    Record(Record<'a>),
    /// The reader has reached the end of the partition.
    End { partition: i32 },
    /// The broker does not have the offset to fetch. The partition is not read any more.
    OutOfRange { partition: i32 },
    /// The topic cannot be read any more: not authorized, or a fatal error.
    Failed(Error),
}
