//! Local copies as they lie on disk, opened by LMDB itself: what goka stored is judged, and timed, without goka.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use heed::{
    CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, Result, WithoutTls, types::Bytes,
};

/// Address space, as much as any copy of a test may take.
const MAP_BYTES: usize = 1 << 30;

/// The copy of a partition.
pub struct Stored {
    /// Keeps the file open.
    pub env: Env<WithoutTls>,
    /// Values by key, which a byte stands before: 0 where the key is stored as it is.
    pub rows: Database<'static, Bytes, Bytes>,
    /// Where the rows stand in the topics.
    pub meta: Database<'static, Bytes, Bytes>,
}

/// The directories of all copies below a state directory: `<state>/<cluster>/groups/<group>/<partition>`.
///
/// # Errors
/// A directory cannot be read.
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

/// Opens a copy that nobody has open. `None`: a process was killed between creating the file and writing to it.
///
/// # Errors
/// LMDB cannot open it.
pub fn open(path: &Path) -> Result<Option<Stored>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_BYTES).max_dbs(2);
    // SAFETY: a file that is only read needs no sync.
    unsafe { options.flags(EnvFlags::READ_ONLY) };
    // SAFETY: who wrote the file has closed it or ended, and this process opens it once.
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
