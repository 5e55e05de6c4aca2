//! What a partition that does not run yet is doing. Plain data.

use std::time::Duration;

use crate::engine::{port::Committed, table::replay::Replay};

/// A phase of recovery.
pub(super) enum Phase {
    /// Waits for the delivery reports of what was sent before.
    Draining,
    /// Asks the group for its offsets, at this time.
    FetchingOffsets { at: Duration },
    /// Reads the changelog into the local copy, or is about to.
    Restoring {
        committed: Vec<Option<Committed>>,
        replay: Replay,
        /// Whether the reader was told to begin.
        is_started: bool,
    },
    /// Tells the group that the partition is ours, at this time.
    Claiming {
        committed: Vec<Option<Committed>>,
        at: Duration,
        /// Its rows were deleted, as `start = reset` says.
        is_reset: bool,
    },
}
