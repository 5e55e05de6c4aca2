//! A TCP proxy that counts what passes: how much a client really read, whatever its log says. It can also be cut, which
//! to clients is a broker that went away. Knows nothing of Kafka's protocol; a broker behind it must send its clients
//! here, see [`Kafka::start_behind`](crate::Kafka::start_behind).

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// A proxy on a free port of this machine; it lives as long as the process.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// From the broker to its clients.
    served: AtomicU64,
    /// From clients to the broker.
    received: AtomicU64,
    route: Mutex<Route>,
}

#[derive(Default)]
struct Route {
    target: Option<SocketAddr>,
    /// Both ends of all connections since the last cut, so that they can be closed.
    connections: Vec<TcpStream>,
}

impl Proxy {
    /// Takes a free port. Connections are refused until there is a [`target`](Self::forward_to).
    pub fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it was bound").port();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client whose broker cannot be reached sees its connection closed.
                let _refused = theirs.connect(client);
            }
        });
        Proxy { port, shared }
    }

    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What clients connect to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends new connections there from now on.
    pub fn forward_to(&self, target: SocketAddr) {
        self.shared.route().target = Some(target);
    }

    /// Closes all connections and refuses new ones, until [`forward_to`](Self::forward_to).
    pub fn cut(&self) {
        let mut route = self.shared.route();
        route.target = None;
        for connection in route.connections.drain(..) {
            // Fails where the other end was faster.
            let _closed_already = connection.shutdown(Shutdown::Both);
        }
    }

    /// Bytes that went from the broker to clients so far.
    pub fn bytes_served(&self) -> u64 {
        self.shared.served.load(Ordering::SeqCst)
    }

    /// Bytes that went from clients to the broker so far.
    pub fn bytes_received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn route(&self) -> std::sync::MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock is held while it connects, so that a cut misses no connection.
    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let mut route = self.route();
        let target = route.target.ok_or(io::ErrorKind::ConnectionRefused)?;
        let broker = TcpStream::connect(target)?;
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
            route.connections.push(stream.try_clone()?);
        }
        let (from_client, to_broker) = (client.try_clone()?, broker.try_clone()?);
        let (up, down) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || copy(from_client, to_broker, &up.received));
        thread::spawn(move || copy(broker, client, &down.served));
        Ok(())
    }
}

/// Until either end closes; then both are closed.
fn copy(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        // Counted first, so that who has got a byte finds it counted.
        bytes.fetch_add(read as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        let _closed_already = stream.shutdown(Shutdown::Both);
    }
}
