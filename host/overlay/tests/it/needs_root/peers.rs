//! Servers and clients in containers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, sockopt};

use super::world::{Container, inside};

const PATIENCE: Duration = Duration::from_secs(2);

/// The port of servers.
pub const SERVED: u16 = 80;

/// Who answered, and which client it saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    pub by: String,
    pub seen: IpAddr,
}

/// Serves TCP and UDP on all addresses of a container: to each line or datagram it says its
/// name and the client's address.
pub fn serve(container: &Container) {
    serve_on(container, SERVED);
}

/// Serves on another port.
pub fn serve_on(container: &Container, port: u16) {
    let all = SocketAddr::from(([0_u16; 8], port));
    let (tcp, udp) = inside(&container.space, || {
        (TcpListener::bind(all).expect("a listener"), UdpSocket::bind(all).expect("a socket"))
    });
    let name = container.name.clone();
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let name = name.clone();
            std::thread::spawn(move || answer(&name, stream));
        }
    });
    let name = container.name.clone();
    std::thread::spawn(move || {
        let mut bytes = [0; 2000];
        while let Ok((_, from)) = udp.recv_from(&mut bytes) {
            let said = format!("{name} {}", from.ip().to_canonical());
            let _ = udp.send_to(said.as_bytes(), from);
        }
    });
}

fn answer(name: &str, stream: TcpStream) {
    let Ok(from) = stream.peer_addr() else { return };
    let Ok(mut writer) = stream.try_clone() else { return };
    for _ in BufReader::new(stream).lines().map_while(Result::ok) {
        if writeln!(writer, "{name} {}", from.ip().to_canonical()).is_err() {
            return;
        }
    }
}

/// A connection that lasts.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(client: &Container, to: &str) -> io::Result<Self> {
        let to = SocketAddr::new(to.parse().expect("an address"), SERVED);
        let stream = inside(&client.space, || TcpStream::connect_timeout(&to, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn ask(&mut self) -> io::Result<Answer> {
        self.0.get_mut().write_all(b"?\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        read(&line)
    }
}

/// Connects and asks once.
pub fn ask(client: &Container, to: &str) -> io::Result<Answer> {
    Connection::open(client, to)?.ask()
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

/// A flow of UDP: one socket.
pub struct Flow(UdpSocket);

impl Flow {
    pub fn open(client: &Container, to: &str) -> Self {
        let any = if to.contains(':') { "::" } else { "0.0.0.0" };
        Self::open_as(client, any, to)
    }

    /// With a source address.
    pub fn open_as(client: &Container, from: &str, to: &str) -> Self {
        let from = SocketAddr::new(from.parse().expect("an address"), 0);
        let to = SocketAddr::new(to.parse().expect("an address"), SERVED);
        let socket = inside(&client.space, || {
            let socket = UdpSocket::bind(from).expect("a socket");
            socket.connect(to).expect("a route");
            socket
        });
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self(socket)
    }

    /// As often as a client would: a busy machine is late, or drops a datagram.
    pub fn ask(&self) -> io::Result<Answer> {
        let late = |asked: &io::Result<Answer>| {
            asked.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        let mut asked = self.ask_once();
        for _ in 0..9 {
            if !late(&asked) {
                break;
            }
            asked = self.ask_once();
        }
        asked
    }

    pub fn ask_once(&self) -> io::Result<Answer> {
        self.ask_with(1)
    }

    /// With a datagram of a size.
    pub fn ask_with(&self, size: usize) -> io::Result<Answer> {
        self.0.send(&vec![b'?'; size])?;
        let mut bytes = [0; 100];
        let length = self.0.recv(&mut bytes)?;
        read(&String::from_utf8_lossy(&bytes[..length]))
    }
}

/// What a server said.
pub fn read(said: &str) -> io::Result<Answer> {
    let (by, seen) = said.trim().split_once(' ').ok_or(ErrorKind::UnexpectedEof)?;
    Ok(Answer { by: by.to_owned(), seen: seen.parse().map_err(io::Error::other)? })
}

/// An answer, written shortly.
pub fn by(name: &str, seen: &str) -> Answer {
    Answer { by: name.to_owned(), seen: seen.parse().expect("an address") }
}

/// Sends an echo request and waits for the reply, from the address that was asked.
pub fn echo(client: &Container, to: &str) -> io::Result<()> {
    let to = SocketAddr::new(to.parse().expect("an address"), 0);
    inside(&client.space, || {
        let (family, protocol, request, reply) = match to {
            SocketAddr::V4(_) => (AddressFamily::INET, rustix::net::ipproto::ICMP, 8, 0),
            SocketAddr::V6(_) => (AddressFamily::INET6, rustix::net::ipproto::ICMPV6, 128, 129),
        };
        let socket = rustix::net::socket(family, SocketType::RAW, Some(protocol))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        rustix::net::connect(&socket, &to)?;
        // Type, code, checksum, identifier and sequence; of IPv6 the kernel sums.
        let mut message = [request, 0, 0, 0, 0x53, 0x57, 0, 1];
        let sum = !(u16::from_be_bytes([request, 0]) + 0x5357 + 1);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        rustix::net::send(&socket, &message, SendFlags::empty())?;
        loop {
            let mut bytes = [0; 200];
            let (length, _) = rustix::net::recv(&socket, &mut bytes[..], RecvFlags::empty())?;
            let header = if to.is_ipv4() { 20 } else { 0 };
            if bytes[..length].get(header) == Some(&reply) {
                return Ok(());
            }
        }
    })
}
