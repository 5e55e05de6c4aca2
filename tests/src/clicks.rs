//! The example `clicks`, role by role, on names of its own, and the judgement of what it counted.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Program, count_by_key, example, last_values, read_topic, unique};

/// Programs that belong together: one prefix on one broker, one directory for their states.
pub struct Clicks {
    address: String,
    prefix: String,
    states: TempDir,
}

impl Clicks {
    /// Nothing runs yet. `address` is the broker's.
    pub fn on(address: &str) -> Clicks {
        Clicks {
            address: address.to_owned(),
            prefix: unique("clicks") + "-",
            states: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// The same programs, which reach their broker at another address.
    #[must_use]
    pub fn through(mut self, address: &str) -> Clicks {
        address.clone_into(&mut self.address);
        self
    }

    /// Emits `clicks` clicks as fast as it goes, and waits until the broker has them.
    pub fn emit(&self, clicks: u64, users: u64) {
        let (clicks, users) = (clicks.to_string(), users.to_string());
        let mut emitter = self.start(
            "emitter",
            &["--rate", "0", "--users", &users, "--clicks", &clicks],
            None,
        );
        emitter.succeed();
    }

    /// Starts an emitter with more arguments.
    pub fn emitter(&self, arguments: &[&str]) -> Program {
        self.start("emitter", arguments, None)
    }

    /// Starts a processor, whose state is kept by this name.
    pub fn processor(&self, state: &str) -> Program {
        self.start("processor", &[], Some(&self.state(state)))
    }

    /// Waits until the table's sum is at least `clicks`, as a view of its own sees it.
    pub fn wait_until_counted(&self, clicks: u64) {
        let state = self.state(&unique("view"));
        self.start("view", &["--clicks", &clicks.to_string()], Some(&state))
            .succeed();
    }

    fn start(&self, role: &str, arguments: &[&str], state: Option<&Path>) -> Program {
        let mut command = Command::new(example("clicks"));
        command
            .arg(role)
            .args(["--brokers", &self.address])
            .args(arguments);
        if let Some(state) = state {
            command.arg("--state-dir").arg(state);
        }
        command.env("GOKA_PREFIX", &self.prefix);
        Program::run(command)
    }

    /// The directory of a state.
    pub fn state(&self, name: &str) -> PathBuf {
        self.states.path().join(name)
    }

    /// The input, as the broker calls it.
    pub fn input(&self) -> String {
        format!("{}user-clicks", self.prefix)
    }

    /// The table's topic, as the broker calls it.
    pub fn table(&self) -> String {
        format!("{}my-group-state", self.prefix)
    }

    /// What ought to be in the table, counted from the input by a plain client.
    pub fn expected(&self) -> BTreeMap<String, i64> {
        count_by_key(&read_topic(&self.address, &self.input()))
    }

    /// What is in the table, read from its topic by a plain client.
    pub fn counted(&self) -> BTreeMap<String, i64> {
        let rows = last_values(&read_topic(&self.address, &self.table()));
        let counts = rows.into_iter().map(|(user, clicks)| {
            let clicks = clicks
                .parse()
                .unwrap_or_else(|_| panic!("`{clicks}` is no count"));
            (user, clicks)
        });
        counts.collect()
    }
}
