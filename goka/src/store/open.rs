//! What the users of one open environment share. Must not know how rows are read or written.

use std::{path::PathBuf, sync::atomic::AtomicBool, time::Duration};

use super::{environment::Environment, expiry::Moments, registry::Claim};

/// Sizes and durability of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Maximum size of the local copy in bytes, for which address space is reserved.
    pub(crate) map_size: usize,
    /// How long to wait for another holder in this process to close the environment.
    pub(crate) wait: Duration,
    /// Age at which a held [`Moment`](super::Moment) is ended by the next write to the local copy.
    pub(crate) snapshot_max: Duration,
    /// Number of changed pages from which a batch should be stored in parts.
    pub(crate) part_pages: usize,
}

/// An open environment, shared by a store and its snapshots. The environment is closed when the last user is dropped,
/// and the claim on the directory is released after that: the fields are dropped in the order of their declaration.
pub(super) struct Open {
    pub(super) environment: Environment,
    pub(super) path: PathBuf,
    pub(super) moments: Moments,
    pub(super) snapshot_max: Duration,
    pub(super) part_pages: usize,
    /// Whether the store was dropped. If so, no more snapshots are taken, so that the environment is closed eventually.
    pub(super) closed: AtomicBool,
    pub(super) _claim: Claim,
}
