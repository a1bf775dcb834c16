//! From what is there to what should be, step by step.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::beside::unlike;
use crate::device::Mac;
use crate::drift::Drift;
use crate::layout::{Destination, Device, Kind, Layout, Way};

/// One thing to do. What is found there instead says how it came to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    RemoveDevice { name: String, device: Device },
    AddTunnel { name: String, device: Device },
    SetDevice { name: String, device: Device, found: Device },
    RemoveRoute { to: Destination, way: Way },
    RemoveNeighbour { device: String, hop: Ipv6Addr, mac: Mac },
    RemoveEnd { device: String, mac: Mac, end: IpAddr },
    RemoveAddress { device: String, address: IpNet },
    AddAddress { device: String, address: IpNet },
    SetEnd { device: String, mac: Mac, end: IpAddr, found: Option<IpAddr> },
    SetNeighbour { device: String, hop: Ipv6Addr, mac: Mac, found: Option<Mac> },
    SetRoute { to: Destination, way: Way, found: Option<Way> },
}

/// Steps, and what no step can help.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) steps: Vec<Step>,
    pub(crate) lost: Vec<Drift>,
}

/// What leads from one layout to another, in an order that works: devices first, routes
/// last.
pub(crate) fn difference(found: &Layout, wanted: &Layout) -> Difference {
    let mut difference = Difference::default();
    difference.lost.extend(wanted.impossible.iter().map(Drift::lost));
    let (found, wanted) = devices(found, wanted, &mut difference);

    let steps = &mut difference.steps;
    for (to, way) in gone(&found.routes, &wanted.routes) {
        steps.push(Step::RemoveRoute { to, way });
    }
    for ((device, hop), mac) in gone(&found.neighbours, &wanted.neighbours) {
        steps.push(Step::RemoveNeighbour { device, hop, mac });
    }
    for ((device, mac), end) in gone(&found.ends, &wanted.ends) {
        steps.push(Step::RemoveEnd { device, mac, end });
    }
    for (device, address) in found.addresses.difference(&wanted.addresses).cloned() {
        steps.push(Step::RemoveAddress { device, address });
    }
    for (device, address) in wanted.addresses.difference(&found.addresses).cloned() {
        steps.push(Step::AddAddress { device, address });
    }
    for ((device, mac), end, found) in new(&found.ends, &wanted.ends) {
        steps.push(Step::SetEnd { device, mac, end, found });
    }
    for ((device, hop), mac, found) in new(&found.neighbours, &wanted.neighbours) {
        steps.push(Step::SetNeighbour { device, hop, mac, found });
    }
    for (to, way, found) in new(&found.routes, &wanted.routes) {
        steps.push(Step::SetRoute { to, way, found });
    }
    difference
}

/// Devices; what goes with one that goes is no step of its own. What is left to do is
/// between the two that are returned.
fn devices<'a>(
    found: &'a Layout,
    wanted: &'a Layout,
    difference: &mut Difference,
) -> (Cow<'a, Layout>, Cow<'a, Layout>) {
    let (mut left, mut due) = (Cow::Borrowed(found), Cow::Borrowed(wanted));
    for (name, device) in &found.devices {
        if !stays(device, wanted.devices.get(name)) {
            left.to_mut().forget(name);
            let (name, device) = (name.clone(), device.clone());
            difference.steps.push(Step::RemoveDevice { name, device });
        } else if !wanted.devices.contains_key(name) {
            // With the addresses that it was made with.
            left.to_mut().addresses.retain(|(of, _)| of != name);
        }
    }
    for (name, device) in &wanted.devices {
        let there = left.devices.get(name).cloned();
        match (there, &device.kind) {
            (Some(there), _) if there == *device => {}
            (Some(found), _) => {
                if !found.up || found.is_otherwise(device) {
                    left.to_mut().forget_settled(name);
                }
                let (name, device) = (name.clone(), device.clone());
                difference.steps.push(Step::SetDevice { name, device, found });
            }
            (None, Kind::Tunnel(_)) => {
                let (name, device) = (name.clone(), device.clone());
                difference.steps.push(Step::AddTunnel { name, device });
            }
            (None, _) => {
                due.to_mut().forget(name);
                difference.lost.push(Drift::lost_link(name));
            }
        }
    }
    (left, due)
}

/// Whether a device may stay, perhaps with other settings.
fn stays(device: &Device, wanted: Option<&Device>) -> bool {
    match (&device.kind, wanted.map(|device| &device.kind)) {
        (Kind::Tunnel(there), Some(Kind::Tunnel(wanted))) => there.ends == wanted.ends,
        (there, Some(wanted)) => there == wanted,
        (Kind::Tunnel(_), None) => false,
        // A container may be about to get the veth, or have it still: whoever made it
        // removes it. Devices of other kinds the kernel puts into each namespace.
        (Kind::Veth | Kind::Loopback | Kind::Other(_), None) => true,
    }
}

fn gone<K: Ord + Clone, V: Clone + PartialEq>(
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> Vec<(K, V)> {
    let surplus = unlike(found, wanted).filter(|(_, _, wanted)| wanted.is_none());
    surplus.filter_map(|(key, found, _)| Some((key.clone(), found?.clone()))).collect()
}

/// What is to be made or replaced, with what is there.
fn new<K: Ord + Clone, V: Clone + PartialEq>(
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> Vec<(K, V, Option<V>)> {
    let missing = unlike(found, wanted);
    missing
        .filter_map(|(key, found, wanted)| Some((key.clone(), wanted?.clone(), found.cloned())))
        .collect()
}

// === impl Step ===

impl Step {
    /// The device it is about.
    pub(crate) fn device(&self) -> Option<&str> {
        match self {
            Self::RemoveDevice { name, .. }
            | Self::AddTunnel { name, .. }
            | Self::SetDevice { name, .. } => Some(name),
            Self::RemoveNeighbour { device, .. }
            | Self::RemoveEnd { device, .. }
            | Self::RemoveAddress { device, .. }
            | Self::AddAddress { device, .. }
            | Self::SetEnd { device, .. }
            | Self::SetNeighbour { device, .. } => Some(device),
            Self::RemoveRoute { way, .. } | Self::SetRoute { way, .. } => way.device(),
        }
    }
}

/// As what is wrong.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveDevice { name, device } => {
                write!(f, "device {name} is too much: {}", device.kind)
            }
            Self::AddTunnel { name, .. } => write!(f, "device {name} is missing"),
            Self::SetDevice { name, device, found } => {
                write!(f, "device {name} {}", how_unlike(device, found))
            }
            Self::RemoveRoute { to, way } => {
                write!(f, "route to {to} is too much: it leads {way}")
            }
            Self::RemoveNeighbour { device, hop, .. } => {
                write!(f, "neighbour {hop} on {device} is too much")
            }
            Self::RemoveEnd { device, mac, end } => {
                write!(f, "forwarding entry {mac} to {end} on {device} is too much")
            }
            Self::RemoveAddress { device, address } => {
                write!(f, "address {} on {device} is too much", Short(address))
            }
            Self::AddAddress { device, address } => {
                write!(f, "address {} on {device} is missing", Short(address))
            }
            Self::SetEnd { device, mac, end, found: None } => {
                write!(f, "forwarding entry {mac} to {end} on {device} is missing")
            }
            Self::SetEnd { device, mac, end, found: Some(found) } => {
                write!(f, "forwarding entry {mac} on {device} leads to {found}, not {end}")
            }
            Self::SetNeighbour { device, hop, found: None, .. } => {
                write!(f, "neighbour {hop} on {device} is missing")
            }
            Self::SetNeighbour { device, hop, mac, found: Some(found) } => {
                write!(f, "neighbour {hop} on {device} is {found}, not {mac}")
            }
            Self::SetRoute { to, found: None, .. } => {
                write!(f, "route to {to} is missing")
            }
            Self::SetRoute { to, way, found: Some(found) } => {
                write!(f, "route to {to} leads {found}, not {way}")
            }
        }
    }
}

/// An address of one host without its prefix.
pub(crate) struct Short<'a>(pub(crate) &'a IpNet);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

fn how_unlike(wanted: &Device, found: &Device) -> String {
    if found.up != wanted.up {
        return "is down".to_owned();
    }
    if found.group != wanted.group {
        return format!("is of group {}, not {}", found.group, wanted.group);
    }
    match (&wanted.kind, &found.kind) {
        (Kind::Tunnel(wanted), Kind::Tunnel(found)) if wanted.mtu != found.mtu => {
            format!("has MTU {}, not {}", found.mtu, wanted.mtu)
        }
        (Kind::Tunnel(wanted), Kind::Tunnel(found)) => {
            format!("has link-layer address {}, not {}", found.mac, wanted.mac)
        }
        (wanted, found) => format!("is {found}, not {wanted}"),
    }
}

#[cfg(test)]
mod tests;
