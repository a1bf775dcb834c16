//! What a [`Desired`] means in devices, addresses, routes and neighbours. What is read
//! from the kernel has the same shape, so the two can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::device::{Mac, next_hop, tunnel_name};
use crate::difference::{Short, Step};
use crate::{Desired, DesiredNetwork, Veth};

/// All of the router but its nftables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// By name.
    pub(crate) devices: BTreeMap<String, Device>,
    /// Addresses of the router's own, by device.
    pub(crate) addresses: BTreeSet<(String, IpNet)>,
    pub(crate) routes: BTreeMap<Destination, Way>,
    /// Who has the next hops, by device.
    pub(crate) neighbours: BTreeMap<(String, Ipv6Addr), Mac>,
    /// Where the others' VXLAN ends, by device.
    pub(crate) ends: BTreeMap<(String, Mac), IpAddr>,
    /// What cannot be done, and why, in sentences.
    pub(crate) impossible: BTreeSet<String>,
}

/// A device of the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The network's number: what is forwarded between devices of one group stays in it.
    pub(crate) group: u32,
    pub(crate) up: bool,
    pub(crate) kind: Kind,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Loopback,
    Veth,
    Tunnel(Tunnel),
    Other(String),
}

/// A VXLAN device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) ends: TunnelEnds,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
}

/// What cannot be changed while it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TunnelEnds {
    pub(crate) vni: u32,
    pub(crate) local: IpAddr,
    pub(crate) port: u16,
    pub(crate) learns: bool,
}

/// What a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    /// The routing table that it is in.
    pub(crate) table: u32,
    pub(crate) to: IpNet,
}

/// The main routing table, which all packets see.
pub(crate) const MAIN: u32 = 254;

/// The routing table of connections that are led to tasks of published ports elsewhere, and
/// the mark that their packets have until they leave: no others see its routes.
pub(crate) const LED: u32 = 0x535f_0000;

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a container here.
    Device(String),
    /// To a node.
    Node { device: String, hop: Ipv6Addr },
    /// Nowhere: an address of a network that nobody has.
    Unreachable,
    /// What this room makes none of.
    Other(String),
}

/// The MTU of networks, and of containers on them, over an underlay.
pub(crate) fn mtu_over(address: IpAddr, underlay: u32) -> u32 {
    let header = if address.is_ipv4() { 50 } else { 70 };
    // Less takes IPv6 from a device; what is too large is then cut in the underlay.
    underlay.saturating_sub(header).clamp(1280, 65_000)
}

// === impl Layout ===

impl Layout {
    /// What should be there; `mtu`: of the networks.
    pub(crate) fn of(desired: &Desired, mtu: u32) -> Self {
        let mut layout = Self::default();
        let loopback = Device { group: 0, up: true, kind: Kind::Loopback };
        layout.devices.insert("lo".to_owned(), loopback);
        for network in desired.networks.values() {
            layout.add(desired, network, mtu);
        }
        layout
    }

    fn add(&mut self, desired: &Desired, network: &DesiredNetwork, mtu: u32) {
        let name = tunnel_name(network.vni);
        let ends = TunnelEnds {
            vni: network.vni,
            local: desired.address,
            port: desired.port,
            learns: false,
        };
        let tunnel = Tunnel { ends, mac: Mac::of_node(desired.number), mtu };
        let device = Device { group: network.vni, up: true, kind: Kind::Tunnel(tunnel) };
        self.devices.insert(name.clone(), device);
        self.add_gateways(&name, network);
        for pool in &network.pools {
            self.routes.insert(pool.subnet.trunc().into(), Way::Unreachable);
        }
        for (address, number) in &network.elsewhere {
            self.add_elsewhere(desired, &name, *address, *number);
        }
        // Last: what is here is here.
        for (address, veth) in &network.here {
            let device = Device { group: network.vni, up: true, kind: Kind::Veth };
            self.devices.insert(veth.0.clone(), device);
            self.add_gateways(&veth.0, network);
            self.routes.insert((*address).into(), Way::Device(veth.0.clone()));
        }
    }

    pub(crate) fn add_gateways(&mut self, device: &str, network: &DesiredNetwork) {
        for pool in &network.pools {
            self.addresses.insert((device.to_owned(), pool.gateway.into()));
        }
    }

    fn add_elsewhere(&mut self, desired: &Desired, device: &str, address: IpAddr, number: u16) {
        // The node's own: its container is not linked yet. Unknown: told of soon.
        let Some(end) = desired.peers.get(&number).filter(|_| number != desired.number) else {
            return;
        };
        if end.is_ipv4() != desired.address.is_ipv4() {
            self.impossible.insert(format!(
                "node {number} cannot be reached: its data path address is {end}, this node's \
                 is {}, and both must be of one family",
                desired.address
            ));
            return;
        }
        let (hop, mac) = (next_hop(number), Mac::of_node(number));
        self.routes.insert(address.into(), Way::Node { device: device.to_owned(), hop });
        self.neighbours.insert((device.to_owned(), hop), mac);
        self.ends.insert((device.to_owned(), mac), *end);
    }

    /// Drops what the kernel drops with a device.
    pub(crate) fn forget(&mut self, device: &str) {
        self.devices.remove(device);
        self.forget_settled(device);
    }

    /// Drops what the kernel drops when a device goes down.
    pub(crate) fn forget_settled(&mut self, device: &str) {
        self.addresses.retain(|(of, _)| of != device);
        self.neighbours.retain(|(of, _), _| of != device);
        self.ends.retain(|(of, _), _| of != device);
        self.routes.retain(|_, way| way.device() != Some(device));
    }

    /// Drops links of containers that are not there, and takes over what is there besides.
    pub(crate) fn keep_to(&mut self, there: &Self) {
        for veth in self.veths().collect::<Vec<_>>() {
            if !there.devices.contains_key(&veth.0) {
                self.forget(&veth.0);
            }
        }
        for (name, device) in &there.devices {
            if device.kind == Kind::Veth && !self.devices.contains_key(name) {
                self.devices.insert(name.clone(), device.clone());
                let addresses = there.addresses.iter().filter(|(of, _)| of == name);
                self.addresses.extend(addresses.cloned());
            }
        }
    }

    /// What there is where two others have something, and all addresses of their devices.
    pub(crate) fn part(&self, others: &[Self; 2]) -> Self {
        let mut part = Self::default();
        for other in others {
            for (name, device) in some_of(&self.devices, &other.devices) {
                let nothing = (name.clone(), IpNet::default());
                let addresses = self.addresses.range(nothing..).take_while(|(of, _)| *of == name);
                part.addresses.extend(addresses.cloned());
                part.devices.insert(name, device);
            }
            part.routes.extend(some_of(&self.routes, &other.routes));
            part.neighbours.extend(some_of(&self.neighbours, &other.neighbours));
            part.ends.extend(some_of(&self.ends, &other.ends));
        }
        part
    }

    /// Puts something in the place of a part.
    pub(crate) fn replace(&mut self, part: &Self, by: Self) {
        for name in part.devices.keys() {
            self.devices.remove(name);
        }
        for address in &part.addresses {
            self.addresses.remove(address);
        }
        for to in part.routes.keys() {
            self.routes.remove(to);
        }
        for hop in part.neighbours.keys() {
            self.neighbours.remove(hop);
        }
        for mac in part.ends.keys() {
            self.ends.remove(mac);
        }
        self.devices.extend(by.devices);
        self.addresses.extend(by.addresses);
        self.routes.extend(by.routes);
        self.neighbours.extend(by.neighbours);
        self.ends.extend(by.ends);
    }

    /// The container's link that a step is about.
    pub(crate) fn veth_of(&self, step: &Step) -> Option<String> {
        let name = step.device()?;
        let device = self.devices.get(name).filter(|device| device.kind == Kind::Veth);
        device.map(|_| name.to_owned())
    }

    /// Containers' links.
    pub(crate) fn veths(&self) -> impl Iterator<Item = Veth> {
        let of_containers = self.devices.iter().filter(|(_, device)| device.kind == Kind::Veth);
        of_containers.map(|(name, _)| Veth(name.clone()))
    }
}

// === impl Destination ===

/// Of the main table.
impl From<IpNet> for Destination {
    fn from(to: IpNet) -> Self {
        Self { table: MAIN, to }
    }
}

/// Of the main table.
impl From<IpAddr> for Destination {
    fn from(to: IpAddr) -> Self {
        IpNet::from(to).into()
    }
}

/// An address of one host without its prefix.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Short(&self.to))?;
        if self.table == MAIN { Ok(()) } else { write!(f, " of table {:#x}", self.table) }
    }
}

/// What there is at the keys of another.
fn some_of<K: Ord + Clone, V: Clone>(
    all: &BTreeMap<K, V>,
    keys: &BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> {
    keys.keys().filter_map(|key| Some((key.clone(), all.get(key)?.clone())))
}

// === impl Device ===

impl Device {
    /// Whether it has another link-layer address: the kernel forgets its neighbours when
    /// that changes.
    pub(crate) fn is_otherwise(&self, wanted: &Self) -> bool {
        match (&self.kind, &wanted.kind) {
            (Kind::Tunnel(there), Kind::Tunnel(wanted)) => there.mac != wanted.mac,
            _ => false,
        }
    }
}

// === impl Way ===

impl Way {
    pub(crate) fn device(&self) -> Option<&str> {
        match self {
            Self::Device(device) | Self::Node { device, .. } => Some(device),
            Self::Unreachable | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "to {device}"),
            Self::Node { device, hop } => write!(f, "to {device} via {hop}"),
            Self::Unreachable => f.write_str("nowhere"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

// === impl Kind ===

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("the loopback"),
            Self::Veth => f.write_str("a veth"),
            Self::Tunnel(tunnel) => {
                let TunnelEnds { vni, local, port, learns } = &tunnel.ends;
                write!(f, "VXLAN {vni} of {local} port {port}")?;
                if *learns { f.write_str(" that learns") } else { Ok(()) }
            }
            Self::Other(kind) => write!(f, "a device of kind {kind}"),
        }
    }
}
