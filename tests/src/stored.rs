//! Opens local copies on disk with LMDB, without goka, so that tests and benchmarks can check and time what goka
//! stored.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use heed::{
    CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, Result, WithoutTls, types::Bytes,
};

/// The LMDB map size in bytes, larger than any copy in a test.
const MAP_BYTES: usize = 1 << 30;

/// The local copy of a partition, opened for reading.
pub struct Stored {
    /// The LMDB environment, which keeps the file open.
    pub env: Env<WithoutTls>,
    /// The values by key. A stored key begins with a tag byte; the tag 0 means that the rest of the stored key is the
    /// key itself.
    pub rows: Database<'static, Bytes, Bytes>,
    /// The positions in the topics that belong to these rows.
    pub meta: Database<'static, Bytes, Bytes>,
}

/// The directories of all copies below a state directory: `<state>/<cluster>/groups/<group>/<partition>`.
///
/// # Errors
/// Fails if a directory cannot be read.
pub fn find(state: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![state.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("data.mdb") => found.push(folder.clone()),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Opens a copy that no process has open. Returns `None` if the process that created the file was killed before it
/// wrote to the file.
///
/// # Errors
/// Fails if LMDB cannot open the copy.
pub fn open(path: &Path) -> Result<Option<Stored>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_BYTES).max_dbs(2);
    // SAFETY: the file is only read, so it needs no sync.
    unsafe { options.flags(EnvFlags::READ_ONLY) };
    // SAFETY: the process that wrote the file has closed the file or has ended, and this process opens the file only
    // once.
    let env = unsafe { options.open(path) }?;
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let rows = opener.open_database::<Bytes, Bytes>(txn, Some("rows"))?;
        let meta = opener.open_database::<Bytes, Bytes>(txn, Some("meta"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((rows, meta)))
    })?;
    let Some((Some(rows), Some(meta))) = opened.commit() else {
        return Ok(None);
    };
    Ok(Some(Stored { env, rows, meta }))
}
