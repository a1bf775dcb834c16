//! SCTP by hand (RFC 9260): packets of it are led about by kernels that have no sockets for
//! it. A server answers each INIT with an INIT ACK, whose cookie says who it is and which
//! client it saw. So one exchange tells a client where it was led to, and that the answer
//! came as if from where it asked.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, sockopt};

use super::peers::{Answer, SERVED, read};
use super::world::{Container, inside};

/// How long an answer is waited for until the INIT is sent again…
const PATIENCE: Duration = Duration::from_secs(2);
/// …so often in all.
const TRIES: usize = 3;
/// Ports of clients: one for each association.
const FIRST_PORT: u16 = 20_000;

/// The number of the protocol.
const SCTP: u32 = 132;
/// Kinds of chunks, and of a parameter.
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const STATE_COOKIE: u16 = 7;
/// Lengths: of the common header, and of an INIT's chunk without parameters.
const HEADER: usize = 12;
const CHUNK: usize = 20;
/// How each side wants the packets to be tagged that it gets.
const CLIENTS_TAG: u32 = 7;
const SERVERS_TAG: u32 = 8;

/// A packet with one chunk.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    from: u16,
    to: u16,
    /// As the receiver wants it; nothing, for an INIT.
    tag: u32,
    kind: u8,
    /// As the sender wants it.
    own_tag: u32,
    /// Of an INIT ACK.
    cookie: String,
}

/// Serves SCTP at a port of all addresses of a container.
pub fn serve_on(container: &Container, port: u16) {
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        let socket = inside(&container.space, || raw(any)).expect("a raw socket");
        let name = container.name.clone();
        std::thread::spawn(move || {
            while let Ok((packet, client)) = receive(&socket, any) {
                let asks =
                    |packet: &Packet| packet.kind == INIT && packet.to == port && packet.tag == 0;
                let Some(packet) = packet.filter(asks) else { continue };
                let answer = Packet {
                    from: packet.to,
                    to: packet.from,
                    tag: packet.own_tag,
                    kind: INIT_ACK,
                    own_tag: SERVERS_TAG,
                    cookie: format!("{name} {client}"),
                };
                let to = SocketAddr::new(client, 0);
                let _ = rustix::net::sendto(&socket, &answer.to_bytes(), SendFlags::empty(), &to);
            }
        });
    }
}

/// Asks for one association.
pub fn ask(client: &Container, to: &str) -> io::Result<Answer> {
    static PORTS: AtomicU16 = AtomicU16::new(FIRST_PORT);
    let own = PORTS.fetch_add(1, Ordering::Relaxed);
    let to: IpAddr = to.parse().expect("an address");
    let asked = Packet {
        from: own,
        to: SERVED,
        tag: 0,
        kind: INIT,
        own_tag: CLIENTS_TAG,
        cookie: String::new(),
    };
    let socket = inside(&client.space, || {
        let socket = raw(to)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        // From nowhere else anything is heard.
        rustix::net::connect(&socket, &SocketAddr::new(to, 0))?;
        Ok::<_, io::Error>(socket)
    })?;
    for _ in 0..TRIES {
        rustix::net::send(&socket, &asked.to_bytes(), SendFlags::empty())?;
        match answer_to(&asked, &socket, to) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            answered => return answered,
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// Asks several times: how often each answered.
pub fn ask_often(client: &Container, to: &str, times: usize) -> BTreeMap<Answer, usize> {
    let mut counted = BTreeMap::new();
    for _ in 0..times {
        let answer = ask(client, to).unwrap_or_else(|error| panic!("{to}: {error}"));
        *counted.entry(answer).or_default() += 1;
    }
    counted
}

fn answer_to(asked: &Packet, socket: &OwnedFd, to: IpAddr) -> io::Result<Answer> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let (packet, _) = receive(socket, to)?;
        let answers = |packet: &Packet| {
            (packet.kind, packet.from, packet.to) == (INIT_ACK, asked.to, asked.from)
                && packet.tag == asked.own_tag
        };
        if let Some(packet) = packet.filter(answers) {
            return read(&packet.cookie);
        }
    }
    Err(ErrorKind::WouldBlock.into())
}

fn raw(of_family: IpAddr) -> io::Result<OwnedFd> {
    let family = if of_family.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let protocol = Protocol::from_raw(SCTP.try_into().expect("not zero"));
    Ok(rustix::net::socket(family, SocketType::RAW, Some(protocol))?)
}

/// A packet, where it is one with a right sum, and whom it is from.
fn receive(socket: &OwnedFd, of_family: IpAddr) -> io::Result<(Option<Packet>, IpAddr)> {
    let mut bytes = [0; 500];
    let (length, _, from) = rustix::net::recvfrom(socket, &mut bytes[..], RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(ErrorKind::Other)?;
    // Of IPv4 the packet has its header.
    let header = if of_family.is_ipv4() { usize::from(bytes[0] & 0xf) * 4 } else { 0 };
    let packet = bytes[..length].get(header..).and_then(Packet::from_bytes);
    Ok((packet, from.ip()))
}

// === impl Packet ===

impl Packet {
    fn to_bytes(&self) -> Vec<u8> {
        let mut parameter = Vec::new();
        if !self.cookie.is_empty() {
            // Of a length that needs no padding.
            let value =
                format!("{:width$}", self.cookie, width = self.cookie.len().div_ceil(4) * 4);
            parameter.extend(STATE_COOKIE.to_be_bytes());
            parameter.extend((4 + value.len() as u16).to_be_bytes());
            parameter.extend(value.bytes());
        }
        let mut bytes = Vec::new();
        bytes.extend(self.from.to_be_bytes());
        bytes.extend(self.to.to_be_bytes());
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([self.kind, 0]);
        bytes.extend(((CHUNK + parameter.len()) as u16).to_be_bytes());
        bytes.extend(self.own_tag.to_be_bytes());
        // The window, streams there and back, the first number.
        bytes.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9]);
        bytes.extend(parameter);
        let sum = sum(&bytes);
        bytes[8..HEADER].copy_from_slice(&sum);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let two = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let four = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let mut summed = bytes.to_vec();
        summed.get_mut(8..HEADER)?.fill(0);
        let value = bytes.get(HEADER + CHUNK + 4..).unwrap_or_default();
        let packet = Self {
            from: two(0)?,
            to: two(2)?,
            tag: four(4)?,
            kind: *bytes.get(HEADER)?,
            own_tag: four(HEADER + 4)?,
            cookie: String::from_utf8_lossy(value).trim().to_owned(),
        };
        (sum(&summed) == bytes[8..HEADER]).then_some(packet)
    }
}

/// CRC32c, as it stands in a packet.
fn sum(bytes: &[u8]) -> [u8; 4] {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    (!sum).to_le_bytes()
}
