//! The table in the words of `nft -f`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use super::{Balanced, Table, messages};
use crate::netfilter::Asked;
use crate::seal::fingerprint;

/// The family and name of the table.
pub(crate) const TABLE: &str = "inet swarmw";

/// A chain that is always there: its rules each have a comment, by which they are known.
pub(super) struct Chain {
    pub(super) name: &'static str,
    pub(super) hook: &'static str,
    pub(super) rules: &'static [(&'static str, &'static str)],
}

/// All chains but those of virtual addresses.
pub(super) const CHAINS: [Chain; 6] = [
    Chain {
        name: "sources",
        hook: "type filter hook prerouting priority mangle; policy accept;",
        rules: &[
            ("ip6 saddr fe80::/10 accept", "neighbours on the link"),
            ("ip6 saddr :: accept", "neighbours that have no address yet"),
            ("ct state related iifname \"vx*\" accept", "errors from routers of other nodes"),
            ("fib saddr . iif oif missing drop", "an address is heard from its own device"),
        ],
    },
    Chain {
        name: "balance",
        hook: "type nat hook prerouting priority dstnat; policy accept;",
        rules: &[
            (
                "icmp type echo-request meta iifgroup . ip daddr @virtual4 redirect",
                "the router answers for virtual addresses",
            ),
            (
                "icmpv6 type echo-request meta iifgroup . ip6 daddr @virtual6 redirect",
                "the router answers for virtual addresses of IPv6",
            ),
            (
                "meta l4proto { tcp, udp, sctp } meta iifgroup . ip daddr vmap @turns4",
                "each connection to the next in turn",
            ),
            (
                "meta l4proto { tcp, udp, sctp } meta iifgroup . ip6 daddr vmap @turns6",
                "each connection of IPv6 to the next in turn",
            ),
        ],
    },
    Chain {
        name: "unserved",
        hook: "type filter hook prerouting priority -90; policy accept;",
        rules: &[
            // What is known to be served costs its packets no look at a set.
            ("ct state established accept", "somebody does"),
            ("meta iifgroup . ip daddr @virtual4 goto refused", "nobody serves it"),
            ("meta iifgroup . ip6 daddr @virtual6 goto refused", "nobody serves it on IPv6"),
        ],
    },
    Chain {
        name: "refused",
        hook: "",
        rules: &[
            ("meta l4proto tcp reject with tcp reset", "at once"),
            ("reject with icmpx type port-unreachable", "at once, of other protocols"),
        ],
    },
    Chain {
        name: "apart",
        hook: "type filter hook forward priority filter; policy drop;",
        rules: &[
            (
                "ct state new ct status dnat fib daddr . iif oif exists meta mark set 0x5357",
                "a client that is sent to itself",
            ),
            ("meta iifgroup . meta oifgroup @together accept", "within one network"),
        ],
    },
    Chain {
        name: "hairpin",
        hook: "type nat hook postrouting priority srcnat; policy accept;",
        rules: &[("meta mark 0x5357 masquerade", "is answered by way of its gateway")],
    },
];

/// Sets and maps: name and type.
pub(super) const SETS: [(&str, &str, &str); 7] = [
    ("set", "together", "type devgroup . devgroup"),
    ("set", "virtual4", "type devgroup . ipv4_addr"),
    ("set", "virtual6", "type devgroup . ipv6_addr"),
    ("map", "turns4", "type devgroup . ipv4_addr : verdict"),
    ("map", "turns6", "type devgroup . ipv6_addr : verdict"),
    ("map", "backends4", "typeof ip daddr . numgen inc mod 2 : ip daddr"),
    ("map", "backends6", "typeof ip6 daddr . numgen inc mod 2 : ip6 daddr"),
];

/// The name of the chain that says which release's rules there are begins so.
pub(super) const EDITION: &str = "rules-";

/// One transaction, and what is in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) text: String,
    /// The same for the kernel; none: only `nft` can say it.
    pub(crate) asked: Option<Vec<Asked>>,
    pub(crate) chains: usize,
    pub(crate) elements: usize,
}

/// Elements of the sets and maps, by the name of the set: what a table has of them.
type Elements = BTreeSet<(&'static str, String, String)>;

// === impl Table ===

impl Table {
    /// Writes the table anew, whatever is there.
    pub(crate) fn whole(&self) -> Change {
        let mut text = format!("add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n");
        for (kind, name, of) in SETS {
            let _ = writeln!(text, "{kind} {name} {{\n{of}\n}}");
        }
        for Chain { name, hook, rules } in CHAINS {
            let _ = writeln!(text, "chain {name} {{\n{hook}");
            for (rule, comment) in rules {
                let _ = writeln!(text, "{rule} comment \"{comment}\"");
            }
            text.push_str("}\n");
        }
        let _ = writeln!(text, "chain {} {{\n}}", edition());
        text.push_str("}\n");
        let rest = self.change_from(&Self::default());
        Change { text: text + &rest.text, asked: None, ..rest }
    }

    /// What leads from another table to this one.
    pub(crate) fn change_from(&self, found: &Self) -> Change {
        let (there, wanted) = (found.elements_unlike(self), self.elements_unlike(found));
        let surplus: Vec<_> = there.difference(&wanted).collect();
        let missing: Vec<_> = wanted.difference(&there).collect();
        let elements = surplus.len() + missing.len();
        let mut change = Change { elements, asked: Some(Vec::new()), ..Change::default() };
        for (address, balanced) in self.served() {
            let before = found.balanced.get(address).filter(|b| !b.slots.is_empty());
            if before.is_none_or(|before| before.slots.len() != balanced.slots.len()) {
                change.chain(address, balanced, before.is_some());
            }
        }
        change.elements("delete", &surplus, |key, _| key.to_owned());
        for (set, key, _) in surplus {
            change.ask(messages::delete_element(set, key));
        }
        change.elements("add", &missing, |key, value| {
            if value.is_empty() { key.to_owned() } else { format!("{key} : {value}") }
        });
        for (set, key, value) in missing {
            change.ask(messages::new_element(set, key, value));
        }
        // Nothing leads to them any more.
        for (address, _) in found.served() {
            if self.balanced.get(address).is_none_or(|balanced| balanced.slots.is_empty()) {
                let name = chain_of(*address);
                let _ = writeln!(change.text, "delete chain {TABLE} {name}");
                // It may not have rules.
                change.ask(Some(messages::delete_rules(*address)));
                change.ask(Some(messages::delete_chain(*address)));
                change.chains += 1;
            }
        }
        change
    }

    pub(super) fn served(&self) -> impl Iterator<Item = (&IpAddr, &Balanced)> {
        self.balanced.iter().filter(|(_, balanced)| !balanced.slots.is_empty())
    }

    /// Elements, but for those that another table surely has as well.
    fn elements_unlike(&self, other: &Self) -> Elements {
        let mut elements = Elements::new();
        let mut add = |set, key, value| elements.insert((set, key, value));
        for vni in &self.networks {
            add("together", format!("{vni} . {vni}"), String::new());
        }
        for (address, balanced) in &self.balanced {
            if other.balanced.get(address) == Some(balanced) {
                continue;
            }
            let Balanced { vni, slots } = balanced;
            let of = |four, six| if address.is_ipv4() { four } else { six };
            let key = format!("{vni} . {address}");
            add(of("virtual4", "virtual6"), key.clone(), String::new());
            if !slots.is_empty() {
                let chain = format!("goto {}", chain_of(*address));
                add(of("turns4", "turns6"), key, chain);
            }
            for (slot, backend) in slots.iter().enumerate() {
                let key = format!("{address} . {slot}");
                add(of("backends4", "backends6"), key, backend.to_string());
            }
        }
        elements
    }
}

// === impl Change ===

impl Change {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The chain of a virtual address: how many turns there are.
    fn chain(&mut self, address: &IpAddr, balanced: &Balanced, there: bool) {
        let name = chain_of(*address);
        let (ip, map) = if address.is_ipv4() { ("ip", "backends4") } else { ("ip6", "backends6") };
        let count = balanced.slots.len();
        let verb = if there { "flush" } else { "add" };
        let _ = writeln!(
            self.text,
            "{verb} chain {TABLE} {name}\n\
             add rule {TABLE} {name} dnat {ip} to {ip} daddr . numgen inc mod {count} \
             map @{map} comment \"{count}\""
        );
        let emptied =
            if there { messages::delete_rules(*address) } else { messages::new_chain(*address) };
        self.ask(Some(emptied));
        self.ask(Some(messages::new_rule(*address, map, count)));
        self.chains += 1;
    }

    fn ask(&mut self, asked: Option<Asked>) {
        match (&mut self.asked, asked) {
            (Some(all), Some(asked)) => all.push(asked),
            (all, _) => *all = None,
        }
    }

    fn elements(
        &mut self,
        verb: &str,
        elements: &[&(&'static str, String, String)],
        written: impl Fn(&str, &str) -> String,
    ) {
        for of_one_set in elements.chunk_by(|a, b| a.0 == b.0) {
            let Some((set, ..)) = of_one_set.first() else { continue };
            let written: Vec<_> = of_one_set.iter().map(|(_, k, v)| written(k, v)).collect();
            let written = written.join(", ");
            let _ = writeln!(self.text, "{verb} element {TABLE} {set} {{ {written} }}");
        }
    }
}

/// A chain without rules, whose name says which rules this table has: those of another
/// release of this program are written anew.
pub(super) fn edition() -> String {
    let sets = SETS.iter().flat_map(|(kind, name, of)| [*kind, *name, *of]);
    let chains = CHAINS.iter().flat_map(|Chain { name, hook, rules }| {
        let rules = rules.iter().flat_map(|(rule, comment)| [*rule, *comment]);
        [*name, *hook].into_iter().chain(rules)
    });
    format!("{EDITION}{}", fingerprint(sets.chain(chains)))
}

/// The chain of a virtual address, in letters that a chain's name may have.
pub(super) fn chain_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("to-{address}"),
        IpAddr::V6(address) => format!("to-{:032x}", address.to_bits()),
    }
}
