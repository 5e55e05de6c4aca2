//! Names on the broker and a state directory that one test has to itself.

use std::path::PathBuf;

use goka::Config;
use goka_tests::{broker, unique};
use tempfile::TempDir;

/// A place for one test. Its state goes with it.
pub(crate) struct Place {
    prefix: String,
    state: TempDir,
}

impl Place {
    /// A new one, told apart by a prefix that begins with `name`.
    pub(crate) fn new(name: &str) -> Place {
        Place {
            prefix: unique(name) + "-",
            state: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Settings that use it, on the broker under test.
    pub(crate) fn config(&self) -> Config {
        Config::new()
            .brokers(broker().address())
            .prefix(&self.prefix)
            .state_dir(self.state_dir())
    }

    /// Where its state is kept.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// What a topic, or a group, is called on the broker.
    pub(crate) fn physical(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
