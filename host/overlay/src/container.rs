//! Routes in containers: to their networks, by way of the gateway and nothing else. And links
//! of containers that somebody took away.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use swarmw_model::Pool;

use crate::doing::{address_on, leads_nowhere, up};
use crate::namespace::Namespace;
use crate::netlink::{Mode, Netlink};
use crate::router::{ENODEV, index_of};
use crate::{Error, Result};

/// A route that a container needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRoute {
    /// Where to.
    pub to: IpNet,
    /// The gateway; none: it is on the link itself.
    pub via: Option<IpAddr>,
}

/// The routes of a container with these addresses on a network with these pools, in the
/// order in which a kernel takes them.
///
/// The engine gives a container its address with the prefix of its subnet, as if all of it
/// were on the link. The two halves of the subnet are more special than that: so the
/// container asks the link for nobody but the gateway. Other subnets of the network (it has
/// grown, or has both families) have one route each.
pub fn routes_of(pools: &[Pool], addresses: &[IpAddr]) -> Vec<ContainerRoute> {
    let own: Vec<_> = pools.iter().filter(|pool| holds(pool, addresses)).collect();
    // IPv6 wants the gateway itself on the link before anything goes by way of it.
    let on_link = own.iter().map(|p| ContainerRoute { to: p.gateway.into(), via: None });
    let mut routes: Vec<_> = on_link.collect();
    for pool in pools {
        let of_family = |own: &&&Pool| own.gateway.is_ipv4() == pool.gateway.is_ipv4();
        let by_way_of = match own.iter().find(|own| own.subnet == pool.subnet) {
            Some(own) => Some(own.gateway),
            None => own.iter().find(of_family).map(|own| own.gateway),
        };
        let Some(gateway) = by_way_of else { continue };
        let subnet = pool.subnet.trunc();
        let parts = if holds(pool, addresses) { halves(subnet) } else { vec![subnet] };
        routes.extend(parts.into_iter().map(|to| ContainerRoute { to, via: Some(gateway) }));
    }
    routes
}

fn holds(pool: &Pool, addresses: &[IpAddr]) -> bool {
    addresses.iter().any(|address| pool.subnet.contains(address))
}

fn halves(subnet: IpNet) -> Vec<IpNet> {
    // A subnet of one address has none.
    subnet.subnets(subnet.prefix_len() + 1).map_or_else(|_| vec![subnet], Iterator::collect)
}

/// The end of a link that is to be in a container.
#[derive(Clone, Copy, Debug)]
pub struct ContainerEnd<'c> {
    /// The container's network namespace.
    pub sandbox: &'c Path,
    /// What its interfaces are called, with the first number that is free.
    pub prefix: &'c str,
    /// The addresses there, with the prefixes of their subnets.
    pub addresses: &'c [IpNet],
    /// The link-layer address; none: the kernel chooses.
    pub mac: Option<[u8; 6]>,
}

/// Interfaces of a container of one name that are looked for.
const INTERFACES_MAX: usize = 1_000;

/// Gives a living container the routes of its network, as it is now: it has grown. How
/// many there were to give is not said: those that are there are made again.
pub async fn extend(sandbox: &Path, pools: &[Pool], addresses: &[IpAddr]) -> Result<()> {
    Container::open(sandbox).await?.extend(pools, addresses).await
}

/// A container's network namespace, as it is entered.
pub(crate) struct Container<'c> {
    sandbox: &'c Path,
    space: Namespace,
    links: Netlink,
}

// === impl Container ===

impl<'c> Container<'c> {
    pub(crate) async fn open(sandbox: &'c Path) -> Result<Self> {
        let missing = || Error::Namespace {
            path: sandbox.to_owned(),
            act: "opened",
            source: std::io::Error::other("it is no network namespace"),
        };
        let space = Namespace::open(sandbox)?.ok_or_else(missing)?;
        let links = Netlink::open(&space).await?;
        Ok(Self { sandbox, space, links })
    }

    /// The first name of an interface that none has.
    pub(crate) async fn free_name(&self, prefix: &str) -> Result<String> {
        for number in 0..INTERFACES_MAX {
            let name = format!("{prefix}{number}");
            match index_of(&self.links, &name).await {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(ENODEV) => return Ok(name),
                Err(error) => return Err(self.failed("read", format!("device {name}"))(error)),
            }
        }
        let all = std::io::Error::other(format!("it has {INTERFACES_MAX} of them"));
        Err(self.failed("found", format!("a name {prefix}… for an interface"))(all))
    }

    /// What is asked of the kernel for an end here.
    pub(crate) fn end(&self, name: &str, mac: Option<[u8; 6]>, mtu: u32) -> LinkMessage {
        // A link is up when both of its ends are there, not before.
        let mut end = LinkMessage::default();
        end.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NetNsFd(self.space.descriptor()),
        ];
        end.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        end
    }

    /// Gives an interface its addresses, and puts it up.
    pub(crate) async fn settle(&self, name: &str, addresses: &[IpNet]) -> Result<()> {
        let failed = self.failed("found", format!("device {name}"));
        let index = index_of(&self.links, name).await.map_err(failed)?;
        for address in addresses {
            let mut message = address_on(index, *address);
            message.attributes.push(leads_nowhere());
            let asked = RouteNetlinkMessage::NewAddress(message);
            let failed = self.failed("added", format!("address {address}"));
            self.links.ask(asked, Mode::Replace).await.map_err(failed)?;
        }
        let mut message = up();
        message.header.index = index;
        let failed = self.failed("set", format!("device {name}"));
        self.links.ask(RouteNetlinkMessage::SetLink(message), Mode::Change).await.map_err(failed)
    }

    /// Makes the routes of addresses that are there.
    pub(crate) async fn extend(&self, pools: &[Pool], addresses: &[IpAddr]) -> Result<()> {
        let sandbox = self.sandbox;
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let failed = Error::kernel("read", format!("addresses of the container in {sandbox:?}"));
        let there = self.links.dump(all).await.map_err(failed)?;
        for address in addresses.iter().copied() {
            let index = there.iter().find_map(|message| index_with(message, address));
            let missing = || Error::NotInContainer { sandbox: sandbox.to_owned(), address };
            let index = index.ok_or_else(missing)?;
            for route in routes_of(pools, &[address]) {
                let failed = self.failed("made", format!("route to {}", route.to));
                self.links.ask(message(index, route), Mode::Replace).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    fn failed(&self, act: &'static str, what: String) -> impl FnOnce(std::io::Error) -> Error {
        Error::kernel(act, format!("{what} in {:?}", self.sandbox))
    }
}

fn index_with(message: &RouteNetlinkMessage, address: IpAddr) -> Option<u32> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let has = message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Local(of) | AddressAttribute::Address(of) => *of == address,
        _ => false,
    });
    has.then_some(message.header.index)
}

fn message(index: u32, route: ContainerRoute) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if route.to.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = route.to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Destination(route.to.addr().into()), RouteAttribute::Oif(index)];
    match route.via {
        Some(via) => {
            message.header.flags = RouteFlags::Onlink;
            message.attributes.push(RouteAttribute::Gateway(via.into()));
        }
        None => message.header.scope = RouteScope::Link,
    }
    RouteNetlinkMessage::NewRoute(message)
}

#[cfg(test)]
mod tests;
