//! Whether packets get to other nodes and back by VXLAN. Each is asked by ARP who has an
//! address that it has on its own device, as a host asks before it takes an address
//! (RFC 5227, 2.1.1): its kernel answers to the link-layer address that asked, neither side
//! notes anything, and rules of nftables for IP do not see it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type, socklen_t};

use crate::device::{Mac, tunnel_name};
use crate::namespace::Namespace;
use crate::{Desired, Error, Result};

/// How often a node is asked that does not answer.
const TRIES: u32 = 3;
/// How long all of them may take together.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nodes that are asked at a time…
const AT_A_TIME: usize = 64;
/// …and how long their answers alone are read, before others are asked.
const PAUSE: Duration = Duration::from_millis(5);

/// EtherType, and the protocol of the socket.
const ARP: u16 = 0x0806;
/// Of a frame of ARP for IPv4: what follows is padding.
const FRAME: usize = 42;
/// Hardware is Ethernet, the protocol IPv4, addresses have 6 and 4 bytes.
const FOR_IPV4: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

/// What came of asking other nodes through VXLAN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataPath {
    /// Numbers of nodes that answered.
    pub heard: BTreeSet<u16>,
    /// Nodes that did not, by number.
    pub silent: BTreeMap<u16, Silent>,
    /// VXLAN network identifiers by which this node's own kernel answers.
    pub answers: BTreeSet<u32>,
}

/// A node that was asked and did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Where its VXLAN ends.
    pub address: IpAddr,
    /// The UDP port of VXLAN.
    pub port: u16,
    /// The VXLAN network identifier by which it was asked.
    pub vni: u32,
}

/// Who is to be asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// This node's number.
    pub(crate) own: u16,
    /// Nodes, by number.
    pub(crate) asked: BTreeMap<u16, Asked>,
    /// See [`DataPath::answers`].
    pub(crate) answers: BTreeSet<u32>,
}

/// How a node is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The VXLAN device here.
    pub(crate) device: String,
    /// An address that the node has on its own.
    pub(crate) target: Ipv4Addr,
    /// Whom it concerns that there is no answer.
    pub(crate) silent: Silent,
}

// === impl Probe ===

impl Probe {
    /// Each node that has containers on a network of this one, by the first such network:
    /// the gateway's address is on each node's device. A network without IPv4 has none that
    /// ARP could ask for.
    pub(crate) fn of(desired: &Desired) -> Self {
        let own = desired.number;
        let mut probe = Self { own, asked: BTreeMap::new(), answers: BTreeSet::new() };
        for network in desired.networks.values() {
            let mut gateways = network.pools.iter().map(|pool| pool.gateway);
            let Some(target) = gateways.find_map(v4) else { continue };
            probe.answers.insert(network.vni);
            for number in network.elsewhere.values().filter(|number| **number != own) {
                let ends = desired.peers.get(number);
                let alike = ends.filter(|end| end.is_ipv4() == desired.address.is_ipv4());
                let Some(address) = alike else { continue };
                probe.asked.entry(*number).or_insert_with(|| Asked {
                    device: tunnel_name(network.vni),
                    target,
                    silent: Silent { address: *address, port: desired.port, vni: network.vni },
                });
            }
        }
        probe
    }

    /// Asks all of them.
    pub(crate) async fn ask(self, inside: &Namespace) -> Result<DataPath> {
        let mut path = DataPath { answers: self.answers.clone(), ..DataPath::default() };
        if self.asked.is_empty() {
            return Ok(path);
        }
        let failed = Error::kernel("asked", "other nodes by VXLAN");
        let (asked, heard) = inside
            .within(move || {
                let heard = self.exchange();
                (self.asked, heard)
            })
            .await?;
        path.heard = heard.map_err(failed)?;
        let silent = asked.into_iter().filter(|(number, _)| !path.heard.contains(number));
        path.silent = silent.map(|(number, asked)| (number, asked.silent)).collect();
        Ok(path)
    }

    /// Numbers of nodes that answered.
    fn exchange(&self) -> io::Result<BTreeSet<u16>> {
        let protocol = Protocol::from(i32::from(ARP.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        let mut ways = BTreeMap::new();
        for asked in self.asked.values() {
            if !ways.contains_key(asked.device.as_str()) {
                let index = name_to_index(&socket, &asked.device)?;
                ways.insert(asked.device.as_str(), by_device(index)?);
            }
        }
        let begun = Instant::now();
        let mut heard = BTreeSet::new();
        for attempt in 1..=TRIES {
            let all = self.asked.iter();
            let missing: Vec<_> = all.filter(|(number, _)| !heard.contains(*number)).collect();
            for some in missing.chunks(AT_A_TIME) {
                for (number, asked) in some {
                    let Some(way) = ways.get(asked.device.as_str()) else { continue };
                    socket.send_to(&question(self.own, **number, asked.target), way)?;
                }
                self.listen(&socket, Instant::now() + PAUSE, &mut heard)?;
            }
            self.listen(&socket, begun + PATIENCE * attempt / TRIES, &mut heard)?;
            if heard.len() == self.asked.len() {
                break;
            }
        }
        Ok(heard)
    }

    /// Until all have answered, or so long.
    fn listen(
        &self,
        mut socket: &Socket,
        until: Instant,
        heard: &mut BTreeSet<u16>,
    ) -> io::Result<()> {
        let mut frame = [0; 128];
        while heard.len() < self.asked.len() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Less than a microsecond would be for ever.
            socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match socket.read(&mut frame) {
                Ok(length) => {
                    let number = answerer(&frame[..length], self.own);
                    heard.extend(number.filter(|number| self.asked.contains_key(number)));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Who has an address: from nobody's, so that nobody notes it.
fn question(own: u16, number: u16, target: Ipv4Addr) -> [u8; FRAME] {
    let (from, to) = (Mac::of_node(own).0, Mac::of_node(number).0);
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&ARP.to_be_bytes());
    frame[14..20].copy_from_slice(&FOR_IPV4);
    frame[20..22].copy_from_slice(&REQUEST);
    frame[22..28].copy_from_slice(&from);
    frame[38..].copy_from_slice(&target.octets());
    frame
}

/// The number of the node that a frame is an answer of, to this one.
fn answerer(frame: &[u8], own: u16) -> Option<u16> {
    let frame = frame.get(..FRAME)?;
    let is_answer = frame[12..14] == ARP.to_be_bytes()
        && frame[14..20] == FOR_IPV4
        && frame[20..22] == REPLY
        && frame[32..38] == Mac::of_node(own).0;
    let number = u16::from_be_bytes([frame[26], frame[27]]);
    (is_answer && frame[22..28] == Mac::of_node(number).0).then_some(number)
}

/// Where a frame leaves.
#[allow(unsafe_code)]
fn by_device(index: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    let length = socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is a type of this platform for addresses of sockets.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = family;
    address.sll_protocol = ARP.to_be();
    address.sll_ifindex = index;
    // SAFETY: it has the family and the length of what was written.
    Ok(unsafe { SockAddr::new(storage, length) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use swarmw_model::{NetworkId, Pool};

    use super::*;
    use crate::DesiredNetwork;

    fn network(vni: u32, subnet: &str, elsewhere: &[(&str, u16)]) -> DesiredNetwork {
        let elsewhere =
            elsewhere.iter().map(|(task, node)| (task.parse().expect("an address"), *node));
        DesiredNetwork {
            vni,
            underlay_mtu: None,
            pools: vec![Pool::of(subnet.parse().expect("a subnet")).expect("room")],
            here: BTreeMap::new(),
            elsewhere: elsewhere.collect(),
            caught: BTreeSet::new(),
            balanced: BTreeMap::new(),
        }
    }

    /// What a kernel makes of a question.
    fn answered(question: &[u8], by: u16) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[..6].copy_from_slice(&question[6..12]);
        answer[6..12].copy_from_slice(&Mac::of_node(by).0);
        answer[20..22].copy_from_slice(&REPLY);
        answer[22..28].copy_from_slice(&Mac::of_node(by).0);
        answer[28..32].copy_from_slice(&question[38..]);
        answer[32..38].copy_from_slice(&question[22..28]);
        answer[38..].fill(0);
        answer
    }

    #[test]
    fn a_question_is_an_arp_probe_to_the_node_that_no_address_asks() {
        let question = question(1, 0x0203, Ipv4Addr::new(10, 1, 0, 1));
        let written: String = question.iter().map(|byte| format!("{byte:02x}")).collect();
        let wanted = "025357000203025357000001080600010800060400010253570000010000000000000000\
                      00000a010001";
        assert_eq!(written, wanted);
    }

    #[test]
    fn an_answer_is_of_the_node_whose_device_sent_it_and_to_this_one() {
        let question = question(1, 2, Ipv4Addr::new(10, 1, 0, 1));
        let answer = answered(&question, 2);
        assert_eq!(answerer(&answer, 1), Some(2));
        assert_eq!(answerer(&[answer.clone(), vec![0; 18]].concat(), 1), Some(2), "padded");
        assert_eq!(answerer(&answer, 3), None, "another node asked");
        assert_eq!(answerer(&question, 1), None, "a question is no answer");
        assert_eq!(answerer(&answer[..FRAME - 1], 1), None, "cut off");
        let mut of_container = answer;
        of_container[22..28].copy_from_slice(&[0x02, 0x42, 10, 1, 0, 2]);
        assert_eq!(answerer(&of_container, 1), None, "not the device of a node");
    }

    #[test]
    fn each_node_with_containers_on_a_network_of_ours_is_asked_once() {
        let end = |last: u8| IpAddr::from([192, 168, 9, last]);
        let six: IpAddr = "fd00::4".parse().expect("an address");
        let back = network(
            4097,
            "10.1.0.0/24",
            &[("10.1.0.5", 2), ("10.1.0.6", 2), ("10.1.0.7", 1), ("10.1.0.8", 4)],
        );
        let front = network(4098, "10.2.0.0/24", &[("10.2.0.5", 2), ("10.2.0.6", 3)]);
        let only_v6 = network(4099, "fd01::/64", &[("fd01::5", 5)]);
        let networks = [back, front, only_v6].into_iter().zip(1..);
        let desired = Desired {
            number: 1,
            address: end(1),
            port: 4789,
            peers: [(2, end(2)), (3, end(3)), (4, six), (5, end(5)), (6, end(6))].into(),
            networks: networks.map(|(of, id)| (NetworkId::from_bits(id), Arc::new(of))).collect(),
        };
        let probe = Probe::of(&desired);
        let asked: Vec<_> = probe
            .asked
            .iter()
            .map(|(number, asked)| (*number, asked.device.as_str(), asked.target, asked.silent))
            .collect();
        let silent = |last, vni| Silent { address: end(last), port: 4789, vni };
        let (ten, other) = (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 2, 0, 1));
        assert_eq!(
            asked,
            [(2, "vx4097", ten, silent(2, 4097)), (3, "vx4098", other, silent(3, 4098))],
            "not itself, not one of another family, none that only IPv6 leads to"
        );
        assert_eq!(probe.answers, [4097, 4098].into());
    }
}
