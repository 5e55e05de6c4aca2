//! The phases of a partition that does not run yet. Plain data. Must not know how a partition moves on.

use std::time::Duration;

use crate::engine::{port::Committed, table::replay::Replay};

/// A phase of recovery.
pub(super) enum Phase {
    /// Waits for the delivery reports of records that it sent earlier.
    Draining,
    /// Fetches the committed offsets, at the time `at`.
    FetchingOffsets { at: Duration },
    /// Reads the changelog into the local copy.
    Restoring {
        committed: Vec<Option<Committed>>,
        replay: Replay,
        /// Whether the reader was started for the partition.
        is_started: bool,
    },
    /// Claims the partition by a commit of its positions, at the time `at`.
    Claiming {
        committed: Vec<Option<Committed>>,
        at: Duration,
        /// Its rows were deleted (`start = reset`).
        is_reset: bool,
    },
}
