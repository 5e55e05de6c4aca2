//! The phases of a partition that does not run yet. Plain data. Must not know how a partition moves from one phase to
//! the next.

use std::time::Duration;

use super::{
    tail::{Share, Tail},
    undo::Undo,
};
use crate::engine::{
    port::GroupOffsets,
    table::{overlay::Overlay, replay::Replay},
};

/// A phase of recovery.
pub(super) enum Phase {
    /// Waits for the delivery reports of records that the partition sent earlier.
    Draining,
    /// Fetches the committed offsets, as soon as the time `at` has come.
    FetchingOffsets { at: Duration },
    /// Reads the changelog: the rows before the group's cut into the local copy, and then the tail behind the cut.
    Restoring {
        offsets: GroupOffsets,
        replay: Replay,
        tail: Box<Tail>,
        /// Whether the reader was started for the partition.
        is_started: bool,
    },
    /// Undoes the tail, and then claims the partition by a commit of its positions, as soon as the time `at` has come.
    Claiming {
        offsets: GroupOffsets,
        at: Duration,
        /// Whether the rows of the partition were deleted (`start = reset`).
        is_reset: bool,
        /// The rows that undo the tail. `None`: they are written, or there are none.
        undo: Option<Undo>,
        /// Rows of the tail that belong to the table. They are stored after the claim.
        kept: Overlay,
        /// The share of the tail's keys that was compared.
        share: Share,
    },
}
