//! The network namespace of a container.

use std::fs::{File, Metadata};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

/// The resolver of a container, by what the engine writes to its `/etc/resolv.conf`.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Where queries come from that are meant for the engine's resolver: an address that no
/// process has by itself. See [`crate::rules`] for why not a mark.
pub(crate) const OURSELVES: Ipv4Addr = Ipv4Addr::new(127, 83, 87, 11);
/// Work in a namespace is a few system calls and programs.
const WORK_DEADLINE: Duration = Duration::from_secs(10);

/// A namespace, held.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox(Arc<File>);

/// Where a container's queries arrive.
pub(crate) struct Sockets {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
}

// === impl Sandbox ===

impl Sandbox {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(|file| Self(Arc::new(file)))
    }

    /// Whether a path leads to it.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (self.0.metadata(), std::fs::metadata(path)) {
            (Ok(own), Ok(there)) => identity(own) == identity(there),
            _ => false,
        }
    }

    /// Does something in the namespace, on a thread of its own that ends with it: a
    /// thread that could not come back would take others' work to the wrong place.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let namespace = self.0.clone();
        std::thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
            let network = Some(LinkNameSpaceType::Network);
            let entered = move_into_link_name_space(namespace.as_fd(), network);
            // Whoever asked may have gone.
            let _ = done.send(entered.map_err(io::Error::from).and_then(|()| work()));
        })?;
        let lost = || io::Error::other("the work in the namespace ended without a result");
        match tokio::time::timeout(WORK_DEADLINE, result).await {
            Ok(result) => result.unwrap_or_else(|_| Err(lost())),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("work in the namespace takes more than {} s", WORK_DEADLINE.as_secs()),
            )),
        }
    }
}

// === impl Sockets ===

impl Sockets {
    /// Opens them, in the namespace that the thread is in.
    pub(crate) fn open() -> io::Result<Self> {
        if !loopback_is_up() {
            run(Command::new("ip").args(["link", "set", "lo", "up"]), "iproute2")?;
        }
        let any_port = SocketAddrV4::new(RESOLVER, 0);
        let udp = UdpSocket::bind(any_port)?;
        let tcp = TcpListener::bind(any_port)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { udp, tcp })
    }
}

/// Whether there is a way to addresses of the loopback device. An engine brings it up
/// before it calls a driver; another driver's sandbox may be different.
fn loopback_is_up() -> bool {
    let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    socket.and_then(|socket| socket.connect(SocketAddrV4::new(RESOLVER, 53))).is_ok()
}

/// A socket for queries to the engine's resolver.
pub(crate) fn udp_to_engine() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(OURSELVES, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Likewise, not connected yet.
pub(crate) fn tcp_to_engine() -> io::Result<std::net::TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let kind = SocketType::STREAM;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, Some(ipproto::TCP))?;
    rustix::net::bind(&socket, &SocketAddrV4::new(OURSELVES, 0))?;
    Ok(socket.into())
}

/// Runs a program, of a Debian package, to its end; its words are in the error.
pub(crate) fn run(command: &mut Command, package: &str) -> io::Result<()> {
    let output = output(command, package)?;
    if output.status.success() {
        return Ok(());
    }
    let program = command.get_program().to_string_lossy();
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} ended with {}: {}", output.status, said.trim())))
}

/// Runs a program, of a Debian package, to its end, however that is.
pub(crate) fn output(command: &mut Command, package: &str) -> io::Result<Output> {
    command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        let why = format!("cannot run {program} (of the package {package}): {error}");
        io::Error::new(error.kind(), why)
    })
}
