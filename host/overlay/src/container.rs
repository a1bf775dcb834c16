//! Routes in containers: to their networks, by way of the gateway and nothing else.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use swarmw_model::Pool;

use crate::namespace::Namespace;
use crate::netlink::{Mode, Netlink};
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

/// Gives a living container the routes of its network, as it is now: it has grown. How
/// many there were to give is not said: those that are there are made again.
pub async fn extend(sandbox: &Path, pools: &[Pool], addresses: &[IpAddr]) -> Result<()> {
    let missing = || Error::Namespace {
        path: sandbox.to_owned(),
        act: "opened",
        source: std::io::Error::other("it is no network namespace"),
    };
    let inside = Namespace::open(sandbox)?.ok_or_else(missing)?;
    let links = Netlink::open(&inside).await?;
    let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let failed = Error::kernel("read", format!("addresses of the container in {sandbox:?}"));
    let there = links.dump(all).await.map_err(failed)?;
    for address in addresses {
        let index = there.iter().find_map(|message| index_with(message, *address));
        let missing = || Error::NotInContainer { sandbox: sandbox.to_owned(), address: *address };
        let index = index.ok_or_else(missing)?;
        for route in routes_of(pools, &[*address]) {
            let failed = Error::kernel("made", format!("route to {} in {sandbox:?}", route.to));
            links.ask(message(index, route), Mode::Replace).await.map_err(failed)?;
        }
    }
    Ok(())
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
