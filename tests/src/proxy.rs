//! A TCP proxy that counts bytes: it shows how much a client has read, whatever the client's log says. To clients, a
//! cut proxy looks like a broker that is down. The proxy knows nothing of Kafka's protocol, so the broker must
//! advertise the proxy's address, see [`Kafka::start_behind`](crate::Kafka::start_behind).

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// A proxy on a free port of this machine. It runs until the process ends.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Number of bytes sent from the broker to clients.
    served: AtomicU64,
    /// Number of bytes sent from clients to the broker.
    received: AtomicU64,
    route: Mutex<Route>,
}

#[derive(Default)]
struct Route {
    target: Option<SocketAddr>,
    /// Both sockets of each connection since the last cut, so that the next cut can close them.
    connections: Vec<TcpStream>,
}

impl Proxy {
    /// A proxy that refuses connections until it has a [target](Self::forward_to).
    pub fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the proxy finds a free port");
        let port = listener
            .local_addr()
            .expect("the listener has an address")
            .port();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // If the broker cannot be reached, the client's connection is closed.
                let _refused = theirs.connect(client);
            }
        });
        Proxy { port, shared }
    }

    /// The proxy's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The proxy's address, for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Forwards connections that clients open from now on to `target`.
    pub fn forward_to(&self, target: SocketAddr) {
        self.shared.route().target = Some(target);
    }

    /// Closes all connections, and refuses new ones until the next [`forward_to`](Self::forward_to).
    pub fn cut(&self) {
        let mut route = self.shared.route();
        route.target = None;
        for connection in route.connections.drain(..) {
            // Fails if the peer has closed the connection.
            let _closed_already = connection.shutdown(Shutdown::Both);
        }
    }

    /// The number of bytes sent from the broker to clients so far.
    pub fn bytes_served(&self) -> u64 {
        self.shared.served.load(Ordering::SeqCst)
    }

    /// The number of bytes sent from clients to the broker so far.
    pub fn bytes_received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn route(&self) -> std::sync::MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects a client to the target. Holds the lock while it connects, so that a cut misses no connection.
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

/// Copies bytes from one socket to the other until either socket closes, and then closes both. Adds their number to
/// `bytes`.
fn copy(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        // Counted before the bytes are sent on, so that whoever receives bytes finds them counted.
        bytes.fetch_add(read as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        let _closed_already = stream.shutdown(Shutdown::Both);
    }
}
