//! What Docker gave beside what is given here, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use swarmw_model::Time;

/// Characters of an id.
const ID: usize = 25;
/// Characters of the beginning of an id that is meant as one.
const BEGINNING: usize = 12;
/// How the addresses begin that Docker's swarm chose of its pool, and those of its machines.
const CHOSEN: [&str; 2] = ["10.20.", "10.98.9."];

/// A place in which the two differ, and what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub place: String,
    pub docker: Option<Value>,
    pub ours: Option<Value>,
}

/// What stands here for the ids and versions of a recording, as far as they were met.
///
/// An id of the recording is one id here, wherever it stands, in messages too, and no other
/// one's.
#[derive(Debug, Default)]
pub struct Pairs {
    ids: BTreeMap<String, String>,
    versions: BTreeMap<u64, u64>,
    /// Of each object, by the recording's id: its last version there and here.
    reached: BTreeMap<String, (u64, u64)>,
}

// === impl Pairs ===

impl Pairs {
    /// A text of the recording with the ids that are meant here.
    pub fn translate(&self, text: &str) -> String {
        words(text).into_iter().map(|word| self.here(word)).collect()
    }

    /// An id, or the beginning of one.
    fn here(&self, word: &str) -> String {
        let whole = self.ids.iter().find(|(id, _)| id.starts_with(word));
        match whole.filter(|_| word.len() >= BEGINNING) {
            Some((_, ours)) => ours[..word.len()].to_owned(),
            None => word.to_owned(),
        }
    }

    /// The same of all texts and keys in a value.
    pub fn translate_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.translate(text)),
            Value::Array(list) => list.iter().map(|item| self.translate_all(item)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, item)| (self.translate(key), self.translate_all(item)))
                .collect(),
            other => other.clone(),
        }
    }

    /// An id of the recording, and what stands here for it.
    pub fn meet(&mut self, docker: &str, ours: &str) {
        self.ids.insert(docker.to_owned(), ours.to_owned());
    }

    /// The version that is meant here by one of the recording: older than all where none was met,
    /// and itself where it is none.
    pub fn version(&self, text: &str) -> String {
        let version = text.parse::<u64>();
        version.map_or(text.to_owned(), |version| match self.versions.get(&version) {
            Some(here) => here.to_string(),
            None => "0".to_owned(),
        })
    }

    /// Where two values differ that stand in one place.
    pub fn compare(
        &mut self,
        place: &str,
        docker: Option<&Value>,
        ours: Option<&Value>,
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        self.walk(place, "", docker, ours, &mut found);
        found
    }

    fn walk(
        &mut self,
        place: &str,
        key: &str,
        docker: Option<&Value>,
        ours: Option<&Value>,
        found: &mut Vec<Difference>,
    ) {
        match (docker, ours) {
            (None, None) => {}
            (Some(docker @ Value::Object(theirs)), Some(ours @ Value::Object(own))) => {
                let keys: BTreeSet<_> = theirs.keys().chain(own.keys()).collect();
                for key in keys {
                    let place = format!("{place}.{key}");
                    self.walk(&place, key, theirs.get(key), own.get(key), found);
                }
                if !self.has_grown_as_well(docker, ours) {
                    let version = |of: &Value| of.get("Version").cloned();
                    let place = format!("{place}.Version");
                    found.push(Difference { place, docker: version(docker), ours: version(ours) });
                }
            }
            (Some(Value::Array(docker)), Some(Value::Array(ours)))
                if docker.len() == ours.len() =>
            {
                let place = format!("{place}[]");
                let docker = by_name(docker, |name| self.translate(name));
                for (docker, ours) in docker.into_iter().zip(by_name(ours, str::to_owned)) {
                    self.walk(&place, key, Some(docker), Some(ours), found);
                }
            }
            (Some(docker), Some(ours)) if self.same(key, docker, ours) => {}
            _ => {
                let (docker, ours) = (docker.cloned(), ours.cloned());
                found.push(Difference { place: place.to_owned(), docker, ours });
            }
        }
    }

    fn same(&mut self, key: &str, docker: &Value, ours: &Value) -> bool {
        match (key, docker, ours) {
            ("Index", Value::Number(docker), Value::Number(ours)) => {
                let (Some(docker), Some(ours)) = (docker.as_u64(), ours.as_u64()) else {
                    return false;
                };
                self.versions.insert(docker, ours);
                (docker > 0) == (ours > 0)
            }
            ("time" | "timeNano", Value::Number(_), Value::Number(ours)) => {
                ours.as_i64().is_some_and(|moment| moment > 0)
            }
            (_, Value::String(docker), Value::String(ours)) => self.same_text(docker, ours),
            _ => docker == ours,
        }
    }

    fn same_text(&mut self, docker: &str, ours: &str) -> bool {
        match docker {
            "<certificate>" | "<name or key of the root>" => !ours.is_empty(),
            "<join token>" => ours.starts_with("SWMTKN-1-"),
            "<unlock key>" => ours.starts_with("SWMKEY-1-"),
            _ if is_moment(docker) => is_moment(ours),
            _ if CHOSEN.iter().any(|begin| docker.starts_with(begin)) => {
                docker == ours || is_address_like(docker, ours)
            }
            _ => {
                let (docker, ours) = (words(docker), words(ours));
                docker.len() == ours.len()
                    && docker.iter().zip(ours).all(|(docker, ours)| self.same_word(docker, ours))
            }
        }
    }

    fn same_word(&mut self, docker: &str, ours: &str) -> bool {
        if !is_id(docker) {
            return docker == ours;
        }
        match self.ids.get(docker) {
            Some(known) => known == ours,
            None if !is_id(ours) || self.ids.values().any(|other| other == ours) => false,
            None => {
                self.ids.insert(docker.to_owned(), ours.to_owned());
                true
            }
        }
    }

    /// Each write gives an object a later version: where the recording's has grown since it was
    /// met last, ours must have.
    fn has_grown_as_well(&mut self, docker: &Value, ours: &Value) -> bool {
        let version = |of: &Value| of.pointer("/Version/Index").and_then(Value::as_u64);
        let (Some(id), Some(docker), Some(ours)) =
            (docker["ID"].as_str(), version(docker), version(ours))
        else {
            return true;
        };
        let before = self.reached.insert(id.to_owned(), (docker, ours));
        before.is_none_or(|(before, before_ours)| docker == before || ours > before_ours)
    }
}

/// Objects that have names in the order of those: lists are in the order of ids, which differ.
fn by_name(list: &[Value], here: impl Fn(&str) -> String) -> Vec<&Value> {
    let mut list: Vec<_> = list.iter().collect();
    if list.iter().all(|item| name(item).is_some()) {
        list.sort_by_cached_key(|item| name(item).map(&here));
    }
    list
}

fn name(item: &Value) -> Option<&str> {
    let fields = ["/Spec/Name", "/Name", "/Description/Hostname", "/ID"];
    item.get("ID").or(item.get("Id"))?;
    fields.into_iter().find_map(|field| item.pointer(field)?.as_str())
}

/// A text cut before and behind whatever may be an id.
fn words(text: &str) -> Vec<&str> {
    let is_of_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let cuts = (1..bytes.len()).filter(|at| is_of_id(bytes[at - 1]) != is_of_id(bytes[*at]));
    let mut words = Vec::new();
    let mut begun = 0;
    for cut in cuts.chain([bytes.len()]) {
        words.push(&text[begun..cut]);
        begun = cut;
    }
    words
}

fn is_id(word: &str) -> bool {
    word.len() == ID && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// A moment as Go writes it, other than its zero.
fn is_moment(text: &str) -> bool {
    let moment = serde_json::from_value::<Time>(Value::String(text.to_owned()));
    text.ends_with('Z') && moment.is_ok_and(|moment| moment > Time::ZERO)
}

/// Whether both are an address, each with a port, that one, or with the length of a prefix.
fn is_address_like(docker: &str, ours: &str) -> bool {
    let port = |text: &str| text.parse::<SocketAddr>().ok().map(|address| address.port());
    let is_net = |text: &str| text.parse::<ipnet::IpNet>().is_ok();
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    port(docker) == port(ours) && is_net(docker) == is_net(ours) && is_ip(docker) == is_ip(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ONE: &str = "aaaaaaaaaaaaaaaaaaaaaaaa1";
    const TWO: &str = "bbbbbbbbbbbbbbbbbbbbbbbb2";
    const THREE: &str = "cccccccccccccccccccccccc3";

    fn places(pairs: &mut Pairs, docker: Value, ours: Value) -> Vec<String> {
        let found = pairs.compare("x", Some(&docker), Some(&ours));
        found.into_iter().map(|difference| difference.place).collect()
    }

    #[test]
    fn values_absence_null_and_emptiness_are_told_apart() {
        let docker = json!({"A": 1, "B": null, "C": [], "D": {"E": ["x"]}, "F": 0});
        let ours = json!({"A": 2, "B": [], "D": {"E": ["y"]}, "F": 0.0, "G": ""});
        let want = ["x.A", "x.B", "x.C", "x.D.E[]", "x.F", "x.G"];
        assert_eq!(places(&mut Pairs::default(), docker.clone(), ours), want);
        assert!(places(&mut Pairs::default(), docker.clone(), docker).is_empty());
        let lists = places(&mut Pairs::default(), json!([1, 2]), json!([1]));
        assert_eq!(lists, ["x"]);
    }

    #[test]
    fn an_id_is_the_same_one_everywhere() {
        let mut pairs = Pairs::default();
        let text = |id: &str| json!({"message": format!("service web ({id}) is there")});
        assert!(places(&mut pairs, json!({"ID": ONE}), json!({"ID": TWO})).is_empty());
        assert!(places(&mut pairs, text(ONE), text(TWO)).is_empty());
        assert_eq!(places(&mut pairs, text(ONE), text(THREE)), ["x.message"]);
        assert_eq!(places(&mut pairs, json!({"ID": THREE}), json!({"ID": TWO})), ["x.ID"]);
        assert_eq!(places(&mut pairs, json!({"ID": THREE}), json!({"ID": "3"})), ["x.ID"]);
        let path = |id: &str| format!("/v1.41/services/{id}/update");
        assert_eq!(pairs.translate(&path(ONE)), path(TWO));
        assert_eq!(pairs.translate(&path(&ONE[..20])), path(&TWO[..20]));
    }

    #[test]
    fn versions_grow_where_dockers_do() {
        let at = |id: &str, index: u64| json!({"ID": id, "Version": {"Index": index}});
        let mut pairs = Pairs::default();
        assert!(places(&mut pairs, at(ONE, 7), at(TWO, 3)).is_empty());
        assert!(places(&mut pairs, at(ONE, 7), at(TWO, 3)).is_empty());
        assert_eq!(["7", "8", "x"].map(|text| pairs.version(text)), ["3", "0", "x"]);
        assert_eq!(places(&mut pairs, at(ONE, 9), at(TWO, 3)), ["x.Version"]);
        assert!(places(&mut pairs, at(ONE, 11), at(TWO, 4)).is_empty());
    }

    #[test]
    fn moments_addresses_and_secrets_are_of_their_kind() {
        let mut pairs = Pairs::default();
        for (docker, ours, same) in [
            ("2026-11-23T04:02:43.5568514Z", "2025-11-20T23:41:33.56Z", true),
            ("2026-11-23T04:02:43.5568514Z", "0001-01-01T00:00:00Z", false),
            ("2026-11-23T04:02:43.5568514Z", "2025-11-20T23:41:33.56+00:00", false),
            ("10.98.9.1:2377", "127.0.0.1:2377", true),
            ("10.98.9.1:2377", "127.0.0.1:2378", false),
            ("10.98.9.1:2377", "127.0.0.1", false),
            ("10.20.0.128/25", "10.20.1.0/25", true),
            ("10.77.0.1", "10.77.0.2", false),
            ("<join token>", "SWMTKN-1-x", true),
            ("<join token>", "", false),
            ("<certificate>", "", false),
            ("name 'é'", "name 'é'", true),
        ] {
            assert_eq!(pairs.same_text(docker, ours), same, "{docker} beside {ours}");
        }
    }

    #[test]
    fn lists_of_objects_are_compared_by_name() {
        let at = |name: &str, id: &str| json!({"ID": id, "Spec": {"Name": name}});
        let docker = json!([at("a", THREE), at("b", ONE)]);
        let ours = json!([at("b", TWO), at("a", ONE)]);
        assert!(places(&mut Pairs::default(), docker, ours).is_empty());
    }
}
