//! Whether a copy can have lost pages: a file beside it that exists while it is written to.
//!
//! Commits are not synced. A killed process loses nothing by that, the kernel has its pages; a
//! machine that stops may keep newer pages and lose older ones. So the boot in which a copy is
//! written to is noted before the first write, durably, and the note removed once all is synced. A
//! note of another boot means that nothing in the copy can be trusted, which is why it is not kept
//! in the copy itself.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use super::private;

const NAME: &str = "not-closed";
const NEW: &str = "not-closed.new";

/// Why the copy in `directory` is not to be read, if so.
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
        "the machine stopped or restarted before it was closed, so pages of it may be lost"
            .to_owned(),
    ))
}

/// Notes that the copy in `directory` is about to be written to.
pub(super) fn set(directory: &Path) -> io::Result<()> {
    let (path, boot) = (directory.join(NAME), boot().unwrap_or_default());
    if !boot.is_empty() && fs::read(&path).is_ok_and(|noted| noted == boot.as_bytes()) {
        return Ok(());
    }
    // Renamed into place, so that a full disk or a kill does not leave half a note, which nobody trusts.
    let new = directory.join(NEW);
    let mut file = private::create(&new)?;
    file.write_all(boot.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync(directory)
}

/// Takes the note back. What was written must have been synced.
pub(super) fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(NAME)) {
        Ok(()) => sync(directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a note says which boot it is of.
pub(super) fn knows_boot() -> bool {
    boot().is_some()
}

/// Makes creations and removals of files in a directory durable, where that is possible.
fn sync(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Another text after every start of the machine. Not known outside Linux: a copy that was not
/// closed is then never trusted.
fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned()).filter(|boot| !boot.is_empty())
}
