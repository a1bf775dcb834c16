//! What the router has, read from the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::device::Mac;
use crate::layout::{Destination, Device, Kind, LED, Layout, MAIN, Tunnel, TunnelEnds, Way};
use crate::router::Router;
use crate::settings::SETTINGS;
use crate::{Error, Result};

/// Names of devices, by number.
type Names = BTreeMap<u32, String>;

// === impl Router ===

impl Router {
    /// All of it but nftables.
    pub(crate) async fn read(&mut self) -> Result<Layout> {
        let mut layout = Layout::default();
        self.indexes.clear();
        let mut names = Names::new();
        for message in self.all("devices", get_link()).await? {
            let RouteNetlinkMessage::NewLink(link) = message else { continue };
            let Some((name, device)) = device(&link) else { continue };
            self.indexes.insert(name.clone(), link.header.index);
            names.insert(link.header.index, name.clone());
            layout.devices.insert(name, device);
        }
        for message in self.all("addresses", get_address()).await? {
            let RouteNetlinkMessage::NewAddress(message) = message else { continue };
            layout.addresses.extend(address(&message, &names));
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for message in self.all("routes", get_route(family)).await? {
                let RouteNetlinkMessage::NewRoute(message) = message else { continue };
                layout.routes.extend(route(&message, &names));
            }
        }
        for family in [AddressFamily::Inet6, AddressFamily::Bridge] {
            for message in self.all("neighbours", get_neighbour(family)).await? {
                let RouteNetlinkMessage::NewNeighbour(message) = message else { continue };
                take_neighbour(&mut layout, &message, &names);
            }
        }
        Ok(layout)
    }

    async fn all(
        &self,
        what: &'static str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        let failed = Error::kernel("read", format!("the router's {what}"));
        self.links.dump(message).await.map_err(failed)
    }

    /// Kernel settings that are not as they should be: their places, and what they are.
    pub(crate) async fn unlike_settings(&self) -> Result<Vec<(usize, String)>> {
        self.inside
            .within(|| {
                let read = SETTINGS.iter().enumerate().map(|(place, setting)| {
                    let value = std::fs::read_to_string(setting.path());
                    (place, value.map_or_else(|e| e.to_string(), |v| v.trim().to_owned()))
                });
                read.filter(|(place, value)| SETTINGS[*place].value != value).collect()
            })
            .await
    }
}

fn get_link() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetLink(LinkMessage::default())
}

fn get_address() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

fn get_route(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    RouteNetlinkMessage::GetRoute(message)
}

fn get_neighbour(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetNeighbour(message)
}

fn device(link: &LinkMessage) -> Option<(String, Device)> {
    let mut name = None;
    let mut group = 0;
    let mut mtu = 0;
    let mut mac = Mac([0; 6]);
    let mut kind = Kind::Other("physical".to_owned());
    let mut info: &[LinkInfo] = &[];
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(said) => name = Some(said.clone()),
            LinkAttribute::Group(said) => group = *said,
            LinkAttribute::Mtu(said) => mtu = *said,
            LinkAttribute::Address(said) => mac = link_layer(said).unwrap_or(mac),
            LinkAttribute::LinkInfo(said) => info = said,
            _ => {}
        }
    }
    for said in info {
        match said {
            LinkInfo::Kind(InfoKind::Veth) => kind = Kind::Veth,
            LinkInfo::Kind(InfoKind::Vxlan) => {}
            LinkInfo::Kind(other) => kind = Kind::Other(other.to_string()),
            LinkInfo::Data(InfoData::Vxlan(said)) => {
                kind = Kind::Tunnel(Tunnel { ends: tunnel_ends(said), mac, mtu });
            }
            _ => {}
        }
    }
    if link.header.flags.contains(LinkFlags::Loopback) {
        kind = Kind::Loopback;
    }
    let up = link.header.flags.contains(LinkFlags::Up);
    Some((name?, Device { group, up, kind }))
}

fn tunnel_ends(said: &[InfoVxlan]) -> TunnelEnds {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut ends = TunnelEnds { vni: 0, local: nowhere, port: 0, learns: true };
    for said in said {
        match said {
            InfoVxlan::Id(vni) => ends.vni = *vni,
            InfoVxlan::Local(local) => ends.local = (*local).into(),
            InfoVxlan::Local6(local) => ends.local = (*local).into(),
            InfoVxlan::Port(port) => ends.port = *port,
            InfoVxlan::Learning(learns) => ends.learns = *learns,
            _ => {}
        }
    }
    ends
}

/// Addresses that this room gives; those that the kernel gives by itself are left out.
fn address(message: &AddressMessage, names: &Names) -> Option<(String, IpNet)> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(of) => address = address.or(Some(*of)),
            _ => {}
        }
    }
    let address = address.filter(|address| !address.is_loopback() && !is_link_local(address))?;
    let prefixed = IpNet::new(address, message.header.prefix_len).ok()?;
    Some((names.get(&message.header.index)?.clone(), prefixed))
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Routes of the tables that this room has routes in; the kernel's own are left out.
fn route(message: &RouteMessage, names: &Names) -> Option<(Destination, Way)> {
    let header = &message.header;
    if header.protocol == RouteProtocol::Kernel {
        return None;
    }
    let mut table = u32::from(header.table);
    let mut to = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let (mut device, mut hop, mut strange) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => to = (*address).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => to = (*address).into(),
            RouteAttribute::Oif(index) => device = names.get(index).cloned(),
            RouteAttribute::Via(RouteVia::Inet6(via)) => hop = Some(*via),
            RouteAttribute::Gateway(RouteAddress::Inet6(via)) => hop = Some(*via),
            RouteAttribute::Gateway(RouteAddress::Inet(via)) => {
                strange = Some(format!("to {via}"));
            }
            RouteAttribute::Table(said) => table = *said,
            RouteAttribute::MultiPath(_) => strange = Some("several ways".to_owned()),
            _ => {}
        }
    }
    if ![MAIN, LED].contains(&table) {
        return None;
    }
    let to = Destination { table, to: IpNet::new(to, header.destination_prefix_length).ok()? };
    let way = match (header.kind, device, hop) {
        _ if strange.is_some() => Way::Other(strange.unwrap_or_default()),
        (RouteType::Unreachable, ..) => Way::Unreachable,
        (RouteType::Unicast, Some(device), None) => Way::Device(device),
        (RouteType::Unicast, Some(device), Some(hop)) => Way::Node { device, hop },
        (kind, ..) => Way::Other(format!("as {kind:?}")),
    };
    Some((to, way))
}

/// Permanent neighbours on VXLAN devices, and where others' VXLAN ends: of those the devices
/// learn none by themselves.
fn take_neighbour(layout: &mut Layout, message: &NeighbourMessage, names: &Names) {
    let Some(device) = names.get(&message.header.ifindex) else { return };
    let is_tunnel = |device: &Device| matches!(device.kind, Kind::Tunnel(_));
    if !layout.devices.get(device).is_some_and(is_tunnel) {
        return;
    }
    let is_permanent = message.header.state == NeighbourState::Permanent;
    let (mut to, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(address) => to = of_neighbour(address),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = link_layer(bytes),
            _ => {}
        }
    }
    match (message.header.family, to, mac) {
        (AddressFamily::Inet6, Some(IpAddr::V6(hop)), Some(mac)) if is_permanent => {
            layout.neighbours.insert((device.clone(), hop), mac);
        }
        (AddressFamily::Bridge, Some(end), Some(mac)) => {
            layout.ends.insert((device.clone(), mac), end);
        }
        _ => {}
    }
}

fn of_neighbour(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some((*address).into()),
        NeighbourAddress::Inet6(address) => Some((*address).into()),
        // Of a forwarding table: the message does not say which family.
        NeighbourAddress::Other(bytes) => match bytes.len() {
            4 => Some(<[u8; 4]>::try_from(&bytes[..]).ok()?.into()),
            16 => Some(<[u8; 16]>::try_from(&bytes[..]).ok()?.into()),
            _ => None,
        },
        _ => None,
    }
}

fn link_layer(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}
