//! Sockets that clients connect to. On the unspecified address they are open to both families,
//! or to IPv4 alone where the machine has no IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;

/// Listens for TCP.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, Type::STREAM)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes datagrams of UDP.
pub(crate) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::from_std(bound(address, Type::DGRAM)?.into())
}

fn bound(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    if !address.ip().is_unspecified() {
        return bind(address, kind);
    }
    let of = |ip: IpAddr| SocketAddr::new(ip, address.port());
    match bind(of(Ipv6Addr::UNSPECIFIED.into()), kind) {
        Err(error) if lacks_ipv6(&error) => bind(of(Ipv4Addr::UNSPECIFIED.into()), kind),
        answer => answer,
    }
}

fn bind(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        // Whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false)?;
    }
    if kind == Type::STREAM {
        // Connections that ended a moment ago do not hold the port.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The kernel was built, or started, without it.
fn lacks_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}
