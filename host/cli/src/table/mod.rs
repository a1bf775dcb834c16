//! What lists look like: tables, templates, JSON lines.

mod format;
mod natural;
mod tabwriter;
mod template;
mod when;

pub(crate) use format::{Column, Format, List, Row, render};
pub(crate) use natural::natural;
pub(crate) use template::{Compiled, LABEL};
pub(crate) use when::{ago, bytes_size, go_time, human, now};

/// Characters of a shortened id.
const SHORT_ID: usize = 12;

/// The first 12 characters of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// What [`LABEL`] stands for in a row: the labels of an object.
pub(crate) fn labels_of(labels: &serde_json::Value) -> serde_json::Value {
    match labels {
        serde_json::Value::Object(labels) => labels.clone().into(),
        _ => serde_json::Map::default().into(),
    }
}

/// A word with its first letter in upper case.
pub(crate) fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// At most `length` characters, the last of which is `…` where some are missing.
pub(crate) fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}
