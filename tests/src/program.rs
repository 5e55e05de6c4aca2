//! The examples as child processes: tests start them, wait for lines of their output, and interrupt or kill them.

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

/// The path of the executable of an example. The first call builds all examples that are not up to date.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(build_examples);
    let found = built.iter().find(|(example, _)| example == name);
    let (_, path) = found.unwrap_or_else(|| panic!("the repository has no example `{name}`"));
    path.clone()
}

/// Builds the examples with the same profile and the same packages as the tests, so that hardly anything is compiled
/// twice.
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

/// A command that runs the test `name` of this test executable in another process. The caller sets an environment
/// variable by which the test recognizes that it runs in that other process.
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
    /// All lines of stdout and stderr that have been received so far. A test that fails prints them.
    seen: Vec<String>,
}

impl Program {
    /// Starts a program. Its output is captured, and its standard input is closed.
    pub fn start(path: &Path, arguments: &[&str]) -> Program {
        let mut command = Command::new(path);
        command.args(arguments);
        Self::run(command)
    }

    /// Starts a program like [`start`](Self::start), but from a command, which may also set environment variables.
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
                    // Sending fails once the test is over.
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

    /// Waits for a line for which `wanted` returns a value, and returns that value. `what` names the line in the panic
    /// message.
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
                    self.fail(&format!("the program ended without {what}"))
                }
            }
        }
    }

    /// Reads stdout and stderr to their ends, waits until the program has ended, and returns its exit status.
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

    /// Waits like [`wait`](Self::wait), and panics if the exit status is not success.
    pub fn succeed(&mut self) {
        let status = self.wait();
        if !status.success() {
            self.fail(&format!("the program ended with {status}"));
        }
    }

    /// Kills the program with SIGKILL, and returns when it has ended.
    pub fn kill(&mut self) {
        // The kill fails only if the program has ended by itself.
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }

    /// The process id, with which a test looks up the open files and threads of the process.
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

    /// Pauses the process with SIGSTOP until [`resume`](Self::resume). In the meantime, the session of the process can
    /// time out without its knowledge.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a paused program.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Removes the limit of the size of the program's files. For the program, this looks like a full disk that has
    /// space again.
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

    /// The output up to the last line that a call has waited for.
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
