//! Steps, done in the kernel.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope,
};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::device::Mac;
use crate::difference::Step;
use crate::layout::{Destination, Device, Kind, Way};
use crate::netlink::Mode;
use crate::router::{ENODEV, Router};
use crate::settings::SETTINGS;
use crate::{Error, Result, Veth};

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EEXIST: i32 = 17;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;

/// What the kernel says of what is gone already.
const GONE: [i32; 4] = [ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL];

// === impl Router ===

impl Router {
    /// Does one step. What is to be removed may be gone.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::RemoveDevice { name, .. } => self.remove_device(name).await,
            Step::AddTunnel { name, device } => self.add_tunnel(name, device).await,
            Step::SetDevice { name, device, found } => self.set_device(name, device, found).await,
            Step::RemoveRoute { to, way } => gone(self.remove_route(*to, way).await),
            Step::SetRoute { to, way, .. } => self.set_route(*to, way).await,
            Step::RemoveNeighbour { device, hop, mac } => {
                let message = self.neighbour(device, *hop, *mac).await;
                gone(self.ask_neighbour(message, *hop, Mode::Change).await)
            }
            Step::SetNeighbour { device, hop, mac, .. } => {
                let message = self.neighbour(device, *hop, *mac).await;
                self.ask_neighbour(message, *hop, Mode::Replace).await
            }
            Step::RemoveEnd { device, mac, end } => {
                let message = self.end(device, *mac, *end).await;
                gone(self.ask_neighbour(message, *mac, Mode::Change).await)
            }
            Step::SetEnd { device, mac, end, .. } => {
                let message = self.end(device, *mac, *end).await;
                self.ask_neighbour(message, *mac, Mode::Replace).await
            }
            Step::RemoveAddress { device, address } => {
                gone(self.address(device, *address, Mode::Change).await)
            }
            Step::AddAddress { device, address } => {
                self.address(device, *address, Mode::Replace).await
            }
        }
    }

    /// Writes settings, by their places.
    pub(crate) async fn set(&self, places: Vec<usize>) -> Result<()> {
        let written = self.inside.within(move || {
            for setting in places.into_iter().filter_map(|place| SETTINGS.get(place)) {
                let (key, value) = (setting.key, setting.value);
                std::fs::write(setting.path(), value).map_err(|source| Error::Setting {
                    key: key.to_owned(),
                    value,
                    source,
                })?;
            }
            Ok(())
        });
        written.await?
    }

    /// Makes the two ends of a container's link, if they are not there: one here, the other
    /// in the node's own namespace.
    pub(crate) async fn add_veth(&mut self, veth: &Veth, group: u32, mtu: u32) -> Result<bool> {
        let mut other = LinkMessage::default();
        other.attributes = vec![
            LinkAttribute::IfName(veth.other_end()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NetNsFd(self.machine.space.descriptor()),
        ];
        self.add_veth_with(veth, group, mtu, other).await
    }

    /// The same with another end, wherever that says it is. Whether it was made.
    pub(crate) async fn add_veth_with(
        &mut self,
        veth: &Veth,
        group: u32,
        mtu: u32,
        other: LinkMessage,
    ) -> Result<bool> {
        let name = veth.checked()?;
        match self.index(name).await {
            Ok(_) => return Ok(false),
            Err(error) if error.errno() == Some(ENODEV) => {}
            Err(error) => return Err(error),
        }
        let mut message = up();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Group(group),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
            ]),
        ];
        let failed = Error::kernel("made", format!("link {name} of a container"));
        let made = self.links.ask(RouteNetlinkMessage::NewLink(message), Mode::Make).await;
        made.map_err(failed).map(|()| true)
    }

    pub(crate) async fn remove_device(&mut self, name: &str) -> Result<()> {
        let removed = async {
            let mut message = LinkMessage::default();
            message.header.index = self.index(name).await?;
            let asked = self.links.ask(RouteNetlinkMessage::DelLink(message), Mode::Change).await;
            asked.map_err(Error::kernel("removed", format!("device {name}")))
        };
        let removed = gone(removed.await);
        self.indexes.remove(name);
        removed
    }

    /// A VXLAN device in the router whose packets leave by the node's own namespace: it is
    /// asked for there.
    async fn add_tunnel(&mut self, name: &str, device: &Device) -> Result<()> {
        let Kind::Tunnel(tunnel) = &device.kind else { return Ok(()) };
        let ends = &tunnel.ends;
        let local = match ends.local {
            IpAddr::V4(local) => InfoVxlan::Local(local),
            IpAddr::V6(local) => InfoVxlan::Local6(local),
        };
        let said = vec![
            InfoVxlan::Id(ends.vni),
            local,
            InfoVxlan::Port(ends.port),
            InfoVxlan::Learning(ends.learns),
        ];
        let mut message = up();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::NetNsFd(self.inside.descriptor()),
            LinkAttribute::Group(device.group),
            LinkAttribute::Mtu(tunnel.mtu),
            LinkAttribute::Address(tunnel.mac.0.to_vec()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vxlan),
                LinkInfo::Data(InfoData::Vxlan(said)),
            ]),
        ];
        self.indexes.remove(name);
        let links = &self.machine.links;
        let made = links.ask(RouteNetlinkMessage::NewLink(message), Mode::Make).await;
        made.map_err(|error| match error.raw_os_error() {
            Some(EADDRINUSE) => Error::PortTaken { port: ends.port },
            Some(EEXIST) => Error::NumberTaken { vni: ends.vni, port: ends.port },
            _ => Error::kernel("made", format!("device {name}"))(error),
        })
    }

    /// Says only what is otherwise: the kernel forgets neighbours with every link-layer
    /// address that it is given.
    async fn set_device(&mut self, name: &str, device: &Device, found: &Device) -> Result<()> {
        let mut message = up();
        message.header.index = self.index(name).await?;
        if found.group != device.group {
            message.attributes.push(LinkAttribute::Group(device.group));
        }
        if let (Kind::Tunnel(tunnel), Kind::Tunnel(found)) = (&device.kind, &found.kind) {
            if found.mtu != tunnel.mtu {
                message.attributes.push(LinkAttribute::Mtu(tunnel.mtu));
            }
            if found.mac != tunnel.mac {
                message.attributes.push(LinkAttribute::Address(tunnel.mac.0.to_vec()));
            }
        }
        let asked = self.links.ask(RouteNetlinkMessage::SetLink(message), Mode::Change).await;
        asked.map_err(Error::kernel("set", format!("device {name}")))
    }

    async fn set_route(&mut self, to: Destination, way: &Way) -> Result<()> {
        let mut message = route(to);
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        match way {
            Way::Device(device) => {
                message.header.scope = RouteScope::Link;
                message.attributes.push(RouteAttribute::Oif(self.index(device).await?));
            }
            Way::Node { device, hop } => {
                message.attributes.push(RouteAttribute::Oif(self.index(device).await?));
                message.attributes.push(match to.to {
                    IpNet::V4(_) => RouteAttribute::Via(RouteVia::Inet6(*hop)),
                    IpNet::V6(_) => RouteAttribute::Gateway((*hop).into()),
                });
            }
            Way::Unreachable | Way::Other(_) => message.header.kind = RouteType::Unreachable,
        }
        let asked = self.links.ask(RouteNetlinkMessage::NewRoute(message), Mode::Replace).await;
        asked.map_err(Error::kernel("made", format!("route to {to}")))
    }

    async fn remove_route(&mut self, to: Destination, way: &Way) -> Result<()> {
        let mut message = route(to);
        // Whatever it is.
        message.header.scope = RouteScope::NoWhere;
        if let Some(device) = way.device() {
            message.attributes.push(RouteAttribute::Oif(self.index(device).await?));
        }
        let asked = self.links.ask(RouteNetlinkMessage::DelRoute(message), Mode::Change).await;
        asked.map_err(Error::kernel("removed", format!("route to {to}")))
    }

    async fn address(&mut self, device: &str, address: IpNet, mode: Mode) -> Result<()> {
        let what = format!("address {address} on {device}");
        let mut message = address_on(self.index(device).await?, address);
        if mode == Mode::Change {
            let asked = RouteNetlinkMessage::DelAddress(message);
            return self.links.ask(asked, mode).await.map_err(Error::kernel("removed", what));
        }
        message.attributes.push(leads_nowhere());
        let asked = RouteNetlinkMessage::NewAddress(message);
        self.links.ask(asked, mode).await.map_err(Error::kernel("added", what))
    }

    /// Who has a next hop.
    async fn neighbour(
        &mut self,
        device: &str,
        hop: Ipv6Addr,
        mac: Mac,
    ) -> Result<NeighbourMessage> {
        let mut message = self.permanent(device, mac).await?;
        message.header.family = AddressFamily::Inet6;
        message.attributes.push(NeighbourAttribute::Destination(hop.into()));
        Ok(message)
    }

    /// Where another node's VXLAN ends.
    async fn end(&mut self, device: &str, mac: Mac, end: IpAddr) -> Result<NeighbourMessage> {
        let mut message = self.permanent(device, mac).await?;
        message.header.family = AddressFamily::Bridge;
        message.header.flags = NeighbourFlags::Own;
        message.attributes.push(NeighbourAttribute::Destination(end.into()));
        Ok(message)
    }

    async fn permanent(&mut self, device: &str, mac: Mac) -> Result<NeighbourMessage> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = self.index(device).await?;
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        Ok(message)
    }

    async fn ask_neighbour(
        &self,
        message: Result<NeighbourMessage>,
        what: impl std::fmt::Display,
        mode: Mode,
    ) -> Result<()> {
        let message = message?;
        let (act, asked) = match mode {
            Mode::Change => ("removed", RouteNetlinkMessage::DelNeighbour(message)),
            _ => ("made", RouteNetlinkMessage::NewNeighbour(message)),
        };
        let failed = Error::kernel(act, format!("neighbour {what}"));
        self.links.ask(asked, mode).await.map_err(failed)
    }
}

pub(crate) fn address_on(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.addr());
    message.header.prefix_len = address.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
    message
}

/// Others may have the address, and routes are made beside it.
pub(crate) fn leads_nowhere() -> AddressAttribute {
    AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute)
}

/// A link that is up, or will be.
pub(crate) fn up() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
    message
}

fn route(Destination { table, to }: Destination) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(to.addr());
    message.header.destination_prefix_length = to.prefix_len();
    // The header has only a byte for it.
    message.attributes.push(RouteAttribute::Table(table));
    message.attributes.push(RouteAttribute::Destination(to.addr().into()));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// What is gone is removed.
fn gone(removed: Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.errno().is_some_and(|errno| GONE.contains(&errno)) => Ok(()),
        removed => removed,
    }
}
