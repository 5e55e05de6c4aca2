//! The phases of a partition that does not run yet. Plain data. Must not know how a partition moves from one phase to
//! the next.

use std::time::Duration;

use crate::engine::{port::GroupOffsets, table::replay::Replay};

/// A phase of recovery.
pub(super) enum Phase {
    /// Waits for the delivery reports of records that the partition sent earlier.
    Draining,
    /// Fetches the committed offsets, as soon as the time `at` has come.
    FetchingOffsets { at: Duration },
    /// Reads the changelog into the local copy.
    Restoring {
        committed: GroupOffsets,
        replay: Replay,
        /// Whether the reader was started for the partition.
        is_started: bool,
    },
    /// Claims the partition by a commit of its positions, as soon as the time `at` has come.
    Claiming {
        committed: GroupOffsets,
        at: Duration,
        /// Whether the rows of the partition were deleted (`start = reset`).
        is_reset: bool,
    },
}
