//! Errors of LMDB and of the file system, as sentences that say how to fix the problem. Must not know rows.

use std::{io, path::Path};

use heed::MdbError;

use crate::base::error::Error;

/// The error of an action on the copy in `path`. `doing` completes the words "cannot ...".
pub(super) fn state(path: &Path, doing: &str, error: impl Into<heed::Error>) -> Error {
    sentence(path, doing, error.into(), None)
}

/// The error of an action on `path`. `otherwise` is the fix for errors that have no specific fix.
pub(super) fn state_or(path: &Path, doing: &str, error: io::Error, otherwise: &str) -> Error {
    sentence(path, doing, error.into(), Some(otherwise))
}

fn sentence(path: &Path, doing: &str, error: heed::Error, otherwise: Option<&str>) -> Error {
    let problem = match cure(&error).or(otherwise) {
        Some(cure) => format!("cannot {doing}: {error}; {cure}"),
        None => format!("cannot {doing}: {error}"),
    };
    if is_full(&error) {
        let path = path.to_owned();
        return Error::NoRoom { path, problem };
    }
    Error::state(path, problem)
}

/// Whether the action may succeed once there is free space on the disk.
fn is_full(error: &heed::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let heed::Error::Io(error) = error else {
        return false;
    };
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
        || error.raw_os_error() == Some(libc::EIO)
}

/// Whether an error says that the file is damaged, rather than that the file cannot be read now.
pub(super) fn is_damage(error: &heed::Error) -> bool {
    use MdbError::{Corrupted, Incompatible, Invalid, PageNotFound, VersionMismatch};
    matches!(
        error,
        heed::Error::Mdb(Corrupted | Incompatible | Invalid | PageNotFound | VersionMismatch)
    )
}

fn cure(error: &heed::Error) -> Option<&'static str> {
    use io::ErrorKind::{
        AlreadyExists, FileTooLarge, NotADirectory, OutOfMemory, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    match error {
        heed::Error::Mdb(MdbError::MapFull) => Some(
            "the local copy has reached its map size, and nothing in this batch was stored: restart with a larger map \
             size (`Config::map_size`, GOKA_MAP_BYTES)",
        ),
        heed::Error::Mdb(MdbError::ReadersFull) => Some(
            "too many snapshots are held: drop snapshots, or use one snapshot for several reads",
        ),
        heed::Error::Mdb(MdbError::BadValSize) => {
            Some("LMDB allows only values below 4 GiB, and nothing in this batch was stored")
        }
        heed::Error::Mdb(MdbError::Panic) => Some(
            "an earlier write has failed, and the local copy is unusable until it is opened again: restart",
        ),
        error if is_damage(error) => Some(
            "the file is damaged: stop the process and delete this directory; goka then restores the local copy from Kafka",
        ),
        heed::Error::Io(error) => match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Some(
                "the disk is full, or a disk quota or file-size limit is reached, and nothing in this batch was \
                 stored: free some space, or choose another state directory",
            ),
            PermissionDenied | ReadOnlyFilesystem => Some(
                "make the directory writable by the user that runs this process, or use another state directory",
            ),
            NotADirectory | AlreadyExists => {
                Some("a file is in the way: remove it, or use another state directory")
            }
            OutOfMemory => Some(
                "the process cannot reserve that much address space: lower the map size (`Config::map_size`, \
                 GOKA_MAP_BYTES), or raise the virtual memory limit (`ulimit -v`)",
            ),
            // LMDB returns this error if the system wrote only a part of the data.
            _ if error.raw_os_error() == Some(libc::EIO) => Some(
                "the disk is full or failing, and nothing in this batch was stored: free some space, or \
                 choose another state directory",
            ),
            _ => None,
        },
        _ => None,
    }
}
