//! The rules that are always there.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use swarmw_model::NodeId;

use super::{DesiredPorts, MARKS, MASK, sources};
use crate::layout::LED;
use crate::ports::plan::DEVICE;

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
        let mut chains = vec![self.guard(), self.arrive(), self.publish(), publish_own()];
        chains.extend([lead(), lead_own()]);
        chains.extend([unserved(), unserved_own(), refuse(), apart(), apart_own()]);
        chains.extend([self.back(), arrived()]);
        chains.extend([self.mask(), clamp(), leave()]);
        let mut hasher = DefaultHasher::new();
        for chain in &chains {
            (&chain.name, chain.hook, &chain.rules).hash(&mut hasher);
        }
        for name in [owned_by(self.node), format!("made-{:016x}", hasher.finish())] {
            chains.push(Chain { name, hook: "", rules: Vec::new() });
        }
        chains
    }

    fn guard(&self) -> Chain {
        chain(
            "guard",
            "type filter hook prerouting priority raw; policy accept;",
            [
                (on("ip daddr 127.0.0.0/8 drop"), "nobody else is this machine"),
                ("iifname @opened ip daddr 127.0.0.0/8 drop".to_owned(), "nor are containers"),
                (on("ip saddr 127.0.0.0/8 drop"), "nor does it send from elsewhere"),
                ("iifname @opened ip saddr 127.0.0.0/8 drop".to_owned(), "nor do containers"),
                (
                    on("ct original zone set ether saddr map @zones accept"),
                    "one client by two nodes is two connections",
                ),
                (on("drop"), "of no node"),
            ],
        )
    }

    fn arrive(&self) -> Chain {
        let bridge = &self.bridge;
        chain(
            "arrive",
            "type filter hook prerouting priority mangle + 5; policy accept;",
            [
                (
                    on(&format!(
                        "meta nfproto ipv4 ct direction reply ct status dnat meta mark set {LED:#x}"
                    )),
                    "an answer comes from where it should",
                ),
                (
                    on("ct direction original ct state new ct mark set ether saddr map @entries"),
                    "a connection by another node",
                ),
                (
                    format!(
                        "iifname {{ \"{bridge}\", \"{DEVICE}\" }} ct mark & {MASK:#x} == {MARKS:#x} \
                     meta mark set ct mark"
                    ),
                    "is answered by that node",
                ),
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
        let four = self.source4.map_or("masquerade".to_owned(), |by| format!("snat ip to {by}"));
        let six = format!("snat ip6 to {}", self.source6);
        let away =
            |what: &str, by: &str| format!("oifname \"{DEVICE}\" ct status dnat {what} {by}");
        let near = |what: &str| format!("oifname \"{bridge}\" ct status dnat {what} masquerade");
        let inner = format!("iifname {{ \"{bridge}\", \"docker0\", \"br-*\" }}");
        let masked = format!("meta mark {MASKED:#x}");
        let v4 = |what: &str| format!("meta nfproto ipv4 {what}");
        let v6 = |what: &str| format!("meta nfproto ipv6 {what}");
        chain(
            "mask",
            "type nat hook postrouting priority srcnat - 5; policy accept;",
            [
                (away("ip saddr 127.0.0.0/8", &four), "this machine by 127.0.0.1"),
                (away("ip saddr . ip daddr @homes4", &four), "a node led back to itself"),
                (away("ip6 saddr . ip6 daddr @homes6", &six), "a node led back by IPv6"),
                (away(&v4(&inner), &four), "a container here"),
                (away(&v6(&inner), &six), "a container here of IPv6"),
                (away(&v4(&masked), &four), "a service that wants it"),
                (away(&v6(&masked), &six), "a service that wants it of IPv6"),
                (near("ip saddr 127.0.0.0/8"), "this machine by 127.0.0.1, to a container here"),
                (near(&format!("meta mark {BACK:#x}")), "a container to one beside it"),
                (near(&format!("meta mark {MASKED:#x}")), "a service here that wants it"),
            ],
        )
    }
}

fn publish_own() -> Chain {
    chain(
        "publish-own",
        "type nat hook output priority -105; policy accept;",
        [
            ("ip6 daddr ::1 accept".to_owned(), "the kernel has no way out of it"),
            (published(4), "this machine's connections, too"),
            (published(6), "this machine's connections of IPv6, too"),
        ],
    )
}

/// After what translates, which is at -100 whatever a chain of it says.
fn lead() -> Chain {
    chain(
        "lead",
        "type filter hook prerouting priority -95; policy accept;",
        [
            (
                format!(
                    "ct direction original ct status dnat ip daddr @there4 \
                     meta mark & {MASK:#x} != {LED:#x} meta mark set {LED:#x}"
                ),
                "to a task elsewhere",
            ),
            (
                format!(
                    "ct direction original ip daddr != @there4 meta mark {LED:#x} meta mark set 0"
                ),
                "a task here needs no leading",
            ),
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

fn unserved() -> Chain {
    chain(
        "unserved",
        "type filter hook prerouting priority -90; policy accept;",
        [(refused(4), "nobody serves it"), (refused(6), "nobody serves it on IPv6")],
    )
}

fn unserved_own() -> Chain {
    chain(
        "unserved-own",
        "type filter hook output priority filter; policy accept;",
        [
            ("ip6 daddr ::1 accept".to_owned(), "left to user space"),
            (refused(4), "nobody serves it"),
            (refused(6), "nobody serves it on IPv6"),
        ],
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
    let other = format!("iifname != \"{DEVICE}\" oifname != \"{DEVICE}\" goto back");
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
    let to = |rule: &str| format!("oifname \"{DEVICE}\" {rule}");
    chain(
        "apart-own",
        "type filter hook output priority filter; policy accept;",
        [
            (to("ct status dnat accept"), "this machine's connections to published ports"),
            (to("drop"), "and none to others of the tasks"),
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

fn clamp() -> Chain {
    let lower = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu";
    chain(
        "clamp",
        "type filter hook postrouting priority mangle; policy accept;",
        [(format!("oifname \"{DEVICE}\" {lower}"), "segments fit between nodes")],
    )
}

/// After what masks. VXLAN would hand the mark on to its own packets.
fn leave() -> Chain {
    chain(
        "leave",
        "type filter hook postrouting priority 105; policy accept;",
        [(
            format!("meta mark & {MASK:#x} {{ {MARKS:#x}, {LED:#x} }} meta mark set 0"),
            "the way is found",
        )],
    )
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

/// A rule for what arrives by the device.
fn on(rule: &str) -> String {
    format!("iifname \"{DEVICE}\" {rule}")
}

fn chain<const N: usize>(
    name: &str,
    hook: &'static str,
    rules: [(String, &'static str); N],
) -> Chain {
    Chain { name: name.to_owned(), hook, rules: rules.into() }
}
