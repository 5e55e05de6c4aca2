//! A copy that is not trusted is rebuilt beside itself, in `<partition>.new`, which then takes its place.
//!
//! So a rebuild begins with an empty file, and readers of the old copy are not disturbed before the new one
//! is whole. A rebuild that was cut off goes on: whatever opens the copy next finds it, puts it in its place,
//! and tops it up from where it stands. Must not know rows.

use std::{
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Identity, Options, Position, Store, environment, private, problem, registry::Claim};
use crate::Error;

/// Where the copy in `path` is rebuilt.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".new");
    path.with_file_name(name)
}

/// If the copy in `path`, which must be claimed, was being rebuilt, the new one takes its place.
pub(super) fn take_place(path: &Path, wait: Duration) -> Result<(), Error> {
    let new = beside(path);
    if !new.exists() {
        return Ok(());
    }
    let _claim = Claim::take(&new, wait)?;
    let problem = |error| problem::state(path, "replace a copy that was rebuilt", error);
    fs::remove_dir_all(path).map_err(problem)?;
    fs::rename(&new, path).map_err(problem)
}

/// Deletes what was rebuilt of the copy in `path`, which must be claimed.
pub(super) fn discard(path: &Path) -> Result<(), Error> {
    let new = beside(path);
    let _claim = Claim::take(&new, Duration::ZERO)?;
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(problem::state(&new, "delete a local copy", error))
        }
        _ => Ok(()),
    }
}

impl Store {
    /// An empty copy beside this one, to be filled anew; [`settle`](Store::settle) puts it in its place. One
    /// that is such a copy already is emptied.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(crate) fn rebuild(
        &mut self,
        identity: &Identity,
        options: &Options,
    ) -> Result<Option<Store>, Error> {
        if self.replaces.is_some() {
            let mut batch = self.batch()?;
            batch.clear()?;
            batch.commit(Position::default())?;
            return Ok(None);
        }
        let place = self.open.path.clone();
        let path = beside(&place);
        discard(&place)?;
        private::create_dir_all(&path)
            .map_err(|error| problem::state(&path, "rebuild a local copy", error))?;
        let claim = Claim::take(&path, options.wait)?;
        let mut store = Store::open_claimed(path, claim, identity, options)?.0;
        store.replaces = Some(place);
        Ok(Some(store))
    }

    /// Whether it is beside the copy that it is to replace.
    pub(crate) fn is_rebuilt(&self) -> bool {
        self.replaces.is_some()
    }

    /// Deletes the copy that this one is to replace, if nobody reads it. It takes its place when it is opened
    /// next.
    pub(crate) fn delete_replaced(&self) {
        if let Some(place) = &self.replaces
            && let Ok(_claim) = Claim::take(place, Duration::ZERO)
            && let Err(error) = environment::delete(place)
        {
            tracing::warn!(%error, "the copy that was replaced is still there");
        }
    }

    /// Puts a copy that was rebuilt in the place of the old one. While somebody still reads either, it stays
    /// where it is, and whoever opens it next does that.
    ///
    /// # Errors
    /// If it cannot be opened there.
    pub(crate) fn settle(self, identity: &Identity, options: &Options) -> Result<Store, Error> {
        let Some(place) = self.replaces.clone() else {
            return Ok(self);
        };
        let is_read = Arc::strong_count(&self.open) > 1;
        if is_read || Claim::take(&place, Duration::ZERO).is_err() {
            return Ok(self);
        }
        drop(self);
        Store::open(&place, identity, options).map(|(store, _)| store)
    }
}
