//! Where a local copy is rebuilt: in the directory `<partition>.new` beside the local copy. The rebuilt copy later
//! takes the place of the old copy. Must not know what is in a copy.

use std::{
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{environment, problem, registry::Claim};
use crate::base::error::Error;

/// The directory in which the copy in `path` is rebuilt.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".new");
    path.with_file_name(name)
}

/// If the copy in `path` was being rebuilt, moves the rebuilt copy to `path`. `path` must be claimed.
pub(super) fn take_place(path: &Path, wait: Duration) -> Result<(), Error> {
    let new = beside(path);
    if !new.exists() {
        return Ok(());
    }
    let _claim = Claim::take(&new, wait)?;
    if !new.join(environment::DATA).exists() {
        return fs::remove_dir_all(&new)
            .map_err(|error| problem::state(&new, "delete the rest of a rebuilt copy", error));
    }
    let problem = |error| problem::state(path, "replace a local copy with the rebuilt one", error);
    fs::remove_dir_all(path).map_err(problem)?;
    fs::rename(&new, path).map_err(problem)
}

/// Deletes the rebuilt copy beside `path`. `path` must be claimed.
pub(super) fn discard(path: &Path) -> Result<(), Error> {
    remove(&beside(path))
}

/// Deletes the directory of a copy. Returns an error if this process has the copy open.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let _claim = Claim::take(path, Duration::ZERO)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(problem::state(path, "delete a local copy", error))
        }
        _ => Ok(()),
    }
}
