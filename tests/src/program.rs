//! The examples as child processes: tests start them, wait for lines of their output, interrupt and kill them.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Instant,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::{DEADLINE, kafka::root};

/// The executable of an example, which is built if it is not up to date.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(build_examples);
    let found = built.iter().find(|(example, _)| example == name);
    let (_, path) = found.unwrap_or_else(|| panic!("there is no example `{name}`"));
    path.clone()
}

/// Builds the examples with the profile and the packages of the tests, so that hardly anything is compiled twice.
fn build_examples() -> Vec<(String, PathBuf)> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command.args([
        "build",
        "--workspace",
        "--examples",
        "--message-format=json",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(output.status.success(), "the examples do not compile");
    let messages = serde_json::Deserializer::from_slice(&output.stdout);
    let messages = messages
        .into_iter::<serde_json::Value>()
        .map_while(Result::ok);
    messages
        .filter(|message| message["target"]["kind"][0] == "example")
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?;
            Some((name.to_owned(), message["executable"].as_str()?.into()))
        })
        .collect()
}

/// A command that runs the test `name` of this executable in another process. The caller sets a variable by which the
/// test knows that it is the other process.
pub fn this_test(name: &str) -> Command {
    let this =
        env::current_exe().unwrap_or_else(|error| panic!("cannot name this program: {error}"));
    let mut command = Command::new(this);
    command.args(["--include-ignored", "--exact", name, "--nocapture"]);
    command
}

/// A running program. Dropping it kills the program.
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// All lines of both outputs so far, which a failed test shows.
    seen: Vec<String>,
}

impl Program {
    /// Starts a program with its output captured and its input closed.
    pub fn start(path: &Path, arguments: &[&str]) -> Program {
        let mut command = Command::new(path);
        command.args(arguments);
        Self::run(command)
    }

    /// Starts a program like [`start`](Self::start), from a command that sets its environment.
    pub fn run(mut command: Command) -> Program {
        let name = format!("{command:?}");
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {name}: {error}"));
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|err| Box::new(err) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Fails once the test is over.
                    let _over = sender.send(line);
                }
            });
        }
        Program {
            name,
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line for which `wanted` returns a value, and returns the value.
    pub fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(started.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.fail(&format!("no {what} within {DEADLINE:?}"))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail(&format!("it ended without {what}"))
                }
            }
        }
    }

    /// Reads both outputs to their ends, waits until the program has ended, and returns its status.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(started.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no end within {DEADLINE:?}")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait();
        status.unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.name))
    }

    /// Waits like [`wait`](Self::wait), and panics if the program has failed.
    pub fn succeed(&mut self) {
        let status = self.wait();
        if !status.success() {
            self.fail(&format!("it ended with {status}"));
        }
    }

    /// Kills the program with SIGKILL, and returns when it has ended.
    pub fn kill(&mut self) {
        // Fails only if the program has ended by itself.
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }

    /// The process id, to see what the process holds.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGTERM, as `kill` does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops the process until [`resume`](Self::resume): its session times out without its knowledge.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a paused program.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Removes the limit of the size of its files, as if a full disk had space again.
    pub fn let_files_grow(&self) {
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        let pid = Some(Pid::from_child(&self.child));
        let raised = prlimit(pid, Resource::Fsize, unlimited);
        raised.unwrap_or_else(|error| panic!("cannot raise a limit of {}: {error}", self.name));
    }

    fn signal(&self, signal: Signal) {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.unwrap_or_else(|error| panic!("cannot send {signal:?} to {}: {error}", self.name));
    }

    /// The output so far, up to the last line that was waited for.
    pub fn output(&self) -> String {
        self.seen.join("\n")
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}. It printed:\n{}", self.name, self.output());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
