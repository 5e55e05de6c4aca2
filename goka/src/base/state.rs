//! State of a partition, as users see it. Plain data, written by the engine and shown by `app` and `view`. Must not
//! know any of these three.

/// State of a partition of a group or of a view.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PartitionState {
    /// The local copy is being restored from the changelog.
    Recovering {
        /// Number of rows read so far.
        rows: u64,
        /// Number of bytes of keys and values read so far.
        bytes: u64,
        /// Share of the changelog that has been read, from 0 to 1.
        progress: f64,
    },
    /// The local copy is up to date. If the partition belongs to a group, the group processes its records.
    Running,
    /// The local copy has to grow, but the disk is full; the log names the directory. The partition continues by itself
    /// when there is space.
    NoRoom,
}
