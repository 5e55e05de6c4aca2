//! A real Kafka of a test's own, for what cannot be done to a shared broker: stop it, start it again, stand a proxy
//! before it. Started by `scripts/kafka.sh`.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Broker, Proxy, needs_kafka};

/// A Kafka that is stopped when this is dropped. Its data goes with it, unless its directory was given.
pub struct Kafka {
    directory: PathBuf,
    /// Deleted with this, after it was stopped.
    _temporary: Option<TempDir>,
    /// As given to the script, so that a restart is the same broker.
    port: u16,
    third: Third,
}

/// What a Kafka listens for besides its plain port.
#[derive(Clone, Copy)]
enum Third {
    Nothing,
    /// Clients that a proxy at this port sends on.
    Proxied(u16),
    /// Clients with TLS and a login.
    Secured,
}

impl Kafka {
    /// Starts one. Fails as [`needs_kafka`] does where `GOKA_TEST_BROKERS` names no real Kafka: a machine that runs one
    /// can run another.
    pub fn start() -> Kafka {
        Self::started(Third::Nothing)
    }

    /// Starts one that also has a port with TLS, logins and rights: see `scripts/kafka.sh --help`.
    pub fn start_secured() -> Kafka {
        Self::started(Third::Secured)
    }

    /// Starts one that sends those who ask it through the proxy on to the proxy, so that all they read passes there.
    pub fn start_behind(proxy: &Proxy) -> Kafka {
        let kafka = Self::started(Third::Proxied(proxy.port()));
        proxy.forward_to(kafka.behind());
        kafka
    }

    fn started(third: Third) -> Kafka {
        needs_kafka();
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let path = temporary.path().to_owned();
        Self::running(path, Some(temporary), third)
    }

    /// Starts one with its data in a directory, whether or not a real Kafka was asked for.
    pub fn start_in(directory: &Path) -> Kafka {
        Self::running(directory.to_owned(), None, Third::Nothing)
    }

    fn running(directory: PathBuf, temporary: Option<TempDir>, third: Third) -> Kafka {
        let address = start(&directory, "any", third);
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("`{address}` ends with no port"));
        Kafka {
            directory,
            _temporary: temporary,
            port,
            third,
        }
    }

    /// The broker, to prepare topics and for clients that go round the proxy.
    pub fn broker(&self) -> Broker {
        Broker::kafka(&format!("127.0.0.1:{}", self.port))
    }

    /// Where a proxy is to send its clients.
    pub fn behind(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + 2))
    }

    /// Its address for clients with TLS and a login.
    pub fn secured(&self) -> String {
        self.behind().to_string()
    }

    /// The certificate that clients know it by, as a file.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Stops it; its data stays.
    pub fn stop(&self) {
        let stopped = script().arg("stop").arg(&self.directory).status();
        let stopped =
            stopped.unwrap_or_else(|error| panic!("cannot run scripts/kafka.sh: {error}"));
        assert!(stopped.success(), "scripts/kafka.sh cannot stop its Kafka");
    }

    /// As `kill -9`; its data stays.
    pub fn kill(&self) {
        let pid = fs::read_to_string(self.directory.join("pid")).unwrap_or_default();
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.expect("the script notes the number of the process that it starts");
        let killed = kill_process(pid, Signal::KILL);
        killed.unwrap_or_else(|error| panic!("cannot kill Kafka: {error}"));
        // It is a child of nobody here: that nobody listens any more tells that it is gone.
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {}
        self.stop();
    }

    /// Starts it again after a [`stop`](Self::stop) or a [`kill`](Self::kill), with the same address and data.
    pub fn start_again(&self) {
        start(&self.directory, &self.port.to_string(), self.third);
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs one of Kafka's own tools, by its class and with arguments, and gives what it printed. It has to succeed.
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

/// The repository's.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Gives its address.
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
