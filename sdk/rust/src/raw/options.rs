//! Options as the host has parsed and checked them.

use super::{OptionEntry, OptionValue};

/// The options of a call: typed, defaults filled in, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Options(Vec<OptionEntry>);

impl Options {
    /// From entries, in any order.
    pub fn new(mut entries: Vec<OptionEntry>) -> Self {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Self(entries)
    }

    /// The value of an option, if it is set.
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        let at = self.0.binary_search_by(|e| e.name.as_str().cmp(name)).ok()?;
        Some(&self.0[at].value)
    }

    /// A text, choice or secret.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            OptionValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer, a duration in milliseconds or a size in bytes.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            OptionValue::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            OptionValue::Number(value) => Some(*value),
            OptionValue::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// A boolean.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            OptionValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.0.iter().map(|e| (e.name.as_str(), &e.value))
    }
}

impl<const N: usize> From<[(&str, OptionValue); N]> for Options {
    fn from(entries: [(&str, OptionValue); N]) -> Self {
        Self::new(
            entries
                .into_iter()
                .map(|(name, value)| OptionEntry { name: name.to_owned(), value })
                .collect(),
        )
    }
}
