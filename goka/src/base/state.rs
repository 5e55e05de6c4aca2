//! What a partition is doing, as users see it. Plain data, written by the engine and shown by `app` and `view`.

/// What a partition of a group, or of a view, is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PartitionState {
    /// It reads its table's topic into the local copy.
    Recovering {
        /// Rows read so far.
        rows: u64,
        /// Bytes of keys and values read so far.
        bytes: u64,
        /// How much of the way is behind, from 0 to 1.
        progress: f64,
    },
    /// It is up to date.
    Running,
    /// Its local copy has to grow, and the disk is full: the log says which. It goes on by itself when
    /// there is room.
    NoRoom,
}
