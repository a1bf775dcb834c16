//! Merges one tree onto another by the rules of the Compose specification: maps by
//! their keys, lists one after the other, and what has a meaning of its own by that.

use crate::amounts::short_ports;
use crate::node::{Entry, Node, Onto, Value};
use crate::read::short_mount;

/// How the values of a key are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Maps by key, lists one after the other, anything else replaced.
    Usual,
    /// The later one alone.
    Replace,
    /// `{key: value}` or `[key=value]`.
    Pairs,
    /// `{name: …}` or `[name]`.
    Names,
    /// A list, or one value of it.
    List,
    /// A list whose items have a key.
    Keyed(Key),
    /// A driver's options, as long as it is the same driver.
    Logging,
    /// A text is the `context`.
    Build,
}

/// What makes two items of a list the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Port,
    Target,
    Source,
}

/// Merges `over` onto `base`, both the roots of files.
pub(crate) fn roots(base: Node, over: Node) -> Node {
    onto(base, over, &mut Vec::new())
}

/// Merges two descriptions of a service.
pub(crate) fn services(base: Node, over: Node) -> Node {
    onto(base, over, &mut vec!["services".to_owned(), String::new()])
}

/// Takes out what is tagged as to be reset.
pub(crate) fn settle(node: &mut Node) {
    match &mut node.value {
        Value::Map(entries) => {
            entries.retain(|entry| entry.value.onto != Onto::Reset);
            entries.iter_mut().for_each(|entry| settle(&mut entry.value));
        }
        Value::List(nodes) => {
            nodes.retain(|node| node.onto != Onto::Reset);
            nodes.iter_mut().for_each(settle);
        }
        _ => {}
    }
}

fn onto(base: Node, over: Node, path: &mut Vec<String>) -> Node {
    match over.onto {
        Onto::Reset | Onto::Override => return over,
        Onto::Merged if over.is_null() => return base,
        Onto::Merged if base.is_null() => return over,
        Onto::Merged => {}
    }
    match rule(path) {
        Rule::Replace => over,
        Rule::Usual => usual(base, over, path),
        Rule::Pairs => usual(pairs(base), pairs(over), path),
        Rule::Names => {
            let blank = |node| names(node, path.last().map(String::as_str));
            usual(blank(base), blank(over), path)
        }
        Rule::List => usual(list(base), list(over), path),
        Rule::Build => usual(context(base), context(over), path),
        Rule::Keyed(key) => keyed(base, over, key),
        Rule::Logging => {
            let driver = |node: &Node| node.get("driver").and_then(Node::printed);
            match (driver(&base), driver(&over)) {
                (Some(one), Some(other)) if one != other => over,
                _ => usual(base, over, path),
            }
        }
    }
}

fn rule(path: &[String]) -> Rule {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["services", _, "command" | "entrypoint"]
        | ["services", _, "healthcheck", "test"]
        | ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "environment" | "labels" | "sysctls" | "annotations"]
        | ["services", _, "deploy", "labels"]
        | ["services", _, "build", "args" | "labels"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::Pairs,
        ["services", _, "networks" | "depends_on"] => Rule::Names,
        ["services", _, "dns" | "dns_search" | "env_file" | "label_file" | "tmpfs"] => Rule::List,
        ["services", _, "ports"] => Rule::Keyed(Key::Port),
        ["services", _, "volumes"] => Rule::Keyed(Key::Target),
        ["services", _, "secrets" | "configs"] => Rule::Keyed(Key::Source),
        ["services", _, "logging"] => Rule::Logging,
        ["services", _, "build"] => Rule::Build,
        _ => Rule::Usual,
    }
}

fn usual(base: Node, over: Node, path: &mut Vec<String>) -> Node {
    let at = over.at.clone();
    match (base.value, over.value) {
        (Value::Map(mut entries), Value::Map(more)) => {
            for entry in more {
                let Some(have) = entries.iter_mut().find(|have| have.key == entry.key) else {
                    entries.push(entry);
                    continue;
                };
                path.push(entry.key);
                let before = std::mem::replace(&mut have.value, Node::new(Value::Null, &at));
                have.value = onto(before, entry.value, path);
                have.at = entry.at;
                path.pop();
            }
            Node::new(Value::Map(entries), &at)
        }
        (Value::List(mut nodes), Value::List(more)) => {
            nodes.extend(more);
            Node::new(Value::List(nodes), &at)
        }
        (_, value) => Node { value, at, onto: over.onto, substituted: over.substituted },
    }
}

/// A list of `key=value` as a map.
fn pairs(node: Node) -> Node {
    let Value::List(nodes) = node.value else { return node };
    let mut entries: Vec<Entry> = Vec::new();
    for item in nodes {
        let text = item.printed().unwrap_or_default();
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Node::text(value, &item.at)),
            None => (text, Node::new(Value::Null, &item.at)),
        };
        entries.retain(|have| have.key != key);
        entries.push(Entry { key, at: item.at.clone(), value });
    }
    Node::new(Value::Map(entries), &node.at)
}

/// A list of names as a map without values.
fn names(node: Node, key: Option<&str>) -> Node {
    let Value::List(nodes) = node.value else { return node };
    let blank = match key {
        Some("depends_on") => Value::Map(Vec::new()),
        _ => Value::Null,
    };
    let entry = |item: Node| Entry {
        key: item.printed().unwrap_or_default(),
        value: Node::new(blank.clone(), &item.at),
        at: item.at,
    };
    Node::new(Value::Map(nodes.into_iter().map(entry).collect()), &node.at)
}

fn list(node: Node) -> Node {
    match node.value {
        Value::List(_) => node,
        _ => {
            let at = node.at.clone();
            Node::new(Value::List(vec![node]), &at)
        }
    }
}

fn context(node: Node) -> Node {
    match node.value {
        Value::Text(_) => {
            let at = node.at.clone();
            let entry = Entry { key: "context".to_owned(), at: at.clone(), value: node };
            Node::new(Value::Map(vec![entry]), &at)
        }
        _ => node,
    }
}

/// Items of the later list take the place of those with their key; Docker's client then
/// sorts them all.
fn keyed(base: Node, over: Node, key: Key) -> Node {
    let at = over.at.clone();
    match (base.value, over.value) {
        (Value::List(mut nodes), Value::List(more)) => {
            let keys: Vec<_> = more.iter().map(|node| key.of(node)).collect();
            nodes.retain(|node| !keys.contains(&key.of(node)));
            nodes.extend(more);
            nodes.sort_by_key(|node| key.of(node));
            Node::new(Value::List(nodes), &at)
        }
        (_, value) => Node::new(value, &at),
    }
}

// === impl Key ===

impl Key {
    /// The key of an item, as a text and a number that sort as Docker's client does.
    fn of(self, node: &Node) -> (u16, String) {
        let part = |key: &str| node.get(key).and_then(Node::printed).unwrap_or_default();
        let text = node.printed();
        match (self, text) {
            (Key::Source, Some(text)) => (0, text),
            (Key::Source, None) => (0, part("source")),
            (Key::Target, Some(text)) => (0, short_mount(&text).map_or(text, |mount| mount.target)),
            (Key::Target, None) => (0, part("target")),
            (Key::Port, Some(text)) => match short_ports(&text) {
                Ok(ports) => {
                    let published = ports.first().map_or(0, |port| port.published_port);
                    let each = ports.iter().map(|port| {
                        let (target, proto) = (port.target_port, port.protocol);
                        format!("{}:{target}/{proto}/ingress", port.published_port)
                    });
                    (published, each.collect::<Vec<_>>().join(" "))
                }
                Err(_) => (0, text),
            },
            (Key::Port, None) => {
                let or = |key: &str, default: &str| match part(key) {
                    text if text.is_empty() => default.to_owned(),
                    text => text,
                };
                let published = or("published", "0");
                let key = format!(
                    "{published}:{}/{}/{}",
                    part("target"),
                    or("protocol", "tcp"),
                    or("mode", "ingress")
                );
                (published.parse().unwrap_or_default(), key)
            }
        }
    }
}
