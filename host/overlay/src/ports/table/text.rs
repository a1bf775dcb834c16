//! The table in the words of `nft -f`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::rules::{Chain, MASKED};
use super::{Element, Key, Table, Turns, messages, name_of};
use crate::layout::LED;
use crate::netfilter::Asked;

/// The family and name of the table.
pub(in crate::ports) const TABLE: &str = "inet swarmw_ports";

/// Sets and maps: name and type. Backends are apart by protocol: to nft 1.0.6, a port of a
/// map's type is one of its protocol alone, and so is the first rule that it reads with it.
pub(super) const SETS: [(&str, &str, &str); 20] = [
    ("map", "ports4", "type inet_proto . inet_service : verdict"),
    ("map", "ports6", "type inet_proto . inet_service : verdict"),
    ("map", "tcp4", "typeof tcp dport . numgen inc mod 2 : ip daddr . tcp dport"),
    ("map", "tcp6", "typeof tcp dport . numgen inc mod 2 : ip6 daddr . tcp dport"),
    ("map", "udp4", "typeof udp dport . numgen inc mod 2 : ip daddr . udp dport"),
    ("map", "udp6", "typeof udp dport . numgen inc mod 2 : ip6 daddr . udp dport"),
    ("map", "sctp4", "typeof sctp dport . numgen inc mod 2 : ip daddr . sctp dport"),
    ("map", "sctp6", "typeof sctp dport . numgen inc mod 2 : ip6 daddr . sctp dport"),
    ("map", "here4", "type ipv4_addr : ipv4_addr"),
    ("map", "here6", "type ipv6_addr : ipv6_addr"),
    ("set", "there4", "type ipv4_addr"),
    ("map", "entries", "type ether_addr : mark"),
    ("map", "zones", "typeof ether saddr : ct zone"),
    ("set", "refused4", "type inet_proto . inet_service"),
    ("set", "refused6", "type inet_proto . inet_service"),
    ("set", "homes4", "type ipv4_addr . ipv4_addr"),
    ("set", "homes6", "type ipv6_addr . ipv6_addr"),
    ("set", "itself4", "type ipv4_addr . inet_proto . inet_service"),
    ("set", "itself6", "type ipv6_addr . inet_proto . inet_service"),
    ("set", "opened", "type ifname"),
];

/// Of them, those of backends.
pub(super) const BACKENDS: [&str; 6] = ["tcp4", "tcp6", "udp4", "udp6", "sctp4", "sctp6"];

/// One transaction, and what is in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::ports) struct Change {
    pub(in crate::ports) text: String,
    /// The same for the kernel; none: only `nft` can say it.
    pub(in crate::ports) asked: Option<Vec<Asked>>,
    pub(in crate::ports) chains: usize,
    pub(in crate::ports) elements: usize,
}

// === impl Table ===

impl Table {
    /// Writes the table anew, whatever is there.
    pub(in crate::ports) fn whole(&self) -> Change {
        let mut text = format!("add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n");
        for (kind, name, of) in SETS {
            let _ = writeln!(text, "{kind} {name} {{\n{of}\n}}");
        }
        let chains = self.fixed.chains();
        // What rules lead to is known before them.
        let (to, from): (Vec<_>, Vec<_>) = chains.iter().partition(|chain| chain.hook.is_empty());
        for Chain { name, hook, rules } in to.into_iter().chain(from) {
            let _ = writeln!(text, "chain {name} {{\n{hook}");
            for (rule, comment) in rules {
                let _ = writeln!(text, "{rule} comment \"{comment}\"");
            }
            text.push_str("}\n");
        }
        text.push_str("}\n");
        let rest = self.change_from(&Self::default());
        Change { text: text + &rest.text, asked: None, ..rest }
    }

    /// What leads from another table to this one; both of the same rules.
    pub(in crate::ports) fn change_from(&self, found: &Self) -> Change {
        let (there, wanted) = (found.elements_unlike(self), self.elements_unlike(found));
        let surplus: Vec<_> = there.difference(&wanted).collect();
        let missing: Vec<_> = wanted.difference(&there).collect();
        let elements = surplus.len() + missing.len();
        let mut change = Change { elements, asked: Some(Vec::new()), ..Change::default() };
        for (key, turns) in self.served() {
            let before = found.ports.get(key).filter(|before| !before.slots.is_empty());
            if before.is_none_or(|before| before.comment() != turns.comment()) {
                change.chain(*key, turns, before.is_some());
            }
        }
        change.elements("delete", &surplus);
        for element in surplus {
            change.ask(messages::delete_element(element));
        }
        change.elements("add", &missing);
        for element in missing {
            change.ask(messages::new_element(element));
        }
        // Nothing leads to them any more.
        for (key, _) in found.served() {
            if self.ports.get(key).is_none_or(|turns| turns.slots.is_empty()) {
                let _ = writeln!(change.text, "delete chain {TABLE} {}", key.chain());
                // It may not have rules.
                change.ask(Some(messages::delete_rules(*key)));
                change.ask(Some(messages::delete_chain(*key)));
                change.chains += 1;
            }
        }
        change
    }

    fn served(&self) -> impl Iterator<Item = (&Key, &Turns)> {
        self.ports.iter().filter(|(_, turns)| !turns.slots.is_empty())
    }

    /// Elements, but for those of ports that another table surely has as well.
    fn elements_unlike(&self, other: &Self) -> BTreeSet<Element> {
        let mut elements: BTreeSet<_> = self.elements.clone();
        for (key, turns) in &self.ports {
            if other.ports.get(key) != Some(turns) {
                elements.extend(key.elements(turns));
            }
        }
        elements
    }
}

// === impl Key ===

impl Key {
    /// The chain of a port.
    pub(super) fn chain(&self) -> String {
        let family = if self.v6 { "-6" } else { "" };
        format!("{}-{}{family}", name_of(self.protocol), self.port)
    }

    /// What its packets are marked with as they are translated. Of IPv6 none are led: the
    /// addresses of tasks are nobody else's.
    pub(super) fn mark(&self, snat: bool) -> Option<u32> {
        match (snat, self.v6) {
            (true, _) => Some(MASKED),
            (false, false) => Some(LED),
            (false, true) => None,
        }
    }

    /// The map of backends.
    pub(super) fn backends(&self) -> String {
        self.set(name_of(self.protocol))
    }

    fn set(&self, name: &str) -> String {
        format!("{name}{}", if self.v6 { 6 } else { 4 })
    }

    fn elements(&self, turns: &Turns) -> Vec<Element> {
        let key = format!("{} . {}", self.protocol, self.port);
        if turns.slots.is_empty() {
            return vec![Element { set: self.set("refused"), key, value: String::new() }];
        }
        let slots = turns.slots.iter().enumerate().map(|(slot, (end, target))| Element {
            set: self.backends(),
            key: format!("{} . {slot}", self.port),
            value: format!("{end} . {target}"),
        });
        let mut elements: Vec<_> = slots.collect();
        let value = format!("goto {}", self.chain());
        elements.push(Element { set: self.set("ports"), key, value });
        elements
    }
}

// === impl Turns ===

impl Turns {
    /// What its rule is known by.
    pub(super) fn comment(&self) -> String {
        let masked = if self.snat { " masked" } else { "" };
        format!("{}{masked}", self.slots.len())
    }

    pub(super) fn parse(comment: &str) -> Option<(usize, bool)> {
        let (count, snat) = match comment.strip_suffix(" masked") {
            Some(count) => (count, true),
            None => (comment, false),
        };
        Some((count.parse().ok().filter(|count| *count > 0)?, snat))
    }
}

// === impl Change ===

impl Change {
    pub(in crate::ports) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The chain of a port: how many turns there are.
    fn chain(&mut self, key: Key, turns: &Turns, there: bool) {
        let (name, verb) = (key.chain(), if there { "flush" } else { "add" });
        let ip = if key.v6 { "ip6" } else { "ip" };
        let mark = key.mark(turns.snat).map(|mark| format!("meta mark set {mark:#x} "));
        let mark = mark.unwrap_or_default();
        let (count, map, comment) = (turns.slots.len(), key.backends(), turns.comment());
        let protocol = name_of(key.protocol);
        let _ = writeln!(
            self.text,
            "{verb} chain {TABLE} {name}\n\
             add rule {TABLE} {name} {mark}dnat {ip} to {protocol} dport . \
             numgen inc mod {count} map @{map} comment \"{comment}\""
        );
        let emptied = if there { messages::delete_rules(key) } else { messages::new_chain(key) };
        self.ask(Some(emptied));
        self.ask(Some(messages::new_rule(key, turns)));
        self.chains += 1;
    }

    fn ask(&mut self, asked: Option<Asked>) {
        match (&mut self.asked, asked) {
            (Some(all), Some(asked)) => all.push(asked),
            (all, _) => *all = None,
        }
    }

    fn elements(&mut self, verb: &str, elements: &[&Element]) {
        for of_one_set in elements.chunk_by(|a, b| a.set == b.set) {
            let Some(Element { set, .. }) = of_one_set.first() else { continue };
            let written: Vec<_> = of_one_set.iter().map(|element| element.written(verb)).collect();
            let _ =
                writeln!(self.text, "{verb} element {TABLE} {set} {{ {} }}", written.join(", "));
        }
    }
}

// === impl Element ===

impl Element {
    fn written(&self, verb: &str) -> String {
        let key = match &self.set[..] {
            "opened" => format!("\"{}\"", self.key),
            _ => self.key.clone(),
        };
        let value = if verb == "delete" { "" } else { &self.value };
        if value.is_empty() { key } else { format!("{key} : {value}") }
    }
}
