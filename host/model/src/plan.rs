//! What a set of writes would do, told before anything is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Duration, NetworkSpec, ServiceSpec};

/// Writes that are looked at together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// Networks that are to be made.
    pub networks: Vec<NetworkSpec>,
    /// Names of secrets that are to be made; of those nothing else is said.
    pub secrets: Vec<String>,
    /// Names of configs that are to be made.
    pub configs: Vec<String>,
    /// Services as they are to be: one that is there under this name is changed. They may name
    /// networks, secrets and configs instead of saying their ids.
    pub services: Vec<ServiceSpec>,
    /// Names of services that are to go.
    pub removed: Vec<String>,
}

/// What would come of a [`Wish`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Outlook {
    /// The services of the wish, and others whose tasks it would concern.
    pub services: Vec<ServiceOutlook>,
    /// How long the updates take at least: tasks are taken to start and to stop at once.
    pub duration: Duration,
    /// Whether all came to rest in what was looked at.
    pub is_settled: bool,
}

/// What would become of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceOutlook {
    /// Its name.
    pub name: String,
    /// What is done to it.
    pub act: PlannedAct,
    /// What of its spec would be otherwise.
    pub changes: Vec<FieldChange>,
    /// Tasks by the node that they would be on.
    pub placed: BTreeMap<String, u64>,
    /// Tasks that stay as they are.
    pub kept: u64,
    /// Tasks that come to what there is.
    pub added: u64,
    /// Tasks in whose place another one comes.
    pub replaced: u64,
    /// Those of them that come to stand on another node.
    pub moved: Vec<TaskMove>,
    /// Tasks that go without another one in their place.
    pub stopped: u64,
    /// Why tasks would have no node, and how many of them.
    pub pending: BTreeMap<String, u64>,
    /// Why its update would not come to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

/// What is done to a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlannedAct {
    /// Nothing: it is as it is wished to be.
    #[default]
    Keep,
    /// It is made.
    Create,
    /// Its spec is changed.
    Update,
    /// It goes.
    Remove,
}

/// A value of a spec that would be another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FieldChange {
    /// Where, such as `TaskTemplate.ContainerSpec.Env[LOG]`.
    pub field: String,
    /// What is there; absent where there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What would be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// A task that would be replaced by one on another node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskMove {
    /// Such as `web.3`.
    pub task: String,
    /// The node that it is on.
    pub from: String,
    /// The node that its successor would be on.
    pub to: String,
}

// === impl ServiceOutlook ===

impl ServiceOutlook {
    /// Whether nothing at all would happen to it.
    pub fn is_quiet(&self) -> bool {
        let tasks = self.added + self.replaced + self.stopped;
        self.act == PlannedAct::Keep && tasks == 0 && self.trouble.is_empty()
    }
}

/// What makes an element of a list the same in another list, by the first field that all have.
const KEYS: [&str; 6] = ["Target", "SecretName", "ConfigName", "TargetPort", "Name", "Plugin"];

/// The values that differ between two objects, by their places. Elements of lists that have a
/// name, `KEY=VALUE` or a field that tells them apart, are compared one by one.
pub fn field_changes(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(String::new(), Some(old), Some(new), &mut found);
    found
}

fn compare(field: String, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    let is_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let (old, new) = (old.filter(|v| !is_nothing(v)), new.filter(|v| !is_nothing(v)));
    if old == new {
        return;
    }
    if let Some(parts) = parts(old, new) {
        for (name, (old, new)) in parts {
            let place = match (&name, field.is_empty()) {
                (Part::Field(name), true) => name.clone(),
                (Part::Field(name), false) => format!("{field}.{name}"),
                (Part::Element(name), _) => format!("{field}[{name}]"),
            };
            compare(place, old.as_ref(), new.as_ref(), found);
        }
        return;
    }
    found.push(FieldChange { field, old: old.cloned(), new: new.cloned() });
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Field(String),
    Element(String),
}

type Parts = BTreeMap<Part, (Option<Value>, Option<Value>)>;

/// What two values consist of, where that can be told of both; one that is not there has no
/// parts.
fn parts(old: Option<&Value>, new: Option<&Value>) -> Option<Parts> {
    let (old, new) = (elements(old)?, elements(new)?);
    let mut parts = Parts::new();
    for (name, value) in old {
        parts.entry(name).or_default().0 = Some(value);
    }
    for (name, value) in new {
        parts.entry(name).or_default().1 = Some(value);
    }
    Some(parts)
}

fn elements(value: Option<&Value>) -> Option<BTreeMap<Part, Value>> {
    let list = match value {
        None => return Some(BTreeMap::new()),
        Some(Value::Object(map)) => {
            let part = |(key, value): (&String, &Value)| (Part::Field(key.clone()), value.clone());
            return Some(map.iter().map(part).collect());
        }
        Some(Value::Array(list)) => list,
        Some(_) => return None,
    };
    let named: BTreeMap<_, _> = list.iter().filter_map(named).collect();
    // Two of one name, or one without: the list is one value.
    (named.len() == list.len()).then_some(named)
}

fn named(element: &Value) -> Option<(Part, Value)> {
    if let Some((key, value)) = element.as_str().and_then(|text| text.split_once('=')) {
        let is_name =
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return is_name.then(|| (Part::Element(key.to_owned()), Value::from(value)));
    }
    let key = KEYS.iter().find_map(|key| element.get(key))?;
    let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    Some((Part::Element(name), element.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(old: Value, new: Value) -> Vec<(String, Value, Value)> {
        let told = |c: FieldChange| (c.field, c.old.unwrap_or_default(), c.new.unwrap_or_default());
        field_changes(&old, &new).into_iter().map(told).collect()
    }

    #[test]
    fn a_change_is_told_by_its_place_and_nothing_else_is() {
        let old = json!({"Name": "web", "Task": {"Image": "a", "Env": ["A=1", "B=2"]},
            "Labels": {"k": "v"}, "Ports": []});
        let new = json!({"Name": "web", "Task": {"Image": "b", "Env": ["B=2", "A=3", "C=4"]},
            "Labels": {}});
        let field = |name: &str| name.to_owned();
        assert_eq!(
            told(old.clone(), new),
            [
                (field("Labels.k"), json!("v"), Value::Null),
                (field("Task.Env[A]"), json!("1"), json!("3")),
                (field("Task.Env[C]"), Value::Null, json!("4")),
                (field("Task.Image"), json!("a"), json!("b")),
            ]
        );
        assert_eq!(told(old.clone(), old), []);
    }

    #[test]
    fn elements_are_told_apart_by_what_names_them_and_lists_without_names_are_one_value() {
        let mount = |source: &str, target: &str| json!({"Source": source, "Target": target});
        let old = json!({"Mounts": [mount("a", "/a"), mount("b", "/b")], "Args": ["x", "y"]});
        let new = json!({"Mounts": [mount("b", "/b"), mount("c", "/a")], "Args": ["y"]});
        assert_eq!(
            told(old, new),
            [
                ("Args".to_owned(), json!(["x", "y"]), json!(["y"])),
                ("Mounts[/a].Source".to_owned(), json!("a"), json!("c")),
            ]
        );
        // Two of one name: which is which cannot be said.
        let old = json!({"Env": ["A=1", "A=2"]});
        let new = json!({"Env": ["A=1"]});
        let [(field, ..)] = &told(old, new)[..] else { panic!("one change") };
        assert_eq!(field, "Env");
        let port = |published: u16| json!({"TargetPort": 80, "PublishedPort": published});
        let ports = told(json!({"Ports": [port(1)]}), json!({"Ports": [port(2)]}));
        assert_eq!(ports, [("Ports[80].PublishedPort".to_owned(), json!(1), json!(2))]);
    }
}
