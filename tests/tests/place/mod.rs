//! Gives each test its own topic names and its own state directory.

use std::path::PathBuf;

use goka::Config;
use goka_tests::{broker, unique};
use tempfile::TempDir;

/// A prefix of names, and a directory for states, that only one test uses. Dropping the place deletes the directory.
pub(crate) struct Place {
    prefix: String,
    state: TempDir,
}

impl Place {
    /// A new place, whose prefix is unique and begins with `name`.
    pub(crate) fn new(name: &str) -> Place {
        Place {
            prefix: unique(name) + "-",
            state: tempfile::tempdir().expect("the temporary directory can be created"),
        }
    }

    /// A configuration for the broker under test, with the prefix and the state directory of this place.
    pub(crate) fn config(&self) -> Config {
        Config::new()
            .brokers(broker().address())
            .prefix(&self.prefix)
            .state_dir(self.state_dir())
    }

    /// The state directory of this place.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// The physical name of a topic or a group.
    pub(crate) fn physical(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
