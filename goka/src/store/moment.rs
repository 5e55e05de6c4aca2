//! A snapshot that a reader may hold for long, until the writer ends it. Must not know what is read.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    expiry::{Held, lock},
    snapshot::Snapshot,
};
use crate::base::error::Error;

/// A snapshot that is held until it expires.
pub(crate) struct Moment {
    snapshot: Arc<Held<Snapshot>>,
    max_age: Duration,
}

impl Moment {
    /// Reads the snapshot.
    ///
    /// # Errors
    /// [`Error::Expired`] if the snapshot was held for too long.
    pub(crate) fn read<R>(
        &self,
        with: impl FnOnce(&Snapshot) -> Result<R, Error>,
    ) -> Result<R, Error> {
        match &*lock(&self.snapshot) {
            Some(snapshot) => with(snapshot),
            None => Err(Error::Expired {
                max_age: self.max_age,
            }),
        }
    }
}

impl Snapshot {
    /// Converts the snapshot into one that can be held for as long as
    /// [`Options::snapshot_max`](super::Options::snapshot_max) allows.
    pub(crate) fn held(self) -> Moment {
        let open = Arc::clone(&self.open);
        Moment {
            snapshot: open.moments.hold(self),
            max_age: open.snapshot_max,
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").finish_non_exhaustive()
    }
}
