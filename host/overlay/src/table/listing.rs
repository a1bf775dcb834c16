//! The table as `nft -j list table` says it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::text::{CHAINS, EDITION, SETS, chain_of, edition};
use super::{Balanced, Table};
use crate::seal::{self, is_seal, seal_of};

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// As far as it holds together.
    pub(crate) table: Table,
    /// What does not, in sentences: then the whole is written anew.
    pub(crate) broken: Vec<String>,
    /// The rules that are always there.
    rules: String,
}

// === impl Listed ===

impl Listed {
    /// As if it had been listed.
    pub(crate) fn of(table: Table) -> Self {
        Self { table, ..Self::default() }
    }

    /// Of a listing that is not understood.
    pub(crate) fn unread(said: &str) -> Self {
        let said = format!("nftables lists the table in unknown words: {said}");
        Self { broken: vec![said], ..Self::default() }
    }

    /// The chain that says that the rules are listed as they were written.
    pub(crate) fn seal(&self) -> String {
        seal_of(&self.rules)
    }
}

/// Reads a listing; an error says what is not understood.
pub(crate) fn list(listing: &str) -> Result<Listed, String> {
    let read: Value = serde_json::from_str(listing).map_err(|error| error.to_string())?;
    let objects = read["nftables"].as_array().ok_or("no list of objects")?;
    let mut seen = Seen::default();
    for object in objects {
        seen.take(object)?;
    }
    Ok(seen.judge())
}

/// What the listing has, by kind.
#[derive(Default)]
struct Seen {
    /// Elements by the name of their set or map: key, and value if it has one.
    sets: BTreeMap<String, BTreeMap<Key, String>>,
    /// Chains with their rules' comments, and what the rules do.
    chains: BTreeMap<String, Vec<(String, Value)>>,
    rules: String,
}

/// The parts of a key.
type Key = Vec<String>;

// === impl Seen ===

impl Seen {
    fn take(&mut self, object: &Value) -> Result<(), String> {
        if let Some(set) = object.get("set").or_else(|| object.get("map")) {
            let elements = set["elem"].as_array().map_or(&[][..], Vec::as_slice);
            let read = elements.iter().map(element).collect::<Result<_, _>>()?;
            self.sets.insert(text(&set["name"]), read);
        } else if let Some(chain) = object.get("chain") {
            let name = text(&chain["name"]);
            if CHAINS.iter().any(|chain| chain.name == name) {
                let said = ["type", "hook", "prio", "policy"].map(|key| text(&chain[key]));
                self.rules += &format!("{name} {}\n", said.join(" "));
            }
            self.chains.entry(name).or_default();
        } else if let Some(rule) = object.get("rule") {
            let chain = text(&rule["chain"]);
            if CHAINS.iter().any(|known| known.name == chain) {
                self.rules += &format!("{chain} {}\n", rule["expr"]);
            }
            let rule = (text(&rule["comment"]), rule["expr"].clone());
            self.chains.entry(chain).or_default().push(rule);
        }
        Ok(())
    }

    fn judge(mut self) -> Listed {
        let mut broken = Vec::new();
        for (kind, name, _) in SETS {
            if !self.sets.contains_key(name) {
                broken.push(format!("{kind} {name} of nftables is missing"));
            }
        }
        for chain in CHAINS {
            match self.chains.remove(chain.name) {
                None => broken.push(format!("chain {} of nftables is missing", chain.name)),
                Some(rules) => {
                    let wanted: Vec<_> = chain.rules.iter().map(|(_, comment)| *comment).collect();
                    let rules: Vec<_> = rules.into_iter().map(|(comment, _)| comment).collect();
                    broken.extend(unlike(chain.name, &rules, &wanted));
                }
            }
        }
        if self.chains.remove(&edition()).is_none() {
            broken.push("the rules of nftables are those of another release of swarmw".to_owned());
            self.chains.retain(|name, _| !name.starts_with(EDITION));
        }
        let seal = self.chains.keys().find(|chain| is_seal(chain)).cloned();
        seal.iter().for_each(|seal| drop(self.chains.remove(seal)));
        let table = self.table(&mut broken);
        for (name, elements) in &self.sets {
            for (key, value) in elements {
                broken.push(format!("{} of {name} of nftables is too much", shown(key, value)));
            }
        }
        for name in self.chains.keys() {
            broken.push(format!("chain {name} of nftables is too much"));
        }
        if broken.is_empty() {
            broken.extend(seal::broken(seal.as_deref(), &self.rules));
        }
        Listed { table, broken, rules: self.rules }
    }

    /// What varies; what belongs to something whole is taken out, so that the rest is too
    /// much.
    fn table(&mut self, broken: &mut Vec<String>) -> Table {
        let mut table = Table { networks: self.networks(), ..Table::default() };
        for (virtuals, turns, backends) in
            [("virtual4", "turns4", "backends4"), ("virtual6", "turns6", "backends6")]
        {
            let addresses = self.sets.get_mut(virtuals).map(std::mem::take).unwrap_or_default();
            for key in addresses.into_keys() {
                let Some((vni, address)) = parsed(&key) else {
                    broken.push(format!("{} of {virtuals} is too much", shown(&key, "")));
                    continue;
                };
                let slots = self.slots(&key, address, turns, backends, broken);
                table.balanced.insert(address, Balanced { vni, slots });
            }
        }
        table
    }

    fn networks(&mut self) -> BTreeSet<u32> {
        let Some(pairs) = self.sets.get_mut("together") else { return BTreeSet::new() };
        let number = |key: &Key| match &key[..] {
            [a, b] if a == b => a.parse().ok(),
            _ => None,
        };
        let networks = pairs.keys().filter_map(number).collect();
        pairs.retain(|key, _| number(key).is_none());
        networks
    }

    fn slots(
        &mut self,
        key: &Key,
        address: IpAddr,
        turns: &str,
        backends: &str,
        broken: &mut Vec<String>,
    ) -> Vec<IpAddr> {
        let name = chain_of(address);
        let verdict = self.sets.get_mut(turns).and_then(|turns| turns.remove(key));
        let rules = self.chains.remove(&name);
        let (Some(verdict), Some(rules)) = (&verdict, &rules) else {
            if verdict.is_some() || rules.is_some() {
                broken.push(format!("connections to {address} are not balanced"));
            }
            return Vec::new();
        };
        let count: usize = match &rules[..] {
            [(count, does)] if takes_turns(does, address, backends, count) => {
                count.parse().unwrap_or_default()
            }
            _ => 0,
        };
        if *verdict != format!("goto {name}") || count == 0 {
            broken.push(format!("connections to {address} are not balanced as they should be"));
        }
        let mut slots = Vec::new();
        for slot in 0..count {
            let key = vec![address.to_string(), slot.to_string()];
            let there = self.sets.get_mut(backends).and_then(|backends| backends.remove(&key));
            match there.and_then(|backend| backend.parse().ok()) {
                Some(backend) => slots.push(backend),
                None => {
                    broken.push(format!("turn {slot} of {count} of {address} has no backend"));
                    break;
                }
            }
        }
        slots
    }
}

/// Whether a rule sends each connection to the next of so many backends, and nothing else.
fn takes_turns(rule: &Value, address: IpAddr, backends: &str, count: &str) -> bool {
    let family = if address.is_ipv4() { "ip" } else { "ip6" };
    let Some([step]) = rule.as_array().map(Vec::as_slice) else { return false };
    let map = &step["dnat"]["addr"]["map"];
    let [to, turn] = [0, 1].map(|part| &map["key"]["concat"][part]);
    map["data"] == format!("@{backends}")
        && to["payload"]["protocol"] == family
        && to["payload"]["field"] == "daddr"
        && turn["numgen"]["mode"] == "inc"
        && text(&turn["numgen"]["mod"]) == count
        && text(&turn["numgen"]["offset"]) == "0"
}

/// How the rules of a chain differ, by their comments.
pub(crate) fn unlike(chain: &str, there: &[String], wanted: &[&str]) -> Vec<String> {
    if there == wanted {
        return Vec::new();
    }
    let missing = wanted.iter().filter(|rule| !there.iter().any(|t| t == *rule));
    let surplus = there.iter().filter(|rule| !wanted.contains(&rule.as_str()));
    let mut said: Vec<_> = missing
        .map(|rule| format!("rule \"{rule}\" of chain {chain} of nftables is missing"))
        .chain(surplus.map(|rule| {
            let rule = if rule.is_empty() { "without comment" } else { rule };
            format!("rule \"{rule}\" of chain {chain} of nftables is too much")
        }))
        .collect();
    if said.is_empty() {
        said.push(format!("the rules of chain {chain} of nftables are in another order"));
    }
    said
}

/// Key and value of an element: `{"concat": […]}`, with a value `[key, value]`.
fn element(element: &Value) -> Result<(Key, String), String> {
    let (key, value) = match element.as_array().map(Vec::as_slice) {
        Some([key, value]) => (key, value),
        _ => (element, &Value::Null),
    };
    // With a comment, a counter or a timeout.
    let key = key.get("elem").map_or(key, |elem| &elem["val"]);
    let Some(parts) = key["concat"].as_array() else {
        return Err(format!("element {element}"));
    };
    let value = match value.get("goto").or_else(|| value.get("jump")) {
        Some(verdict) => {
            let verb = if value.get("goto").is_some() { "goto" } else { "jump" };
            format!("{verb} {}", text(&verdict["target"]))
        }
        None => text(value),
    };
    Ok((parts.iter().map(part).collect(), value))
}

/// A part of a key; addresses as this library writes them.
fn part(part: &Value) -> String {
    let text = text(part);
    text.parse::<IpAddr>().map_or(text, |address| address.to_string())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn parsed(key: &Key) -> Option<(u32, IpAddr)> {
    match &key[..] {
        [vni, address] => Some((vni.parse().ok()?, address.parse().ok()?)),
        _ => None,
    }
}

fn shown(key: &Key, value: &str) -> String {
    let key = key.join(" . ");
    if value.is_empty() { key } else { format!("{key} : {value}") }
}
