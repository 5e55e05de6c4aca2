//! Starts the programs of an example application of several programs, each with topics and state directories of its
//! own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Broker, Program, example, unique};

/// Programs that share a prefix on a broker, and a directory for their states.
pub struct Application<'a> {
    broker: &'a Broker,
    prefix: String,
    states: TempDir,
    settings: Vec<(&'static str, &'static str)>,
}

impl<'a> Application<'a> {
    /// An application of which no program runs yet.
    pub fn on(broker: &'a Broker, name: &str) -> Application<'a> {
        Application {
            broker,
            prefix: unique(name) + "-",
            states: tempfile::tempdir().expect("a temporary directory"),
            settings: Vec::new(),
        }
    }

    /// Sets an environment variable for all programs that are started later.
    pub fn set(&mut self, variable: &'static str, value: &'static str) {
        self.settings.push((variable, value));
    }

    /// The address of the broker.
    pub fn address(&self) -> &str {
        self.broker.address()
    }

    /// The physical name of a topic.
    pub fn physical(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// The state directory of a program.
    pub fn state(&self, name: &str) -> PathBuf {
        self.states.path().join(name)
    }

    /// Starts an example, with a state directory of its own.
    pub fn start(&self, program: &str, arguments: &[&str], state: &str) -> Program {
        let mut command = Command::new(example(program));
        command
            .args(arguments)
            .args(["--brokers", self.address()])
            .arg("--state-dir")
            .arg::<&Path>(&self.state(state))
            .env("GOKA_PREFIX", &self.prefix)
            .envs(self.settings.iter().copied());
        Program::run(command)
    }

    /// Starts processors, and waits until they run.
    pub fn processor(&self, program: &str, role: &str) -> Program {
        let mut processor = self.start(program, &[role], role);
        processor.wait_for("partitions that run", |line| {
            line.contains("4 of 4 partitions run here").then_some(())
        });
        processor
    }

    /// Starts a service, and returns its address, `http://host:port`.
    pub fn service(&self, program: &str, arguments: &[&str], state: &str) -> (Program, String) {
        let mut service = self.start(program, arguments, state);
        let address = service.wait_for("address", |line| {
            line.starts_with("http://").then(|| line.to_owned())
        });
        (service, address)
    }
}
