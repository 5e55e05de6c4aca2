//! The state directory of a process: its lock, the instance id, and the paths of local copies. Must not know what is in
//! a copy.
//!
//! ```text
//! <state>/lock                                           locked while in use; contains the pid of the holder
//! <state>/instance                                       the instance id
//! <state>/<cluster id>/groups/<group>/<partition>/       local copies of a processor's own table
//! <state>/<cluster id>/replicas/<topic>/<partition>/     local copies for views, joins and lookups
//! ```

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use siphasher::sip128::SipHasher24;

use super::{beside, private, problem, registry::Claim};
use crate::base::error::Error;

/// Maximum length of a name in bytes. A longer name is cut to this length, and a hash is appended; file systems allow
/// names of 255 bytes.
const NAME_MAX: usize = 200;

/// A locked state directory. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct StateDir {
    root: PathBuf,
    instance_id: String,
    temporary: bool,
    /// The lock file. The kernel releases the lock when the process ends, however the process ends.
    _lock: File,
}

impl StateDir {
    /// Locks the directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// If the directory is not writable or is locked already, or if it is in the system's temporary directory and
    /// `allow_temp` is false.
    pub(crate) fn open(root: &Path, allow_temp: bool) -> Result<StateDir, Error> {
        if !allow_temp && is_temp(root) {
            let problem = "operating systems delete files in their temporary directory, and goka would then have to \
                           restore local copies from Kafka: choose another state directory";
            return Err(Error::state(root, problem));
        }
        Self::locked(root, false)
    }

    /// Creates a state directory in the system's temporary directory, and deletes it on drop. For the embedded broker,
    /// whose topics do not outlive the process either.
    pub(crate) fn temporary() -> Result<StateDir, Error> {
        let id = random_id().map_err(|error| problem::state(&env::temp_dir(), DOING, error))?;
        Self::locked(&env::temp_dir().join(format!("goka-{id}")), true)
    }

    /// Creates a state directory for tests, which need no durability, and deletes it on drop. The directory is in
    /// memory if the system has a file system in memory.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn in_memory() -> Result<StateDir, Error> {
        let memory = Path::new("/dev/shm");
        let parent = match memory.is_dir() {
            true => memory.to_owned(),
            false => env::temp_dir(),
        };
        let id = random_id().map_err(|error| problem::state(&parent, DOING, error))?;
        Self::locked(&parent.join(format!("goka-{id}")), true)
    }

    fn locked(root: &Path, temporary: bool) -> Result<StateDir, Error> {
        let problem = |error| problem::state(root, DOING, error);
        private::create_dir_all(root)
            .map_err(|error| problem::state_or(root, DOING, error, ELSEWHERE))?;
        let root = root.canonicalize().map_err(problem)?;
        let lock = lock(&root)?;
        let instance_id = instance_id(&root).map_err(problem)?;
        Ok(StateDir {
            root,
            instance_id,
            temporary,
            _lock: lock,
        })
    }

    /// The path, without symbolic links.
    #[cfg(test)]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the directory is deleted on drop.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// The instance id: a UUID that is created with the directory. The id survives restarts, and each state directory
    /// has a different id.
    pub(crate) fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// The path of a processor's local copy of a partition of its own table. Does not create the directory.
    pub(crate) fn group(&self, cluster: &str, group: &str, partition: i32) -> PathBuf {
        self.copy(cluster, "groups", group, partition)
    }

    /// The path of a local copy for views, joins and lookups. Does not create the directory.
    pub(crate) fn replica(&self, cluster: &str, topic: &str, partition: i32) -> PathBuf {
        self.copy(cluster, "replicas", topic, partition)
    }

    fn copy(&self, cluster: &str, kind: &str, name: &str, partition: i32) -> PathBuf {
        let mut path = self.root.join(file_name(cluster));
        path.push(kind);
        path.push(file_name(name));
        path.push(partition.to_string());
        path
    }

    /// Deletes the directory of a local copy. Does nothing if there is no such directory.
    ///
    /// # Errors
    /// If this process has the copy open, or `path` is not in the state directory.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), Error> {
        const DOING: &str = "delete a local copy";
        let path = match path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(problem::state(path, DOING, error)),
        };
        if path == self.root || !path.starts_with(&self.root) {
            let problem = format!(
                "the path is not that of a local copy in the state directory {}, so goka did not delete it: check the path",
                self.root.display()
            );
            return Err(Error::state(path, problem));
        }
        let _claim = Claim::take(&path, Duration::ZERO)?;
        beside::discard(&path)?;
        fs::remove_dir_all(&path).map_err(|error| problem::state(&path, DOING, error))
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.root)
        {
            tracing::warn!(path = %self.root.display(), %error, "cannot delete a temporary state directory");
        }
    }
}

const DOING: &str = "use the state directory";

/// The fix that is suggested for errors without a specific fix.
const ELSEWHERE: &str =
    "choose a place where a directory can be created (`Config::state_dir`, GOKA_STATE_DIR)";

/// Whether `path`, which need not exist, is in a directory that the system clears.
fn is_temp(path: &Path) -> bool {
    let Ok(path) = std::path::absolute(path) else {
        return false;
    };
    // Directories that do not exist will be created in the nearest ancestor that exists.
    let real = path.ancestors().find_map(|path| path.canonicalize().ok());
    let temp = [env::temp_dir(), PathBuf::from("/tmp")];
    let mut temp = temp.iter().filter_map(|temp| temp.canonicalize().ok());
    real.is_some_and(|real| temp.any(|temp| real.starts_with(temp)))
}

fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let problem = |error| problem::state(root, DOING, error);
    let mut file = private::open(&path).map_err(problem)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            let holder = match pid.trim() {
                "" => "another process uses this state directory".to_owned(),
                pid if pid == process::id().to_string() => {
                    return Err(Error::state(
                        root,
                        "this process already uses this state directory: run all parts in one app, or give each app \
                         its own state directory",
                    ));
                }
                pid => format!("another process (pid {pid}) uses this state directory"),
            };
            let cure = "give each process its own state directory, or stop the other process";
            return Err(Error::state(root, format!("{holder}: {cure}")));
        }
        Err(TryLockError::Error(error)) => return Err(problem(error)),
    }
    // The pid is only for the error above. The lock itself keeps other processes away.
    let noted = file
        .set_len(0)
        .and_then(|()| write!(file, "{}", process::id()));
    noted.map_err(problem)?;
    Ok(file)
}

fn instance_id(root: &Path) -> io::Result<String> {
    let path = root.join("instance");
    // A file that is not UTF-8 contains no id.
    match fs::read(&path).map(|bytes| String::from_utf8(bytes).unwrap_or_default()) {
        Ok(id) if is_id(&id) => return Ok(id),
        Ok(_) => tracing::warn!(
            path = %path.display(),
            "the file contains no instance id; this instance gets a new id"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = random_id()?;
    // The file is renamed into place, so that it is either complete or absent.
    let new = root.join("instance.new");
    let mut file = private::create(&new)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// A UUID, version 4.
fn random_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let mut bits = u128::from_be_bytes(bytes);
    bits = bits & !(0xf << 76) | 0x4 << 76;
    bits = bits & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

/// The directory name for `name`. Different names give different directory names.
fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if index == 0 => safe.push_str("%2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                safe.push(char::from(byte));
            }
            byte => safe.push_str(&format!("%{byte:02x}")),
        }
    }
    if safe.is_empty() {
        safe.push('%');
    }
    if safe.len() > NAME_MAX {
        let hash = SipHasher24::new().hash(name.as_bytes()).as_bytes();
        safe.truncate(NAME_MAX);
        safe.push_str(&format!("~{:032x}", u128::from_be_bytes(hash)));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_names_of_directories() {
        assert_eq!(file_name("my-group_1.v2"), "my-group_1.v2");
        assert_eq!(file_name(""), "%");
        assert_eq!(file_name("."), "%2e");
        assert_eq!(file_name(".."), "%2e.");
        assert_eq!(file_name("a/b\\c %~é"), "a%2fb%5cc%20%25%7e%c3%a9");
        let long = "x".repeat(249);
        let name = file_name(&long);
        assert_eq!(name.len(), 233);
        assert_ne!(name, file_name(&"x".repeat(248)));
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let id = random_id().unwrap();
        assert!(is_id(&id), "{id}");
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, random_id().unwrap());
        assert!(!is_id(""));
    }

    #[test]
    fn temp_directories_are_known_before_they_exist() {
        assert!(is_temp(&env::temp_dir()));
        assert!(is_temp(&env::temp_dir().join("not/there/yet")));
        assert!(!is_temp(Path::new("/var/lib/not-there/yet")));
        assert!(!is_temp(Path::new("/tmpfs")));
    }
}
