//! A real Kafka for a single test. The test may stop Kafka, restart it, or put a proxy in front of it.
//! `scripts/kafka.sh` starts Kafka.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Broker, Proxy, needs_kafka};

/// A Kafka that is stopped on drop. The drop also deletes Kafka's data, unless the caller chose the directory of the
/// data.
pub struct Kafka {
    directory: PathBuf,
    /// The temporary directory of the data, deleted on drop, after the broker is stopped.
    _temporary: Option<TempDir>,
    /// The port of the broker. A restart uses the same port.
    port: u16,
    third: Third,
}

/// The additional listener of a Kafka, besides the plaintext listener and the controller's listener.
#[derive(Clone, Copy)]
enum Third {
    Nothing,
    /// A listener for clients that connect through a proxy at this port.
    Proxied(u16),
    /// A listener for clients that use TLS and log in.
    Secured,
}

impl Kafka {
    /// Starts a Kafka. Like [`needs_kafka`], it panics if `GOKA_TEST_BROKERS` is not set: a machine that runs one Kafka
    /// can run another.
    pub fn start() -> Kafka {
        Self::started(Third::Nothing)
    }

    /// Starts a Kafka with an additional port that requires TLS and logins and checks ACLs, see
    /// `scripts/kafka.sh --help`.
    pub fn start_secured() -> Kafka {
        Self::started(Third::Secured)
    }

    /// Starts a Kafka that advertises the proxy's address to clients that connect through the proxy, so that all
    /// traffic of these clients passes through the proxy.
    pub fn start_behind(proxy: &Proxy) -> Kafka {
        let kafka = Self::started(Third::Proxied(proxy.port()));
        proxy.forward_to(kafka.behind());
        kafka
    }

    fn started(third: Third) -> Kafka {
        needs_kafka();
        let temporary = tempfile::tempdir().expect("the temporary directory can be created");
        let path = temporary.path().to_owned();
        Self::running(path, Some(temporary), third)
    }

    /// Starts a Kafka that keeps its data in `directory`, whether or not `GOKA_TEST_BROKERS` is set.
    pub fn start_in(directory: &Path) -> Kafka {
        Self::running(directory.to_owned(), None, Third::Nothing)
    }

    fn running(directory: PathBuf, temporary: Option<TempDir>, third: Third) -> Kafka {
        let address = start(&directory, "any", third);
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("`{address}` must end with a port"));
        Kafka {
            directory,
            _temporary: temporary,
            port,
            third,
        }
    }

    /// The broker itself: for preparing topics, and for clients that do not use the proxy.
    pub fn broker(&self) -> Broker {
        Broker::kafka(&format!("127.0.0.1:{}", self.port))
    }

    /// The address of the additional listener, to which a proxy forwards.
    pub fn behind(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + 2))
    }

    /// The address for clients with TLS and a login.
    pub fn secured(&self) -> String {
        self.behind().to_string()
    }

    /// The file with the CA certificate that clients need.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Stops the broker, but keeps its data.
    pub fn stop(&self) {
        let stopped = script().arg("stop").arg(&self.directory).status();
        let stopped =
            stopped.unwrap_or_else(|error| panic!("cannot run scripts/kafka.sh: {error}"));
        assert!(stopped.success(), "scripts/kafka.sh cannot stop its Kafka");
    }

    /// Kills the broker with SIGKILL, but keeps its data.
    pub fn kill(&self) {
        let pid = fs::read_to_string(self.directory.join("pid")).unwrap_or_default();
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.expect("scripts/kafka.sh must write the process id of Kafka to a file");
        let killed = kill_process(pid, Signal::KILL);
        killed.unwrap_or_else(|error| panic!("cannot kill Kafka: {error}"));
        // The broker is not a child process of this process: only a closed port shows that the broker has ended.
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {}
        self.stop();
    }

    /// Restarts the broker after a [`stop`](Self::stop) or a [`kill`](Self::kill), with the same address and data.
    pub fn start_again(&self) {
        start(&self.directory, &self.port.to_string(), self.third);
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs the Kafka tool whose Java class is `class`, and returns its output. Panics if the tool fails.
pub fn kafka_tool(class: &str, arguments: &[&str]) -> String {
    let output = script().arg("tool").arg(class).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run scripts/kafka.sh: {error}"));
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(output.status.success(), "{class} {arguments:?}: {printed}");
    printed
}

fn script() -> Command {
    Command::new(root().join("scripts/kafka.sh"))
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs `scripts/kafka.sh start`, and returns the address of the broker.
fn start(directory: &Path, port: &str, third: Third) -> String {
    let mut command = script();
    command.arg("start");
    if let Third::Secured = third {
        command.arg("--secured");
    }
    command.arg(directory).arg(port);
    if let Third::Proxied(port) = third {
        command.arg(port.to_string());
    }
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run scripts/kafka.sh: {error}"));
    assert!(
        output.status.success(),
        "scripts/kafka.sh cannot start a Kafka"
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
