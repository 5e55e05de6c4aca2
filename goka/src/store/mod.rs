//! Local copies of table partitions, and the only folder that names heed.
//!
//! One LMDB environment per partition. Rows and the positions they stand for are committed in one
//! transaction, so that a copy is never ahead of what it says. Knows keys and values as bytes.

mod batch;
mod bucket;
mod environment;
mod header;
mod key;
mod mark;
mod moment;
mod private;
mod problem;
mod rebuild;
mod registry;
mod rows;
mod scan;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod unused;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub(crate) use self::{
    batch::{Batch, PART_PAGES},
    moment::Moment,
    scan::Span,
    snapshot::{Snapshot, Snapshots},
    state::StateDir,
    unused::Unused,
};
use self::{
    environment::{Environment, Failure},
    moment::Moments,
    registry::Claim,
};
use crate::base::error::Error;

/// What a copy is a copy of. A copy of something else is discarded, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    /// Physical name of the table's topic.
    pub(crate) topic: String,
    /// The broker's id of the topic, another one after a recreation; empty where it is not known.
    pub(crate) topic_id: String,
    pub(crate) partition: i32,
    pub(crate) partitions: i32,
    /// Names of the codecs of key and value.
    pub(crate) codec: String,
}

/// Where a copy stands. Offsets are the next ones to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// In the table's topic.
    pub(crate) table: i64,
    /// In the inputs, by logical name of the topic and its id, if that is known. Empty for a view.
    pub(crate) inputs: Vec<(String, i64)>,
    /// Wall clock of the commit, milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// Where a copy stands, and up to which offset of the table's topic rows of it may be: behind its position if a batch
/// was stored in parts, and the last one never came.
#[derive(Clone, Debug, Default)]
struct Stands {
    position: Position,
    reaches: Option<i64>,
}

/// Sizes and durability of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Address space, bytes: how large the copy may become.
    pub(crate) map_size: usize,
    /// How long to wait for another holder in this process to close the same environment.
    pub(crate) wait: Duration,
    /// For how long a [`Moment`] may be held once the copy is written to.
    pub(crate) snapshot_max: Duration,
    /// How many pages a batch may change before it is to be stored in parts.
    pub(crate) part_pages: usize,
}

/// An open copy. Dropped without [`close`](Store::close): a crash, as far as the copy is concerned.
pub(crate) struct Store {
    open: Arc<Open>,
    stands: Stands,
    /// Whether it was noted that the copy is written to; see [`mark`].
    marked: bool,
    /// The directory of the copy that this one is to replace; see [`rebuild`].
    replaces: Option<PathBuf>,
    /// It is read instead of that.
    is_shown: bool,
}

/// What a store and its snapshots share. The environment is closed when the last of them is gone,
/// and only then the directory given up: the order of the fields is the order of their drop.
struct Open {
    environment: Environment,
    path: PathBuf,
    moments: Moments,
    snapshot_max: Duration,
    part_pages: usize,
    /// The store is gone: no more snapshots, so that the last one comes.
    closed: AtomicBool,
    _claim: Claim,
}

impl Store {
    /// Opens the copy in `path`, which is created. Gives the reason if what was there could not be
    /// trusted and was discarded: the copy is then empty, at position 0 with no inputs.
    ///
    /// Damage is noticed if the file is not one of LMDB or too short, not deeper inside. `path` is to
    /// be in a locked [`StateDir`], and not on a network file system.
    ///
    /// # Errors
    /// If the directory cannot be written to, if another part of this process has it open for longer
    /// than [`Options::wait`], and if the rows were written with another codec.
    pub(crate) fn open(
        path: &Path,
        identity: &Identity,
        options: &Options,
    ) -> Result<(Store, Option<String>), Error> {
        let problem = |error: io::Error| problem::state(path, "open the local copy", error);
        private::create_dir_all(path).map_err(problem)?;
        let path = path.canonicalize().map_err(problem)?;
        let claim = Claim::take(&path, options.wait)?;
        // Whoever had the claim before may have deleted it.
        private::create_dir_all(&path).map_err(problem)?;
        rebuild::take_place(&path, options.wait)?;
        Self::open_claimed(path, claim, identity, options)
    }

    fn open_claimed(
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
        let (environment, stands) = loop {
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
            stands,
            marked: false,
            replaces: None,
            is_shown: false,
        };
        Ok((store, discarded))
    }

    /// As of the last commit.
    pub(crate) fn position(&self) -> &Position {
        &self.stands.position
    }

    /// What no row is behind, in the table's topic: mostly the position.
    pub(crate) fn reaches(&self) -> i64 {
        let Stands { position, reaches } = &self.stands;
        position.table.max(reaches.unwrap_or(0))
    }

    /// Must be dropped soon: pages that it can see are not reused.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::take(&self.open)
    }

    /// Takes snapshots from other threads, and does not keep the copy open.
    pub(crate) fn snapshots(&self) -> Snapshots {
        Snapshots(Arc::downgrade(&self.open))
    }

    /// The one write transaction.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, Error> {
        if !self.marked {
            mark::set(&self.open.path)
                .map_err(|error| problem::state(&self.open.path, "begin to write", error))?;
            self.marked = true;
        }
        self.open.moments.expire(self.open.snapshot_max);
        Batch::begin(&self.open, &mut self.stands)
    }

    /// Whether the next one to open it trusts it if it was not closed, as long as the machine runs.
    pub(crate) fn is_trusted_open(&self) -> bool {
        mark::knows_boot()
    }

    /// Lets go of all moments of it that are held: another copy takes its place.
    pub(crate) fn expire_moments(&self) {
        self.open.moments.expire(Duration::ZERO);
    }

    /// Syncs to disk, marks the copy as cleanly closed, and closes it: at once, or when the last of
    /// its snapshots is dropped, for which the next [`open`](Store::open) waits.
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
