//! Connections to tasks that no kernel leads to, caught for whoever listens in the router.
//!
//! - A table of nftables of its own hands connections of TCP from containers of a network to
//!   such addresses of the network to a listener ([`PORT`]), whose sockets are transparent:
//!   each connection's own address is the one that was asked for. A kernel that cannot do
//!   that has everything else all the same.
//! - What is handed over is marked, and one rule of routing takes what is marked for this
//!   namespace itself. There is no other way to these addresses: for other protocols, for
//!   other networks, and while nobody listens, nobody has them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::netlink::Mode;
use crate::overlay::Settings;
use crate::router::Router;
use crate::{Desired, Error, Result, nft};

/// Where the listener is, in the router.
const PORT: u16 = 5357;
/// What is handed over is marked so, and routed by this table.
const MARK: u32 = 0x5358;
/// Before the main table.
const PRIORITY: u32 = 5357;
/// The family and name of the table.
const TABLE: &str = "inet swarmw_user";
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
const EEXIST: i32 = 17;

/// Addresses that are caught, by the number of their network.
type Caught = BTreeSet<(u32, IpAddr)>;

/// What is known of the table.
#[derive(Debug, Default)]
pub(crate) struct Catch {
    /// What is in it, which is there for as long as that is something; none: not known.
    known: Option<Caught>,
    /// How it was listed first.
    listing: Option<String>,
    /// Somebody changed it since.
    is_changed: bool,
}

// === impl Catch ===

impl Catch {
    /// Makes it what is desired. How many elements were written.
    pub(crate) async fn settle(
        &mut self,
        settings: &Settings,
        router: &mut Router,
        desired: &Desired,
    ) -> Result<usize> {
        if std::mem::take(&mut self.is_changed) {
            self.known = None;
        }
        let wanted = caught(desired);
        let text = match &self.known {
            Some(known) if *known == wanted => return Ok(0),
            Some(known) if !known.is_empty() => change(known, &wanted),
            // Nothing of an earlier daemon is left.
            None if wanted.is_empty() => {
                let there = nft::list(&settings.nft, &router.inside, TABLE).await?;
                there.map_or_else(String::new, |_| format!("delete table {TABLE}\n"))
            }
            _ => whole(&wanted),
        };
        let before = self.known.take().unwrap_or_default();
        if !wanted.is_empty() {
            router.lead_marked().await?;
        }
        if !text.is_empty() {
            nft::change(&settings.nft, &router.inside, text).await?;
        }
        let elements = wanted.symmetric_difference(&before).count();
        self.listing = match wanted.is_empty() {
            true => None,
            false => list(settings, router).await?,
        };
        self.known = Some(wanted);
        Ok(elements)
    }

    /// Whether the last `settle` is all that there is to do for what was desired then.
    pub(crate) fn is_settled(&self) -> bool {
        self.known.is_some() && !self.is_changed
    }

    /// Whether somebody changed what is there; it is then written anew by the next `settle`.
    /// The table is looked at where some table may have been changed; the way of what is
    /// caught is made again without a word.
    pub(crate) async fn look(
        &mut self,
        settings: &Settings,
        router: &mut Router,
        is_perhaps: bool,
    ) -> Result<bool> {
        if self.known.as_ref().is_none_or(BTreeSet::is_empty) {
            return Ok(false);
        }
        router.lead_marked().await?;
        if is_perhaps {
            self.is_changed = list(settings, router).await? != self.listing;
        }
        Ok(self.is_changed)
    }
}

/// The table, in an order of its own; none: it is not there.
async fn list(settings: &Settings, router: &Router) -> Result<Option<String>> {
    let listing = nft::list(&settings.nft, &router.inside, TABLE).await?;
    Ok(listing.map(|listing| ordered(&listing)))
}

/// A listing without what the kernel numbers anew, and with elements in order.
fn ordered(listing: &str) -> String {
    let Ok(mut read) = serde_json::from_str::<Value>(listing) else { return listing.to_owned() };
    let objects = read["nftables"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let each = objects.into_iter().map(|mut object| {
        let kinds = object.as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut());
        for said in kinds.filter_map(Value::as_object_mut) {
            said.remove("handle");
            if let Some(elements) = said.get_mut("elem").and_then(Value::as_array_mut) {
                elements.sort_by_cached_key(Value::to_string);
            }
        }
        object.to_string()
    });
    each.collect::<Vec<_>>().join("\n")
}

fn caught(desired: &Desired) -> Caught {
    let networks = desired.networks.values();
    networks.flat_map(|n| n.caught.iter().map(move |address| (n.vni, *address))).collect()
}

/// The table as a whole, whatever is there.
fn whole(wanted: &Caught) -> String {
    let mut text = format!(
        "add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n\
         set caught4 {{\ntype devgroup . ipv4_addr\n}}\n\
         set caught6 {{\ntype devgroup . ipv6_addr\n}}\n\
         chain catch {{\ntype filter hook prerouting priority -80; policy accept;\n"
    );
    for (ip, set) in [("ip", "caught4"), ("ip6", "caught6")] {
        let _ = writeln!(
            text,
            "meta l4proto tcp meta iifgroup . {ip} daddr @{set} tproxy {ip} to :{PORT} \
             meta mark set {MARK:#x} accept comment \"a task in user space\""
        );
    }
    let _ = writeln!(
        text,
        "fib daddr type local tcp dport {PORT} reject with tcp reset comment \"nobody's\"\n}}\n}}"
    );
    text + &change(&Caught::new(), wanted)
}

/// From one to another.
fn change(known: &Caught, wanted: &Caught) -> String {
    let mut text = String::new();
    let mut write = |verb: &str, each: &mut dyn Iterator<Item = &(u32, IpAddr)>| {
        for (vni, address) in each {
            let set = if address.is_ipv4() { "caught4" } else { "caught6" };
            let _ = writeln!(text, "{verb} element {TABLE} {set} {{ {vni} . {address} }}");
        }
    };
    write("delete", &mut known.difference(wanted));
    write("add", &mut wanted.difference(known));
    if wanted.is_empty() {
        let _ = writeln!(text, "delete table {TABLE}");
    }
    text
}

/// Listeners of both families in the namespace of the calling thread.
pub(crate) fn listeners() -> std::io::Result<Vec<TcpListener>> {
    let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    any.into_iter().map(listener).collect()
}

fn listener(any: IpAddr) -> std::io::Result<TcpListener> {
    let address = SocketAddr::new(any, PORT);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if any.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Of both families.
    socket.set_ip_transparent_v4(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

// === impl Router ===

impl Router {
    /// Has what is marked taken for the router itself.
    async fn lead_marked(&mut self) -> Result<()> {
        let loopback = self.index("lo").await?;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut route = RouteMessage::default();
            route.header.address_family = family;
            route.header.table = RouteHeader::RT_TABLE_UNSPEC;
            route.header.protocol = RouteProtocol::Static;
            route.header.scope = RouteScope::Host;
            route.header.kind = RouteType::Local;
            route.attributes = vec![RouteAttribute::Table(MARK), RouteAttribute::Oif(loopback)];
            let asked = RouteNetlinkMessage::NewRoute(route);
            self.make_marked(asked, "the route of what is caught").await?;

            let mut rule = RuleMessage::default();
            rule.header.family = family;
            rule.header.action = RuleAction::ToTable;
            rule.attributes = vec![
                RuleAttribute::Priority(PRIORITY),
                RuleAttribute::FwMark(MARK),
                RuleAttribute::FwMask(u32::MAX),
                RuleAttribute::Table(MARK),
            ];
            let asked = RouteNetlinkMessage::NewRule(rule);
            self.make_marked(asked, "the routing rule of what is caught").await?;
        }
        Ok(())
    }

    async fn make_marked(&self, asked: RouteNetlinkMessage, what: &str) -> Result<()> {
        match self.links.ask(asked, Mode::Make).await {
            Err(error) if error.raw_os_error() != Some(EEXIST) => {
                Err(Error::kernel("made", what)(error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: &[&str]) -> Caught {
        let address = |text: &&str| (4097, text.parse().expect("an address"));
        addresses.iter().map(address).collect()
    }

    #[test]
    fn one_address_more_or_less_is_one_element() {
        let before = of(&["10.0.1.5", "fd00:1::5"]);
        let after = of(&["10.0.1.5", "10.0.1.6"]);
        let wanted = "\
delete element inet swarmw_user caught6 { 4097 . fd00:1::5 }
add element inet swarmw_user caught4 { 4097 . 10.0.1.6 }
";
        assert_eq!(change(&before, &after), wanted);
        assert_eq!(change(&after, &after), "");
        assert!(change(&after, &of(&[])).ends_with("delete table inet swarmw_user\n"));
    }

    #[test]
    fn a_listing_is_the_same_in_any_order_of_elements_and_with_other_handles() {
        let listing = |handle: u32, elements: &str| {
            format!(
                r#"{{"nftables": [{{"set": {{"name": "caught4", "handle": {handle}, "elem": {elements}}}}}]}}"#
            )
        };
        assert_eq!(ordered(&listing(1, "[1, 2]")), ordered(&listing(2, "[2, 1]")));
        assert_ne!(ordered(&listing(1, "[1, 2]")), ordered(&listing(1, "[1]")));
    }
}
