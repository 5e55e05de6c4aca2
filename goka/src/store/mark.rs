//! The mark of a copy that is being written to: a file beside LMDB's data file. The mark tells whether pages may be
//! lost.
//!
//! Commits are not synced. If the process is killed, nothing is lost, because the kernel has the pages that were
//! written. If the machine crashes, the disk may have newer pages and lack older ones. Therefore the mark, a file with
//! the id of the current boot, is created durably before the first write, and removed once everything is synced. If the
//! mark is from another boot, nothing in the data file can be trusted; this is why the mark is a separate file. Must
//! not know LMDB.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use super::private;

const NAME: &str = "not-closed";
const NEW: &str = "not-closed.new";

/// The reason why the copy in `directory` cannot be trusted, if there is one.
pub(super) fn distrust(directory: &Path) -> io::Result<Option<String>> {
    let noted = match fs::read(directory.join(NAME)) {
        Ok(noted) => noted,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let boot = boot();
    if boot.is_some_and(|boot| boot.as_bytes() == noted) {
        return Ok(None);
    }
    Ok(Some(
        "the machine crashed or restarted before the local copy was closed, so parts of its file may be lost"
            .to_owned(),
    ))
}

/// Sets the mark of the copy in `directory`, because the copy is about to be written to.
pub(super) fn set(directory: &Path) -> io::Result<()> {
    let (path, boot) = (directory.join(NAME), boot().unwrap_or_default());
    if !boot.is_empty() && fs::read(&path).is_ok_and(|noted| noted == boot.as_bytes()) {
        return Ok(());
    }
    // The file is renamed into place, so that a full disk or a kill does not leave an incomplete mark.
    let new = directory.join(NEW);
    let mut file = private::create(&new)?;
    file.write_all(boot.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync(directory)
}

/// Removes the mark. Everything that was written must have been synced.
pub(super) fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(NAME)) {
        Ok(()) => sync(directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether this system has boot ids, so that a mark of the current boot is recognized.
pub(super) fn knows_boot() -> bool {
    boot().is_some()
}

/// Makes changes of a directory's entries durable, where the system can.
fn sync(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// The id of the current boot. `None` outside Linux, where a copy that was not closed is never trusted.
fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned()).filter(|boot| !boot.is_empty())
}
