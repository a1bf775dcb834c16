//! The socket of a port. It says where a datagram was asked for, and answers from there: on
//! the unspecified address the kernel would choose one of the node's, and whoever asked another
//! does not hear it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Who asked, and at which address of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    pub(super) client: SocketAddr,
    /// Answers come from it. None where many were asked, who have no address in common.
    asked: Option<IpAddr>,
}

pub(super) struct Socket(UdpSocket);

// === impl Caller ===

impl Caller {
    #[cfg(test)]
    pub(super) fn of(client: SocketAddr) -> Self {
        Self { client, asked: None }
    }
}

// === impl Socket ===

impl Socket {
    /// # Errors
    /// The kernel does not tell addresses of this socket.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        // A socket of both families has what IPv4 tells as well.
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        if socket.local_addr()?.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(Self(socket))
    }

    /// The size of the next datagram, and whose it is.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Caller)> {
        let received = || {
            let mut told = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
            let mut into = [IoSliceMut::new(buffer)];
            let (socket, none) = (self.0.as_raw_fd(), MsgFlags::empty());
            let received = recvmsg::<SockaddrStorage>(socket, &mut into, Some(&mut told), none)?;
            let client = received.address.as_ref().and_then(socket_address);
            let client = client.ok_or(io::ErrorKind::AddrNotAvailable)?;
            Ok((received.bytes, Caller { client, asked: asked(received.cmsgs()?) }))
        };
        self.0.async_io(Interest::READABLE, received).await
    }

    /// Answers with one datagram.
    pub(super) async fn answer(&self, datagram: &[u8], to: Caller) -> io::Result<()> {
        let client = SockaddrStorage::from(to.client);
        let datagram = [IoSlice::new(datagram)];
        let sent = |from: &[ControlMessage<'_>]| {
            let (socket, none) = (self.0.as_raw_fd(), MsgFlags::empty());
            sendmsg(socket, &datagram, from, none, Some(&client))?;
            Ok(())
        };
        let send = || match to.asked {
            None => sent(&[]),
            Some(IpAddr::V4(from)) => sent(&[ControlMessage::Ipv4PacketInfo(&info_v4(from))]),
            Some(IpAddr::V6(from)) => sent(&[ControlMessage::Ipv6PacketInfo(&info_v6(from))]),
        };
        self.0.async_io(Interest::WRITABLE, send).await
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// IPv4's word counts before that of IPv6, which has IPv4's destination as well, whatever it
/// is: of a broadcast IPv4 tells which address of the node it reached.
fn asked(told: impl Iterator<Item = ControlMessageOwned>) -> Option<IpAddr> {
    let addresses = told.filter_map(|word| match word {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(IpAddr::from(info.ipi6_addr.s6_addr)).filter(|asked| !asked.is_multicast())
        }
        _ => None,
    });
    addresses.min()
}

fn info_v4(from: Ipv4Addr) -> libc::in_pktinfo {
    let address =
        |address: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
    libc::in_pktinfo {
        // Whatever link leads to the client.
        ipi_ifindex: 0,
        ipi_spec_dst: address(from),
        ipi_addr: address(Ipv4Addr::UNSPECIFIED),
    }
}

fn info_v6(from: Ipv6Addr) -> libc::in6_pktinfo {
    libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 }
}
