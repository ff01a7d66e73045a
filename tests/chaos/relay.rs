//! A relay between the service and Postgres that can fail as networks and servers do, and that can
//! stop at a chosen commit.

mod pump;
mod sql;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::link::Link;
use crate::plan::Transaction;

/// Between two looks of the thread that accepts.
const LOOK: Duration = Duration::from_millis(2);

/// How the relay behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Nobody listens.
    Refuse,
    /// Whoever connects is reset.
    Reset,
    /// Whoever connects waits for an answer to the first packet.
    Blackhole,
    /// Whoever connects is accepted and never answered.
    Hang,
}

impl Mode {
    const fn is_silent(self) -> bool {
        matches!(self, Self::Blackhole | Self::Hang)
    }
}

/// Where a trap stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Armed,
    Reached,
    Released { answers: bool },
}

/// Stops the relay at the commit of a transaction.
pub struct Trap {
    transaction: Transaction,
    /// After the commit, rather than before.
    after: bool,
    stage: Mutex<Stage>,
    changed: Condvar,
}

impl Trap {
    /// Whether the commit is reached within a time.
    pub fn reached(&self, within: Duration) -> bool {
        let stage = self.stage.lock().unwrap();
        let waiting = |stage: &mut Stage| *stage == Stage::Armed;
        let (stage, _) = self
            .changed
            .wait_timeout_while(stage, within, waiting)
            .unwrap();
        *stage == Stage::Reached
    }

    /// Lets it go on; without `answers` the service never learns how the commit went.
    pub fn release(&self, answers: bool) {
        *self.stage.lock().unwrap() = Stage::Released { answers };
        self.changed.notify_all();
    }

    /// Stops here until it is released, and says whether there is an answer. Only the first who
    /// comes stops.
    fn stop(&self) -> bool {
        let mut stage = self.stage.lock().unwrap();
        if *stage != Stage::Armed {
            return true;
        }
        *stage = Stage::Reached;
        self.changed.notify_all();
        let waiting = |stage: &mut Stage| *stage == Stage::Reached;
        let limit = Duration::from_secs(10);
        let (stage, _) = self
            .changed
            .wait_timeout_while(stage, limit, waiting)
            .unwrap();
        !matches!(*stage, Stage::Released { answers: false })
    }
}

struct Shared {
    upstream: PathBuf,
    mode: Mutex<Mode>,
    changed: Condvar,
    trap: Mutex<Option<Arc<Trap>>>,
    connections: Mutex<Vec<Connection>>,
    stopping: AtomicBool,
}

struct Connection {
    client: TcpStream,
    server: UnixStream,
}

/// A running relay. Stops when it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Relay {
    /// Listens in front of a Unix socket, on a free port at the far end of a cable, or of the loopback
    /// address.
    pub fn start(upstream: &Path, link: Option<&Link>) -> Self {
        let ip = link.map_or(Ipv4Addr::LOCALHOST, Link::far_address);
        let namespace = link.map(Link::namespace);
        let (tell, told) = std::sync::mpsc::channel();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mode: Mutex::new(Mode::Pass),
            changed: Condvar::new(),
            trap: Mutex::new(None),
            connections: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            if let Some(namespace) = namespace {
                Link::cross(&namespace);
            }
            let listener = listen((ip, 0).into());
            let address = listener.local_addr().unwrap().as_socket().unwrap();
            tell.send(address).unwrap();
            accept(&accepting, address, Some(listener));
        });
        Self {
            address: told.recv().unwrap(),
            shared,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops at the next commit of a transaction.
    pub fn trap(&self, transaction: Transaction, after: bool) -> Arc<Trap> {
        let trap = Arc::new(Trap {
            transaction,
            after,
            stage: Mutex::new(Stage::Armed),
            changed: Condvar::new(),
        });
        *self.shared.trap.lock().unwrap() = Some(Arc::clone(&trap));
        trap
    }

    /// Begins to fail, with what is connected already too.
    pub fn fail(&self, mode: Mode) {
        self.set(mode);
        match mode {
            Mode::Refuse => self.shared.close(false),
            Mode::Reset => self.shared.close(true),
            Mode::Pass | Mode::Blackhole | Mode::Hang => {}
        }
    }

    /// Passes everything on again. Connections that were silent go on, or are reset.
    pub fn mend(&self, resumes: bool) {
        *self.shared.trap.lock().unwrap() = None;
        if !resumes && self.shared.mode.lock().unwrap().is_silent() {
            self.shared.close(true);
        }
        self.set(Mode::Pass);
    }

    fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
        self.shared.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.mend(false);
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    /// Waits while nothing is answered.
    fn pass(&self) {
        let silent = |mode: &mut Mode| mode.is_silent();
        drop(self.changed.wait_while(self.mode.lock().unwrap(), silent));
    }

    fn close(&self, by_reset: bool) {
        for Connection { client, server } in self.connections.lock().unwrap().drain(..) {
            end(&client, by_reset);
            let _ = server.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Ends a connection, politely or by a reset: zero time to linger makes `close` send one
/// (socket(7)), once the threads that hold the socket let go of it.
fn end(client: &TcpStream, by_reset: bool) {
    if by_reset {
        let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
        let _ = client.shutdown(std::net::Shutdown::Read);
    } else {
        let _ = client.shutdown(std::net::Shutdown::Both);
    }
}

/// With the shortest queue there is: it has to be filled for a blackhole.
fn listen(address: SocketAddr) -> Socket {
    let begun = Instant::now();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let bound = socket.bind(&address.into());
        if bound.and_then(|()| socket.listen(64)).is_ok() {
            socket.set_nonblocking(true).unwrap();
            return socket;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{address} cannot be listened on"
        );
        std::thread::sleep(LOOK);
    }
}

/// Connects until the queue of the listener is full, and nobody else can.
fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        filling.push(stream);
    }
    filling
}

fn accept(shared: &Arc<Shared>, address: SocketAddr, mut listener: Option<Socket>) {
    let mut filling = Vec::new();
    let mut hanging = Vec::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        let mode = shared.mode();
        if mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(listen(address));
        }
        if mode == Mode::Blackhole {
            if filling.is_empty() {
                filling = fill(address);
            }
        } else {
            filling.clear();
        }
        let accepted = listener
            .as_ref()
            .filter(|_| mode != Mode::Blackhole)
            .and_then(|it| it.accept().ok());
        match (accepted, mode) {
            (None, _) => std::thread::sleep(LOOK),
            (Some((socket, _)), Mode::Pass) => {
                socket.set_nonblocking(false).unwrap();
                pump::start(shared, socket.into());
            }
            (Some((socket, _)), Mode::Reset) => {
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
            // Nobody ever answers them, afterwards neither.
            (Some((socket, _)), Mode::Hang) => hanging.push(socket),
            (Some(_), Mode::Refuse | Mode::Blackhole) => {}
        }
    }
}
