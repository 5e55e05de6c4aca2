//! Opens the LMDB environment of a local copy, if the file can be trusted and belongs to the right table. Must not know
//! rows.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::Path,
};

use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions, WithoutTls, types::Bytes};

use super::{
    header::{self, Verdict},
    identity::Identity,
    mark,
    position::Extent,
    problem,
    rows::{Rows, Table},
};
use crate::base::error::Error;

/// Maximum number of snapshots of one copy at the same time.
pub(super) const SNAPSHOTS_MAX: u32 = 4096;

/// Name of LMDB's data file.
pub(super) const DATA: &str = "data.mdb";

/// The map size is rounded up to a multiple of this number of bytes. LMDB requires a multiple of the system's page
/// size, and this number is a multiple of every page size.
const MAP_SIZE_STEP: usize = 1 << 16;

/// An open environment.
pub(super) struct Environment {
    pub(super) env: Env<WithoutTls>,
    pub(super) rows: Rows,
    pub(super) meta: Table<'static>,
    data: File,
}

/// Why an environment was not opened.
pub(super) enum Failure {
    /// The file cannot be trusted, or belongs to another table: discard the file, and restore the local copy from the
    /// changelog.
    Untrusted(String),
    /// The environment cannot be opened, and discarding the file would not help.
    Refused(Error),
}

impl Environment {
    /// Opens the environment in `path`, or creates one. `path` must be claimed.
    pub(super) fn open(
        path: &Path,
        identity: &Identity,
        map_size: usize,
    ) -> Result<(Environment, Extent), Failure> {
        let failure = |error| failure(path, error);
        let env = map(path, map_size).map_err(failure)?;
        let data = env.try_clone_inner_file().map_err(failure)?;
        let length = data.metadata().map_err(|e| failure(e.into()))?.len();
        if length < length_needed(&env) {
            return Err(Failure::Untrusted(format!(
                "the file of the local copy is truncated: {length} bytes instead of {}",
                length_needed(&env)
            )));
        }
        let (rows, meta) = match tables(&env).map_err(failure)? {
            Some(tables) => tables,
            None => {
                mark::set(path).map_err(|e| failure(e.into()))?;
                create(&env, identity).map_err(failure)?
            }
        };
        let environment = Environment {
            env,
            rows: Rows(rows),
            meta,
            data,
        };
        let extent = environment.judged(path, identity)?;
        Ok((environment, extent))
    }

    fn judged(&self, path: &Path, identity: &Identity) -> Result<Extent, Failure> {
        let failure = |error| failure(path, error);
        let txn = self.env.read_txn().map_err(failure)?;
        let verdict = header::judge(&self.meta, &txn, identity).map_err(failure)?;
        drop(txn);
        match verdict {
            Verdict::Right {
                position,
                reaches,
                learn_id,
            } => {
                if learn_id {
                    mark::set(path).map_err(|e| failure(e.into()))?;
                    let mut txn = self.env.write_txn().map_err(failure)?;
                    header::put_identity(&self.meta, &mut txn, identity).map_err(failure)?;
                    txn.commit().map_err(failure)?;
                }
                Ok(Extent { position, reaches })
            }
            Verdict::Other(reason) => Err(Failure::Untrusted(reason)),
            Verdict::Codec { written } => Err(Failure::Refused(Error::state(
                path,
                format!(
                    "the rows were written with codec `{written}`, but the table has codec `{}` now, which would \
                     misread the rows. Go back to the old codec, or use another group for the changed table. If all \
                     records of topic `{}` are in the new codec already, delete this directory, and goka restores the \
                     local copy from the topic",
                    identity.codec, identity.topic
                ),
            ))),
        }
    }

    pub(super) fn file_bytes(&self) -> std::io::Result<u64> {
        self.data.metadata().map(|data| data.len())
    }

    /// Extends the file to the end of its last page. If a transaction adds a page and frees it again, LMDB does not
    /// write that page. After the commit of such a transaction, an undamaged file is shorter than expected and would
    /// look truncated.
    pub(super) fn reach_last_page(&self) -> std::io::Result<()> {
        let needed = length_needed(&self.env);
        if self.data.metadata()?.len() < needed {
            self.data.set_len(needed)?;
        }
        Ok(())
    }
}

/// Deletes the environment in `path`. `path` must be claimed.
pub(super) fn delete(path: &Path) -> Result<(), Error> {
    for name in [DATA, "lock.mdb"] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(problem::state(
                    path,
                    "delete a local copy that is no longer needed",
                    error,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn map(path: &Path, map_size: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(map_size.next_multiple_of(MAP_SIZE_STEP))
        .max_readers(SNAPSHOTS_MAX)
        .max_dbs(2);
    // SAFETY: unsynced commits can lose pages only when the machine crashes, and `mark` prevents such a file from being
    // opened. (Never combine this with WRITE_MAP: a stray write would damage the file, and a full disk would cause a
    // SIGBUS.)
    unsafe { options.flags(EnvFlags::NO_SYNC) };
    // SAFETY: nothing else changes the file while it is mapped. The claim prevents this process from opening the file
    // twice, the lock of the state directory keeps other processes away, and no page is read before the file is known
    // to contain the last page.
    unsafe { options.open(path) }
}

/// The minimum length of an undamaged file, in bytes. Reading the map beyond the end of the file causes a SIGBUS.
fn length_needed(env: &Env<WithoutTls>) -> u64 {
    let pages = env.info().last_page_number as u64 + 1;
    pages.saturating_mul(u64::from(env.unnamed_database_stat().page_size))
}

/// The LMDB tables `rows` and `meta`; `None` if the environment is empty. Other tables count as damage.
fn tables(env: &Env<WithoutTls>) -> heed::Result<Option<(Table<'static>, Table<'static>)>> {
    let txn = env.read_txn()?;
    let tables = env.open_databases_and_commit(txn, |opener, txn| {
        let rows = opener.open_database::<Bytes, Bytes>(txn, Some("rows"))?;
        let meta = opener.open_database::<Bytes, Bytes>(txn, Some("meta"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((rows, meta)))
    })?;
    match tables.commit() {
        Some((Some(rows), Some(meta))) => Ok(Some((rows, meta))),
        _ if env.unnamed_database_stat().entries == 0 => Ok(None),
        _ => Err(heed::Error::Mdb(heed::MdbError::Incompatible)),
    }
}

fn create(
    env: &Env<WithoutTls>,
    identity: &Identity,
) -> heed::Result<(Table<'static>, Table<'static>)> {
    let txn = env.write_txn()?;
    let tables = env.create_databases_and_commit(txn, |opener, txn| {
        let rows = opener.create_database::<Bytes, Bytes>(txn, Some("rows"))?;
        let meta = opener.create_database::<Bytes, Bytes>(txn, Some("meta"))?;
        header::create(&meta, txn, identity)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((rows, meta)))
    })?;
    Ok(tables.commit().expect("the closure above never aborts"))
}

fn failure(path: &Path, error: heed::Error) -> Failure {
    if problem::is_damage(&error) {
        Failure::Untrusted(format!(
            "the file of the local copy is damaged, or not from goka: {error}"
        ))
    } else {
        Failure::Refused(problem::state(path, "open the local copy", error))
    }
}
