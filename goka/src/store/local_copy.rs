//! An open local copy of a table partition: opened, written to, read, closed. Must not know what a row means.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    batch::Batch,
    beside,
    environment::{self, Environment, Failure},
    expiry::Moments,
    identity::Identity,
    mark,
    open::{Open, Options},
    position::{Extent, Position},
    private, problem,
    registry::Claim,
    snapshot::{Snapshot, Snapshots},
};
use crate::base::error::Error;

/// An open local copy. If a store is dropped without [`close`](Store::close), the next open finds the local copy as
/// after a crash.
pub(crate) struct Store {
    pub(super) open: Arc<Open>,
    extent: Extent,
    /// Whether the mark is set. The mark says that the copy is being written to; see [`mark`].
    pub(super) marked: bool,
    /// The directory of the local copy that this copy is to replace; see `rebuild.rs`.
    pub(super) replaces: Option<PathBuf>,
    /// Whether readers already use this copy instead of the copy that it is to replace.
    pub(super) is_shown: bool,
}

impl Store {
    /// Opens the local copy in `path`, and creates it if it does not exist. A copy that cannot be trusted is discarded:
    /// the store is then empty, at position 0 with no inputs, and the reason is returned as well.
    ///
    /// Damage is detected only if the file is not an LMDB file or is too short; damage deeper inside the file is not
    /// detected. `path` must be in a locked [`StateDir`](super::StateDir), and not on a network file system.
    ///
    /// # Errors
    /// If the directory is not writable, if another part of this process has the directory open for longer than
    /// [`Options::wait`], or if the rows were written with another codec.
    pub(crate) fn open(
        path: &Path,
        identity: &Identity,
        options: &Options,
    ) -> Result<(Store, Option<String>), Error> {
        let problem = |error: io::Error| problem::state(path, "open the local copy", error);
        private::create_dir_all(path).map_err(problem)?;
        let path = path.canonicalize().map_err(problem)?;
        let claim = Claim::take(&path, options.wait)?;
        // The directory may be missing again: the previous holder of the claim may have deleted it.
        private::create_dir_all(&path).map_err(problem)?;
        beside::take_place(&path, options.wait)?;
        Self::open_claimed(path, claim, identity, options)
    }

    pub(super) fn open_claimed(
        path: PathBuf,
        claim: Claim,
        identity: &Identity,
        options: &Options,
    ) -> Result<(Store, Option<String>), Error> {
        let problem = |error: io::Error| problem::state(&path, "open the local copy", error);
        let mut discarded = mark::distrust(&path).map_err(problem)?;
        if discarded.is_some() {
            environment::delete(&path)?;
        }
        let (environment, extent) = loop {
            match Environment::open(&path, identity, options.map_size) {
                Ok(opened) => break opened,
                Err(Failure::Untrusted(reason)) if discarded.is_none() => {
                    environment::delete(&path)?;
                    discarded = Some(reason);
                }
                Err(Failure::Untrusted(problem)) => return Err(Error::state(path, problem)),
                Err(Failure::Refused(error)) => return Err(error),
            }
        };
        let open = Open {
            environment,
            path,
            moments: Moments::default(),
            snapshot_max: options.snapshot_max,
            part_pages: options.part_pages,
            closed: AtomicBool::new(false),
            _claim: claim,
        };
        let store = Store {
            open: Arc::new(open),
            extent,
            marked: false,
            replaces: None,
            is_shown: false,
        };
        Ok((store, discarded))
    }

    /// The position of the last commit.
    pub(crate) fn position(&self) -> &Position {
        &self.extent.position
    }

    /// The changelog offset below which all rows of the copy are. It is the position, unless the last batch was stored
    /// in parts and is incomplete.
    pub(crate) fn reaches(&self) -> i64 {
        let Extent { position, reaches } = &self.extent;
        position.changelog.max(reaches.unwrap_or(0))
    }

    /// Takes a snapshot. Drop it soon, because LMDB does not reuse pages that a snapshot can see.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::take(&self.open)
    }

    /// A handle with which other threads take snapshots. The handle does not keep the copy open.
    pub(crate) fn snapshots(&self) -> Snapshots {
        Snapshots(Arc::downgrade(&self.open))
    }

    /// Begins a write transaction. There is at most one write transaction at a time.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, Error> {
        if !self.marked {
            mark::set(&self.open.path)
                .map_err(|error| problem::state(&self.open.path, "begin to write", error))?;
            self.marked = true;
        }
        self.open.moments.expire(self.open.snapshot_max);
        Batch::begin(&self.open, &mut self.extent)
    }

    /// Whether the copy would be trusted after a crash of the process, if the machine keeps running.
    pub(crate) fn is_trusted_open(&self) -> bool {
        mark::knows_boot()
    }

    /// Ends all held snapshots. For when another copy takes the place of this copy.
    pub(crate) fn expire_moments(&self) {
        self.open.moments.expire(Duration::ZERO);
    }

    /// Syncs to disk, marks the copy as closed, and closes it: immediately, or, if there are snapshots, when the last
    /// of them is dropped. The next [`open`](Store::open) waits until the copy is closed.
    pub(crate) fn close(self) -> Result<(), Error> {
        let Open {
            environment, path, ..
        } = &*self.open;
        let synced = environment.env.force_sync();
        synced.map_err(|error| problem::state(path, "sync", error))?;
        mark::clear(path).map_err(|error| problem::state(path, "mark as closed", error))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.open.closed.store(true, Ordering::Relaxed);
    }
}
