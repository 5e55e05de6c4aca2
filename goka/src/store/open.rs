//! What the users of one open environment share. Must not know how rows are read or written.

use std::{path::PathBuf, sync::atomic::AtomicBool, time::Duration};

use super::{environment::Environment, expiry::Moments, registry::Claim};

/// Sizes and durability of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Address space in bytes: how large the local copy may become.
    pub(crate) map_size: usize,
    /// How long to wait for another holder in this process to close the same environment.
    pub(crate) wait: Duration,
    /// How long a [`Moment`](super::Moment) may be held once the local copy is written to.
    pub(crate) snapshot_max: Duration,
    /// How many pages a batch may change before it should be stored in parts.
    pub(crate) part_pages: usize,
}

/// An open environment, shared by a store and its snapshots. The environment is closed when the last of them is
/// dropped, and the directory is given up after that: fields are dropped in this order.
pub(super) struct Open {
    pub(super) environment: Environment,
    pub(super) path: PathBuf,
    pub(super) moments: Moments,
    pub(super) snapshot_max: Duration,
    pub(super) part_pages: usize,
    /// The store was dropped: no more snapshots are taken, so that the environment is closed some time.
    pub(super) closed: AtomicBool,
    pub(super) _claim: Claim,
}
