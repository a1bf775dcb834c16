//! A stand-in for the engine's resolver: sockets in the namespace, and the NAT rules that
//! libnetwork makes (`resolver_unix.go`), by the same program in the same order.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, TXT};
use hickory_proto::rr::{RData, Record, RecordType};

use super::namespace::Namespace;

const LOOK: Duration = Duration::from_millis(20);
/// What this resolver, and no other, knows.
pub const OUTSIDE: &str = "203.0.113.9";

/// The resolver of an engine.
pub struct Engine {
    udp: u16,
    tcp: u16,
    asked: Arc<Mutex<Vec<String>>>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

// === impl Engine ===

impl Engine {
    /// Starts it, as for a new container.
    pub fn start(namespace: &Namespace) -> Self {
        let engine = Self::listen(namespace, Arc::default());
        for (chain, own) in [("OUTPUT", "DOCKER_OUTPUT"), ("POSTROUTING", "DOCKER_POSTROUTING")] {
            iptables(namespace, &format!("-N {own}"));
            iptables(namespace, &format!("-I {chain} -d 127.0.0.11 -j {own}"));
        }
        engine.lead(namespace);
        engine
    }

    /// Ends it and starts another one, as when an engine restarts below its containers.
    pub fn restart(self, namespace: &Namespace) -> Self {
        let asked = self.asked.clone();
        drop(self);
        let engine = Self::listen(namespace, asked);
        iptables(namespace, "-F DOCKER_OUTPUT");
        iptables(namespace, "-F DOCKER_POSTROUTING");
        engine.lead(namespace);
        engine
    }

    /// The names that it was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }

    fn listen(namespace: &Namespace, asked: Arc<Mutex<Vec<String>>>) -> Self {
        let here = (Ipv4Addr::new(127, 0, 0, 11), 0);
        let bind = || (UdpSocket::bind(here).expect("udp"), TcpListener::bind(here).expect("tcp"));
        let (udp, tcp) = namespace.within(bind);
        let port = |address: std::io::Result<SocketAddr>| address.expect("an address").port();
        let (udp_port, tcp_port) = (port(udp.local_addr()), port(tcp.local_addr()));
        let end: Arc<AtomicBool> = Arc::default();
        let (a, e) = (asked.clone(), end.clone());
        let (b, f) = (asked.clone(), end.clone());
        let threads = vec![
            thread::spawn(move || datagrams(&udp, &a, &e)),
            thread::spawn(move || streams(&tcp, &b, &f)),
        ];
        Self { udp: udp_port, tcp: tcp_port, asked, end, threads }
    }

    fn lead(&self, namespace: &Namespace) {
        for (protocol, port) in [("udp", self.udp), ("tcp", self.tcp)] {
            iptables(
                namespace,
                &format!(
                    "-I DOCKER_OUTPUT -d 127.0.0.11 -p {protocol} --dport 53 \
                     -j DNAT --to-destination 127.0.0.11:{port}"
                ),
            );
            iptables(
                namespace,
                &format!(
                    "-I DOCKER_POSTROUTING -s 127.0.0.11 -p {protocol} --sport {port} \
                     -j SNAT --to-source :53"
                ),
            );
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn iptables(namespace: &Namespace, rule: &str) {
    let words: Vec<_> =
        ["iptables", "-w", "-t", "nat"].into_iter().chain(rule.split_whitespace()).collect();
    namespace.must(&words);
}

fn datagrams(socket: &UdpSocket, asked: &Mutex<Vec<String>>, end: &AtomicBool) {
    socket.set_read_timeout(Some(LOOK)).expect("a timeout");
    let mut buffer = [0; 4_096];
    while !end.load(Ordering::Relaxed) {
        let Ok((size, peer)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..size], peer, false, asked) {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn streams(listener: &TcpListener, asked: &Mutex<Vec<String>>, end: &AtomicBool) {
    listener.set_nonblocking(true).expect("not blocking");
    while !end.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, peer)) => drop(stream_answered(stream, peer, asked)),
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn stream_answered(
    mut stream: TcpStream,
    peer: SocketAddr,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut size = [0; 2];
    stream.read_exact(&mut size)?;
    let mut query = vec![0; u16::from_be_bytes(size).into()];
    stream.read_exact(&mut query)?;
    let Some(answer) = answer(&query, peer, true, asked) else { return Ok(()) };
    let size = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&size.to_be_bytes(), &answer[..]].concat())
}

fn answer(
    query: &[u8],
    peer: SocketAddr,
    stream: bool,
    asked: &Mutex<Vec<String>>,
) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(query).ok()?;
    let query = message.queries.first()?.clone();
    let name = query.name().to_ascii();
    asked.lock().expect("no panic").push(name.trim_end_matches('.').to_owned());
    message.metadata.message_type = MessageType::Response;
    let outside = A(OUTSIDE.parse().expect("an address"));
    let data = match (&*name.to_ascii_lowercase(), query.query_type()) {
        ("mute.example.", _) => return None,
        ("outside.example.", RecordType::A) => vec![RData::A(outside)],
        ("outside.example.", RecordType::AAAA) => {
            vec![RData::AAAA(AAAA("2001:db8::9".parse().expect("an address")))]
        }
        ("outside.example.", _) => Vec::new(),
        ("peer.example.", _) => vec![RData::TXT(TXT::new(vec![peer.to_string()]))],
        ("large.example.", _) if stream => {
            (1..=100).map(|last| RData::A(A::new(203, 0, 113, last))).collect()
        }
        ("large.example.", _) => {
            message.metadata.truncation = true;
            Vec::new()
        }
        _ => {
            message.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
    };
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    message.add_answers(data.into_iter().map(record));
    message.to_vec().ok()
}
