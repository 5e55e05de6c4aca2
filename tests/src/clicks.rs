//! Starts the roles of the example `clicks` with their own topics and state directories, and computes the expected
//! counts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use tempfile::TempDir;

use crate::{
    Broker, DEADLINE, Message, Program, count_by_key, example, last_values, produce, read_topic,
    read_until, unique,
};

/// The programs of one run of the example. Their topics share a prefix on a broker, and their states share a directory.
pub struct Clicks<'a> {
    broker: &'a Broker,
    /// The address at which the programs connect to the broker.
    address: String,
    prefix: String,
    states: TempDir,
    /// Environment variables that the programs get in addition.
    environment: Vec<(String, String)>,
}

impl<'a> Clicks<'a> {
    /// The programs of one run, none of which is started yet.
    pub fn on(broker: &'a Broker) -> Clicks<'a> {
        Clicks {
            broker,
            address: broker.address().to_owned(),
            prefix: unique("clicks") + "-",
            states: tempfile::tempdir().expect("the temporary directory can be created"),
            environment: Vec::new(),
        }
    }

    /// Sets an environment variable for programs that are started later.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    /// Makes programs that are started later connect to the broker through the proxy at `address`.
    pub fn go_through(&mut self, address: &str) {
        address.clone_into(&mut self.address);
    }

    /// Creates the input with four partitions, and writes `clicks` clicks with a plain client, one user after the other
    /// in turn.
    pub fn produce(&self, clicks: u64, users: u64) {
        self.broker.create_topic(&self.input(), 4);
        self.produce_more(clicks, users);
    }

    /// Writes clicks like [`produce`](Self::produce), but into the input that exists already.
    pub fn produce_more(&self, clicks: u64, users: u64) {
        let clicks = (0..clicks).map(|n| Message::new(format!("user-{}", n % users), "now"));
        produce(self.broker.address(), &self.input(), clicks);
    }

    /// The address of the broker itself, without the proxy.
    pub fn address(&self) -> &str {
        self.broker.address()
    }

    /// Starts an emitter with these additional arguments.
    pub fn emitter(&self, arguments: &[&str]) -> Program {
        self.start("emitter", arguments, None)
    }

    /// Starts an [`emitter`](Self::emitter), and waits until one of its clicks is acknowledged.
    pub fn emitting(&self, arguments: &[&str]) -> Program {
        let mut emitter = self.emitter(arguments);
        emitter.wait_for("a click", |line| {
            line.contains("clicks acknowledged").then_some(())
        });
        emitter
    }

    /// Waits until the changelog has received this number of rows.
    pub fn wait_for_rows(&self, rows: usize) {
        let mut seen = 0;
        read_until(self.broker.address(), &self.table(), |_| {
            seen += 1;
            seen >= rows
        });
    }

    /// Starts a processor with the state directory `state`, and waits until it has found or created its topics.
    pub fn processor(&self, state: &str) -> Program {
        let mut processor = self.processor_with(state, &[]);
        processor.wait_for("partitions", |line| {
            line.contains("partitions run here").then_some(())
        });
        processor
    }

    /// Starts a processor with the state directory `state`. If `by` is not empty, it is a command that runs the
    /// processor: the processor's command line is appended to it.
    pub fn processor_with(&self, state: &str, by: &[&str]) -> Program {
        self.start_by(by, "processor", &[], Some(&self.state(state)))
    }

    /// Starts the example `counter`, which is configured by environment variables only.
    pub fn counter(&self) -> Program {
        let mut command = Command::new(example("counter"));
        command
            .env("GOKA_BROKERS", &self.address)
            .env("GOKA_PREFIX", &self.prefix)
            .env("GOKA_STATE_DIR", self.state("counter"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Program::run(command)
    }

    /// Waits until the sum of all counts in the table is at least `clicks`. A view in a process of its own reads the
    /// table.
    pub fn wait_until_counted(&self, clicks: u64) {
        let state = self.state(&unique("view"));
        self.start("view", &["--clicks", &clicks.to_string()], Some(&state))
            .succeed();
    }

    /// Waits until the group has committed the end offsets of the input, so that a kill repeats no record. A plain
    /// client queries the committed offsets. Works only on a real Kafka.
    pub fn wait_until_committed(&self) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.broker.address())
            .set("group.id", format!("{}my-group", self.prefix))
            .create()
            .expect("the settings of the consumer are valid");
        let (started, all) = (Instant::now(), self.broker.count_offsets(&self.input()));
        loop {
            let mut inputs = TopicPartitionList::new();
            inputs.add_partition_range(&self.input(), 0, 3);
            let committed = consumer.committed_offsets(inputs, DEADLINE);
            let committed = committed.expect("the committed offsets can be read");
            let offsets = committed.elements().into_iter();
            let offsets =
                offsets.map(|at| at.offset().to_raw().unwrap_or(0).max(0).cast_unsigned());
            let committed: u64 = offsets.sum();
            if Some(committed) == all {
                return;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "the group has committed only {committed} of {all:?} offsets"
            );
            std::thread::yield_now();
        }
    }

    /// Waits until the table has at least the expected clicks of each user. Comparing only the sum of all users would
    /// not be enough: a click that is counted twice would hide a click that is not counted yet.
    pub fn wait_until_all_counted(&self, expected: &BTreeMap<String, i64>) {
        let mut missing = expected.clone();
        read_until(self.broker.address(), &self.table(), |row| {
            // The undo of a first row is a tombstone.
            let counted = row.value.as_ref().map_or(0, |_| count(row.value_text()));
            let user = row.key_text();
            if missing.get(user).is_some_and(|clicks| counted >= *clicks) {
                missing.remove(user);
            }
            missing.is_empty()
        });
    }

    fn start(&self, role: &str, arguments: &[&str], state: Option<&Path>) -> Program {
        self.start_by(&[], role, arguments, state)
    }

    fn start_by(
        &self,
        by: &[&str],
        role: &str,
        arguments: &[&str],
        state: Option<&Path>,
    ) -> Program {
        let example = example("clicks");
        let mut command = match by {
            [] => Command::new(example),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(example);
                command
            }
        };
        command
            .arg(role)
            .args(["--brokers", &self.address])
            .args(arguments);
        if let Some(state) = state {
            command.arg("--state-dir").arg(state);
        }
        command.env("GOKA_PREFIX", &self.prefix);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Program::run(command)
    }

    /// The state directory `name` of a processor or a view.
    pub fn state(&self, name: &str) -> PathBuf {
        self.states.path().join(name)
    }

    /// The physical name of the input.
    pub fn input(&self) -> String {
        format!("{}user-clicks", self.prefix)
    }

    /// The physical name of the changelog.
    pub fn table(&self) -> String {
        format!("{}my-group-state", self.prefix)
    }

    /// The expected table: the clicks of each user in the input, read with a plain client.
    pub fn expected(&self) -> BTreeMap<String, i64> {
        count_by_key(&read_topic(self.broker.address(), &self.input()))
    }

    /// The current table, read from its changelog with a plain client.
    pub fn counted(&self) -> BTreeMap<String, i64> {
        let rows = last_values(&read_topic(self.broker.address(), &self.table()));
        rows.into_iter()
            .map(|(user, clicks)| (user, count(&clicks)))
            .collect()
    }
}

fn count(text: &str) -> i64 {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is not a count"))
}
