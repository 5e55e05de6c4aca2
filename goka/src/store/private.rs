//! Creates directories and files that only the user of this process can read, because rows are not for every user of
//! the machine. (heed creates LMDB's files with such modes, too.) The modes of existing files are left unchanged: an
//! operator may have chosen them. Must not know what is in a file.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::Path,
};

/// Like `fs::create_dir_all`, but only the user of this process can access the new directories.
pub(super) fn create_dir_all(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Opens a file for writing, and creates it if it does not exist. Only the user of this process can access a new file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.create(true).truncate(false).write(true).open(path)
}

/// Like `File::create`, but only the user of this process can access a new file.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    file.set_len(0)?;
    Ok(file)
}
