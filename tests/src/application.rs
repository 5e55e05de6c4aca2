//! Starts the programs of an example application that consists of several programs. Each application has its own topics
//! and state directories.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Broker, Program, example, unique};

/// The programs of one application. Their topics share a prefix on a broker, and their states share a directory.
pub struct Application<'a> {
    broker: &'a Broker,
    prefix: String,
    states: TempDir,
    settings: Vec<(&'static str, &'static str)>,
}

impl<'a> Application<'a> {
    /// An application whose programs are not started yet.
    pub fn on(broker: &'a Broker, name: &str) -> Application<'a> {
        Application {
            broker,
            prefix: unique(name) + "-",
            states: tempfile::tempdir().expect("the temporary directory can be created"),
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

    /// The physical name of a topic: the prefix and `topic`.
    pub fn physical(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// The state directory `name` of this application.
    pub fn state(&self, name: &str) -> PathBuf {
        self.states.path().join(name)
    }

    /// Starts an example program, whose state directory is the one named `state`.
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

    /// Starts the example program `program` with the argument `role`, and waits until all four of its partitions run.
    pub fn processor(&self, program: &str, role: &str) -> Program {
        let mut processor = self.start(program, &[role], role);
        processor.wait_for("partitions that run", |line| {
            line.contains("4 of 4 partitions run here").then_some(())
        });
        processor
    }

    /// Starts a service, waits until it prints its address, and returns the service and the address,
    /// `http://host:port`.
    pub fn service(&self, program: &str, arguments: &[&str], state: &str) -> (Program, String) {
        let mut service = self.start(program, arguments, state);
        let address = service.wait_for("address", |line| {
            line.starts_with("http://").then(|| line.to_owned())
        });
        (service, address)
    }
}
