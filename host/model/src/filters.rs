//! The `filters` query parameter of list requests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Refusal;

/// Filters of a list request: values of one key are alternatives, keys must all
/// hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

/// The text is in neither of the two encodings of filters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid filter: want a JSON object of lists or of {{value: true}}, got {0:?}")]
pub struct InvalidFilters(String);

// === impl Filters ===

impl Filters {
    /// Reads both encodings: `{"name":{"x":true}}` (the Go client's) and
    /// `{"name":["x"]}` (docker-py's). An empty text has no filters.
    pub fn parse(text: &str) -> Result<Self, InvalidFilters> {
        let invalid = || InvalidFilters(text.to_owned());
        if text.is_empty() {
            return Ok(Self::default());
        }
        let Ok(Value::Object(keys)) = serde_json::from_str(text) else {
            return Err(invalid());
        };
        let mut all = BTreeMap::new();
        for (key, values) in keys {
            let values = match values {
                Value::Array(list) => list
                    .into_iter()
                    .map(|v| v.as_str().map(str::to_owned).ok_or_else(invalid))
                    .collect::<Result<_, _>>()?,
                Value::Object(set) => set
                    .into_iter()
                    .filter(|(_, on)| on == &Value::Bool(true))
                    .map(|(v, _)| v)
                    .collect(),
                _ => return Err(invalid()),
            };
            all.insert(key, values);
        }
        Ok(Self(all))
    }

    /// Adds one value.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().push(value.into());
    }

    /// Refuses keys other than `known`.
    pub fn check(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Refusal::invalid(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// The alternatives of `key`; none when it is not filtered by.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether there is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is not filtered by, or one alternative satisfies `test`.
    pub fn any(&self, key: &str, test: impl Fn(&str) -> bool) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|v| test(v)))
    }

    /// Whether `labels` satisfy every `K` and `K=V` under `key`: labels, unlike
    /// other filters, must all hold, as in Docker.
    pub fn labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(key).iter().all(|wanted| match wanted.split_once('=') {
            Some((k, v)) => labels.get(k).is_some_and(|have| have == v),
            None => labels.contains_key(wanted),
        })
    }

    /// The Go client's encoding, for the query string.
    pub fn to_json(&self) -> String {
        let keys: BTreeMap<_, BTreeMap<_, bool>> = self
            .0
            .iter()
            .map(|(key, values)| (key, values.iter().map(|v| (v, true)).collect()))
            .collect();
        serde_json::to_string(&keys).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_are_one() {
        let go = Filters::parse(r#"{"name":{"web":true,"off":false},"role":{"manager":true}}"#);
        let python = Filters::parse(r#"{"name":["web"],"role":["manager"]}"#);
        assert_eq!(go, python);
        assert!(Filters::parse("[]").is_err());
        assert!(Filters::parse(r#"{"a":1}"#).is_err());
    }

    #[test]
    fn keys_are_checked_by_name() {
        let filters = Filters::parse(r#"{"foo":["x"]}"#).expect("filters");
        assert_eq!(filters.check(&["name"]).unwrap_err().message, "invalid filter 'foo'");
    }
}
