//! The table as `nft -j list table` says it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use swarmw_model::NodeId;

use super::rules::{Fixed, owned_by};
use super::text::{BACKENDS, SETS};
use super::{Element, Key, Table, Turns, name_of};
use crate::seal::{self, is_seal, seal_of};
use crate::table::unlike;

/// What is there.
#[derive(Debug, Default)]
pub(in crate::ports) struct Listed {
    /// As far as it holds together.
    pub(in crate::ports) table: Table,
    /// What does not, in sentences: then the whole is written anew.
    pub(in crate::ports) broken: Vec<String>,
    /// The rules that are always there.
    rules: String,
}

/// Reads a listing, of a table that should have certain rules; an error says what is not
/// understood.
pub(in crate::ports) fn list(listing: &str, fixed: &Fixed) -> Result<Listed, String> {
    let read: Value = serde_json::from_str(listing).map_err(|error| error.to_string())?;
    let objects = read["nftables"].as_array().ok_or("no list of objects")?;
    let mut seen = Seen::default();
    for object in objects {
        seen.take(object)?;
    }
    Ok(seen.judge(fixed))
}

/// Whether a listing is of a table that a process of this node made. What is not understood
/// is nobody's.
pub(in crate::ports) fn is_of(listing: &str, node: NodeId) -> bool {
    let read: Value = serde_json::from_str(listing).unwrap_or_default();
    let objects = read["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    let name = owned_by(node);
    objects.iter().any(|object| object["chain"]["name"].as_str() == Some(&name))
}

/// What the listing has, by kind.
#[derive(Default)]
struct Seen {
    sets: BTreeSet<String>,
    elements: BTreeSet<Element>,
    /// Chains with their rules: what each does, and its comment.
    chains: BTreeMap<String, Vec<(Value, String)>>,
    hooks: BTreeMap<String, String>,
}

// === impl Listed ===

impl Listed {
    /// As if it had been listed.
    pub(in crate::ports) fn of(table: Table) -> Self {
        Self { table, ..Self::default() }
    }

    /// Of a listing that is not understood.
    pub(in crate::ports) fn unread(said: &str) -> Self {
        let said = format!("nftables lists the table in unknown words: {said}");
        Self { broken: vec![said], ..Self::default() }
    }

    /// The chain that says that the rules are listed as they were written.
    pub(in crate::ports) fn seal(&self) -> String {
        seal_of(&self.rules)
    }
}

// === impl Seen ===

impl Seen {
    fn take(&mut self, object: &Value) -> Result<(), String> {
        if let Some(set) = object.get("set").or_else(|| object.get("map")) {
            let name = text(&set["name"]);
            for read in set["elem"].as_array().map_or(&[][..], Vec::as_slice) {
                self.elements.insert(element(&name, read)?);
            }
            self.sets.insert(name);
        } else if let Some(chain) = object.get("chain") {
            let said = ["type", "hook", "prio", "policy"].map(|key| text(&chain[key]));
            let name = text(&chain["name"]);
            self.hooks.insert(name.clone(), said.join(" "));
            self.chains.entry(name).or_default();
        } else if let Some(rule) = object.get("rule") {
            let said = (rule["expr"].clone(), text(&rule["comment"]));
            self.chains.entry(text(&rule["chain"])).or_default().push(said);
        }
        Ok(())
    }

    fn judge(mut self, fixed: &Fixed) -> Listed {
        let mut listed = Listed::default();
        listed.table.fixed = fixed.clone();
        for (kind, name, _) in SETS {
            if !self.sets.contains(name) {
                listed.broken.push(format!("{kind} {name} of nftables is missing"));
            }
        }
        for chain in fixed.chains() {
            let Some(rules) = self.chains.remove(&chain.name) else {
                listed.broken.push(format!("chain {} of nftables is missing", chain.name));
                continue;
            };
            let hook = self.hooks.remove(&chain.name).unwrap_or_default();
            listed.rules += &format!("{} {hook}\n", chain.name);
            let comments: Vec<_> = rules.iter().map(|(_, comment)| comment.clone()).collect();
            let wanted: Vec<_> = chain.rules.iter().map(|(_, comment)| *comment).collect();
            listed.broken.extend(unlike(&chain.name, &comments, &wanted));
            rules.into_iter().for_each(|(rule, _)| listed.rules += &format!("{rule}\n"));
        }
        let seal = self.chains.keys().find(|chain| is_seal(chain)).cloned();
        seal.iter().for_each(|seal| drop(self.chains.remove(seal)));
        self.take_ports(&mut listed);
        for name in self.chains.keys() {
            listed.broken.push(format!("chain {name} of nftables is too much"));
        }
        if listed.broken.is_empty() {
            listed.broken.extend(seal::broken(seal.as_deref(), &listed.rules));
        }
        listed.table.elements = self.elements;
        listed
    }

    /// Ports; what belongs to something whole is taken out, so that the rest is too much.
    fn take_ports(&mut self, listed: &mut Listed) {
        let of = |set: &str| ["ports4", "ports6", "refused4", "refused6"].contains(&set);
        let entries: Vec<_> = self.elements.iter().filter(|e| of(&e.set)).cloned().collect();
        for entry in entries {
            self.elements.remove(&entry);
            let Some(key) = key_of(&entry) else {
                listed.broken.push(format!("{} of {} is too much", entry.key, entry.set));
                continue;
            };
            let turns = match entry.set.starts_with("refused") {
                true => Some(Turns::default()),
                false => self.turns(key, &entry),
            };
            match turns {
                Some(turns) => {
                    listed.table.ports.insert(key, turns);
                }
                None => listed.broken.push(format!("port {key} is not served as it should be")),
            }
        }
        let is_left = |element: &Element| BACKENDS.contains(&&element.set[..]);
        let left: Vec<_> = self.elements.iter().filter(|e| is_left(e)).cloned().collect();
        for Element { set, key, value } in &left {
            listed.broken.push(format!("{key} : {value} of {set} of nftables is too much"));
        }
        self.elements.retain(|element| !is_left(element));
    }

    fn turns(&mut self, key: Key, entry: &Element) -> Option<Turns> {
        let rules = self.chains.remove(&key.chain());
        let wanted = format!("goto {}", key.chain());
        let rules = rules.filter(|_| entry.value == wanted)?;
        let [(rule, comment)] = &rules[..] else { return None };
        let (count, snat) = Turns::parse(comment)?;
        // What the rule does is as its comment says.
        if !takes_turns(rule, key, count, snat) {
            return None;
        }
        let set = key.backends();
        let mut slots = Vec::new();
        for slot in 0..count {
            let wanted = format!("{} . {slot}", key.port);
            let first = Element { set: set.clone(), key: wanted, value: String::new() };
            let there = self.elements.range(&first..).next();
            let there = there.filter(|e| e.set == first.set && e.key == first.key)?.clone();
            self.elements.remove(&there);
            let (end, target) = there.value.split_once(" . ")?;
            slots.push((end.parse().ok()?, target.parse().ok()?));
        }
        Some(Turns { slots, snat })
    }
}

/// Whether a rule marks connections to a port as it should, sends each to the next of so many
/// backends, and does nothing else.
fn takes_turns(rule: &Value, key: Key, count: usize, snat: bool) -> bool {
    let steps = rule.as_array().map_or(&[][..], Vec::as_slice);
    let (mark, dnat) = match steps {
        [step] => (None, &step["dnat"]),
        [first, step] => {
            let mangle = &first["mangle"];
            let is_mark = mangle["key"]["meta"]["key"] == "mark";
            (is_mark.then(|| text(&mangle["value"])), &step["dnat"])
        }
        _ => return false,
    };
    let wanted = key.mark(snat).map(|mark| mark.to_string());
    let map = &dnat["addr"]["map"];
    let [port, turn] = [0, 1].map(|part| &map["key"]["concat"][part]);
    mark == wanted
        && (steps.len() == 2) == wanted.is_some()
        && dnat["family"] == if key.v6 { "ip6" } else { "ip" }
        && dnat["flags"].is_null()
        && map["data"] == format!("@{}", key.backends())
        && port["payload"]["protocol"] == name_of(key.protocol)
        && port["payload"]["field"] == "dport"
        && turn["numgen"]["mode"] == "inc"
        && text(&turn["numgen"]["mod"]) == count.to_string()
        && text(&turn["numgen"]["offset"]) == "0"
}

fn key_of(entry: &Element) -> Option<Key> {
    let (protocol, port) = entry.key.split_once(" . ")?;
    let v6 = entry.set.ends_with('6');
    Some(Key { protocol: protocol.parse().ok()?, port: port.parse().ok()?, v6 })
}

/// An element: a key, with a value `[key, value]`.
fn element(set: &str, read: &Value) -> Result<Element, String> {
    let (key, value) = match read.as_array().map(Vec::as_slice) {
        Some([key, value]) => (key, value),
        None => (read, &Value::Null),
        Some(_) => return Err(format!("element {read}")),
    };
    // With a comment, a counter or a timeout.
    let key = key.get("elem").map_or(key, |elem| &elem["val"]);
    let value = match value.get("goto") {
        Some(verdict) => format!("goto {}", text(&verdict["target"])),
        None => parts(value),
    };
    Ok(Element { set: set.to_owned(), key: parts(key), value })
}

fn parts(value: &Value) -> String {
    match value["concat"].as_array() {
        Some(parts) => parts.iter().map(part).collect::<Vec<_>>().join(" . "),
        None => part(value),
    }
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
