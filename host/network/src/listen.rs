//! Sockets that clients connect to. On the unspecified address they are open to both families,
//! or to IPv4 alone where the machine has no IPv6.
//!
//! While nobody serves a port it is held: no other process gets it meanwhile, and who asks there
//! hears from the kernel at once that nobody listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;

/// From the port `discard` comes nothing.
const DISCARD: u16 = 9;

/// What connections of the port do that ended a moment ago, or go on without a listener.
#[derive(Clone, Copy)]
enum Earlier {
    /// They keep it.
    Keep,
    /// They share it.
    Share,
}

/// Listens for TCP.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, Type::STREAM, Earlier::Share)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes datagrams of UDP.
pub(crate) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::from_std(bound(address, Type::DGRAM, Earlier::Keep)?.into())
}

/// Holds a port of TCP: nobody listens on it.
pub(crate) fn hold_tcp(address: SocketAddr) -> io::Result<Socket> {
    // What is said before it is bound counts for a port that is new to the kernel: whoever
    // shares one shares it with all who do, while nobody listens.
    match bound(address, Type::STREAM, Earlier::Keep) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let socket = bound(address, Type::STREAM, Earlier::Share)?;
            // What is said afterwards counts for one that connections still have.
            socket.set_reuse_address(false)?;
            Ok(socket)
        }
        answer => answer,
    }
}

/// Holds a port of UDP: nobody hears what comes in there. A socket that is connected hears its
/// peer alone.
pub(crate) fn hold_udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = bound(address, Type::DGRAM, Earlier::Keep)?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let peer = match local.ip() {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // It is open to both families, and each machine has this one.
        IpAddr::V6(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        own => own,
    };
    socket.connect(&SocketAddr::new(peer, DISCARD).into())?;
    Ok(socket)
}

fn bound(address: SocketAddr, kind: Type, earlier: Earlier) -> io::Result<Socket> {
    if !address.ip().is_unspecified() {
        return bind(address, kind, earlier);
    }
    let of = |ip: IpAddr| SocketAddr::new(ip, address.port());
    match bind(of(Ipv6Addr::UNSPECIFIED.into()), kind, earlier) {
        Err(error) if lacks_ipv6(&error) => bind(of(Ipv4Addr::UNSPECIFIED.into()), kind, earlier),
        answer => answer,
    }
}

fn bind(address: SocketAddr, kind: Type, earlier: Earlier) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        // Whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false)?;
    }
    if matches!(earlier, Earlier::Share) {
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
