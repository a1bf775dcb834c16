//! The rules that are always there.

use std::net::{Ipv4Addr, Ipv6Addr};

use swarmw_model::NodeId;

use super::{DesiredPorts, MARKS, MASK, sources};
use crate::layout::LED;
use crate::ports::plan::GROUP;
use crate::seal::fingerprint;

/// What the rules that are always there depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ports) struct Fixed {
    node: NodeId,
    bridge: String,
    source4: Option<Ipv4Addr>,
    source6: Ipv6Addr,
}

/// A chain that is always there: its rules each have a comment, by which they are known.
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) hook: &'static str,
    pub(super) rules: Vec<(String, &'static str)>,
}

/// Marks of packets on their way out of this node: to be masked because they go back to where
/// they came from, and because the service is so; these are led as others are.
pub(super) const BACK: u32 = 0x5359_0000;
pub(super) const MASKED: u32 = LED | 1;

/// The chain that says whose the table is.
pub(super) fn owned_by(node: NodeId) -> String {
    format!("of-{node}")
}

// === impl Chain ===

impl Chain {
    /// All that it is made of.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let rules = self.rules.iter().flat_map(|(rule, comment)| [&rule[..], comment]);
        [&self.name[..], self.hook].into_iter().chain(rules)
    }
}

// === impl Fixed ===

impl Default for Fixed {
    fn default() -> Self {
        let (node, bridge) = Default::default();
        Self { node, bridge, source4: None, source6: Ipv6Addr::UNSPECIFIED }
    }
}

impl Fixed {
    pub(in crate::ports) fn of(desired: &DesiredPorts) -> Self {
        let (source4, source6) = sources(desired);
        Self { node: desired.node, bridge: desired.bridge.clone(), source4, source6 }
    }

    /// All chains but those of ports. The last two have no rules: their names say whose this
    /// table is, and of which rules it was made.
    pub(super) fn chains(&self) -> Vec<Chain> {
        let mut chains = vec![guard(), guard_nodes(), self.arrive(), arrive_nodes()];
        chains.extend([self.publish(), publish_own(), lead_own()]);
        chains.extend([refuse(), apart(), apart_own()]);
        chains.extend([self.back(), arrived()]);
        chains.extend([self.mask(), self.mask_away(), mask_near(), leave()]);
        let made = format!("made-{}", fingerprint(chains.iter().flat_map(Chain::texts)));
        for name in [owned_by(self.node), made] {
            chains.push(Chain { name, hook: "", rules: Vec::new() });
        }
        chains
    }

    /// After what translates, which is at -100 whatever a chain of it says. It is one chain, as
    /// each costs every packet.
    fn arrive(&self) -> Chain {
        let bridge = &self.bridge;
        chain(
            "arrive",
            "type filter hook prerouting priority -95; policy accept;",
            [
                (on("goto arrive-nodes"), "by other nodes"),
                (
                    format!(
                        "{} iifname \"{bridge}\" meta mark set ct mark accept",
                        came_by_another()
                    ),
                    "is answered by that node",
                ),
                (
                    format!(
                        "ct direction original ct status dnat ip daddr @there4 \
                     meta mark & {MASK:#x} != {LED:#x} meta mark set {LED:#x} accept"
                    ),
                    "to a task elsewhere",
                ),
                (
                    format!(
                        "meta mark {LED:#x} ct direction original ip daddr != @there4 \
                     meta mark set 0"
                    ),
                    "a task here needs no leading",
                ),
                (of_others(), "left to who has it"),
                (refused(4), "nobody serves it"),
                (refused(6), "nobody serves it on IPv6"),
            ],
        )
    }

    fn publish(&self) -> Chain {
        let bridge = &self.bridge;
        chain(
            "publish",
            "type nat hook prerouting priority dstnat - 5; policy accept;",
            [
                (on("dnat ip to ip daddr map @here4"), "to the container"),
                (on("dnat ip6 to ip6 daddr map @here6"), "to the container of IPv6"),
                (on("accept"), "its port was chosen before"),
                (
                    format!(
                        "iifname \"{bridge}\" ip saddr . meta l4proto . th dport @itself4 accept"
                    ),
                    "a container that would be its own server is left to user space",
                ),
                (
                    format!(
                        "iifname \"{bridge}\" ip6 saddr . meta l4proto . th dport @itself6 accept"
                    ),
                    "and so of IPv6",
                ),
                (published(4), "each connection to the next in turn"),
                (published(6), "each connection of IPv6 to the next in turn"),
            ],
        )
    }

    fn back(&self) -> Chain {
        let bridge = &self.bridge;
        chain(
            "back",
            "",
            [(
                format!(
                    "iifname \"{bridge}\" oifname \"{bridge}\" ct status dnat ct direction original \
                 meta mark set {BACK:#x}"
                ),
                "from a container to one beside it",
            )],
        )
    }

    fn mask(&self) -> Chain {
        let bridge = &self.bridge;
        chain(
            "mask",
            "type nat hook postrouting priority srcnat - 5; policy accept;",
            [
                (to("ct status dnat goto mask-away"), "to other nodes"),
                (format!("oifname \"{bridge}\" ct status dnat goto mask-near"), "to those here"),
            ],
        )
    }

    fn mask_away(&self) -> Chain {
        let four = self.source4.map_or("masquerade".to_owned(), |by| format!("snat ip to {by}"));
        let six = format!("snat ip6 to {}", self.source6);
        let inner = format!("iifname {{ \"{}\", \"docker0\", \"br-*\" }}", self.bridge);
        let masked = format!("meta mark {MASKED:#x}");
        let v4 = |what: &str| format!("meta nfproto ipv4 {what} {four}");
        let v6 = |what: &str| format!("meta nfproto ipv6 {what} {six}");
        chain(
            "mask-away",
            "",
            [
                (format!("ip saddr 127.0.0.0/8 {four}"), "this machine by 127.0.0.1"),
                (format!("ip saddr . ip daddr @homes4 {four}"), "a node led back to itself"),
                (format!("ip6 saddr . ip6 daddr @homes6 {six}"), "a node led back by IPv6"),
                (v4(&inner), "a container here"),
                (v6(&inner), "a container here of IPv6"),
                (v4(&masked), "a service that wants it"),
                (v6(&masked), "a service that wants it of IPv6"),
            ],
        )
    }
}

/// Before what the kernel knows of connections.
fn guard() -> Chain {
    chain(
        "guard",
        "type filter hook prerouting priority raw; policy accept;",
        [
            (on("goto guard-nodes"), "from other nodes"),
            ("ip daddr 127.0.0.0/8 iifname @opened drop".to_owned(), "not for containers"),
            ("ip saddr 127.0.0.0/8 iifname @opened drop".to_owned(), "nor do they send so"),
        ],
    )
}

fn guard_nodes() -> Chain {
    chain(
        "guard-nodes",
        "",
        [
            ("ip daddr 127.0.0.0/8 drop".to_owned(), "nobody else is this machine"),
            ("ip saddr 127.0.0.0/8 drop".to_owned(), "nor does it send from elsewhere"),
            (
                "ct original zone set ether saddr map @zones accept".to_owned(),
                "one client by two nodes is two connections",
            ),
            ("drop".to_owned(), "of no node"),
        ],
    )
}

fn arrive_nodes() -> Chain {
    chain(
        "arrive-nodes",
        "",
        [
            (
                format!(
                    "meta nfproto ipv4 ct direction reply ct status dnat meta mark set {LED:#x}"
                ),
                "an answer comes from where it should",
            ),
            (
                "ct direction original ct state new ct mark set ether saddr map @entries"
                    .to_owned(),
                "a connection by another node",
            ),
            (format!("{} meta mark set ct mark", came_by_another()), "it stays with that node"),
        ],
    )
}

fn mask_near() -> Chain {
    chain(
        "mask-near",
        "",
        [
            (
                "ip saddr 127.0.0.0/8 masquerade".to_owned(),
                "this machine by 127.0.0.1, to a container here",
            ),
            (format!("meta mark {BACK:#x} masquerade"), "a container to one beside it"),
            (format!("meta mark {MASKED:#x} masquerade"), "a service here that wants it"),
        ],
    )
}

fn publish_own() -> Chain {
    chain(
        "publish-own",
        "type nat hook output priority -105; policy accept;",
        [
            ("ip6 daddr ::1 accept".to_owned(), "the kernel has no way out of it"),
            (of_others(), "left to who has it, as resolvers have 127.0.0.53"),
            (published(4), "this machine's connections, too"),
            (published(6), "this machine's connections of IPv6, too"),
        ],
    )
}

/// Before what translates, which looks for the way anew. The first packet is marked as it is
/// translated.
fn lead_own() -> Chain {
    chain(
        "lead-own",
        "type filter hook output priority -110; policy accept;",
        [(
            format!(
                "ct direction original ct status dnat ct reply ip saddr @there4 \
                 meta mark set {LED:#x}"
            ),
            "from this machine to a task elsewhere",
        )],
    )
}

fn refuse() -> Chain {
    chain(
        "refuse",
        "",
        [
            ("meta l4proto tcp reject with tcp reset".to_owned(), "at once"),
            ("reject with icmpx type port-unreachable".to_owned(), "at once, of other protocols"),
        ],
    )
}

fn apart() -> Chain {
    let other = format!("iifgroup != {GROUP} oifgroup != {GROUP} goto back");
    chain(
        "apart",
        "type filter hook forward priority filter; policy accept;",
        [
            (other, "not between nodes"),
            ("ct status dnat accept".to_owned(), "connections to published ports"),
            ("drop".to_owned(), "and no others"),
        ],
    )
}

fn apart_own() -> Chain {
    chain(
        "apart-own",
        "type filter hook output priority filter; policy accept;",
        [
            (to("ct status dnat accept"), "this machine's connections to published ports"),
            (to("drop"), "and none to others of the tasks"),
            ("ip6 daddr ::1 accept".to_owned(), "left to user space"),
            (of_others(), "left to who has it"),
            (refused(4), "nobody serves it"),
            (refused(6), "nobody serves it on IPv6"),
        ],
    )
}

fn arrived() -> Chain {
    chain(
        "arrived",
        "type filter hook input priority filter; policy accept;",
        [
            (on("ct state established,related accept"), "answers to this machine"),
            (on("drop"), "nothing else"),
        ],
    )
}

/// After what masks. VXLAN would hand the mark on to its own packets.
fn leave() -> Chain {
    // Both marks differ in one bit.
    let (mask, mark) = (MASK & !(MARKS ^ LED), MARKS & LED);
    let lower = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu";
    chain(
        "leave",
        "type filter hook postrouting priority 105; policy accept;",
        [
            (format!("meta mark & {mask:#x} == {mark:#x} meta mark set 0"), "the way is found"),
            (to(lower), "segments fit between nodes"),
        ],
    )
}

/// Addresses of the loopback device besides the usual one, which some program or other has.
fn of_others() -> String {
    "ip daddr 127.0.0.2-127.255.255.255 accept".to_owned()
}

fn published(family: u8) -> String {
    format!(
        "meta nfproto ipv{family} meta l4proto {{ tcp, udp, sctp }} fib daddr type local \
         meta l4proto . th dport vmap @ports{family}"
    )
}

fn refused(family: u8) -> String {
    format!(
        "meta nfproto ipv{family} ct state new meta l4proto . th dport @refused{family} \
         fib daddr type local goto refuse"
    )
}

/// A rule for what arrives by the device. Its group is a number, which costs each packet of
/// the machine less than a name.
fn on(rule: &str) -> String {
    format!("iifgroup {GROUP} {rule}")
}

/// A rule for what leaves by the device.
fn to(rule: &str) -> String {
    format!("oifgroup {GROUP} {rule}")
}

fn came_by_another() -> String {
    format!("ct mark & {MASK:#x} == {MARKS:#x}")
}

fn chain<const N: usize>(
    name: &str,
    hook: &'static str,
    rules: [(String, &'static str); N],
) -> Chain {
    Chain { name: name.to_owned(), hook, rules: rules.into() }
}
