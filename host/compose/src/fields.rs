//! Takes a map apart, key by key; what is wrong is noted with its place, and a key that
//! nobody took is unknown.

use std::collections::BTreeMap;

use crate::amounts;
use crate::nearest::nearest;
use crate::node::{Entry, Node, Value};
use crate::project::{Duration, Extras};
use crate::trouble::{Position, Trouble};

/// What reading has found besides the values.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) warnings: Vec<String>,
    /// The set of files has no `version`: more forms are read than Docker's client does.
    pub(crate) is_current: bool,
}

/// A value and the path of its key.
#[derive(Clone, Debug)]
pub(crate) struct Found<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

/// The keys of one map.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    path: String,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

// === impl Notes ===

impl Notes {
    pub(crate) fn wrong(&mut self, at: &Position, message: impl Into<String>) {
        let trouble = Trouble::at(at, message);
        // A file that is included is looked at by itself and in the one that includes it.
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }

    /// Values that Docker reads but no longer wants written so.
    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        let message = message.into();
        if !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }
}

// === impl Found ===

impl<'n> Found<'n> {
    pub(crate) fn new(node: &'n Node, path: impl Into<String>) -> Self {
        Self { node, path: path.into() }
    }

    pub(crate) fn at(&self) -> &'n Position {
        &self.node.at
    }

    pub(crate) fn wrong(&self, notes: &mut Notes, what: &str) {
        notes.wrong(&self.node.at, format!("{} {what}", self.path));
    }

    /// The values of a list; what is none is noted.
    pub(crate) fn items(&self, notes: &mut Notes) -> Vec<Found<'n>> {
        match &self.node.value {
            Value::List(nodes) => self.of_list(nodes),
            _ => {
                self.wrong(notes, "must be a list");
                Vec::new()
            }
        }
    }

    /// The values of a list, or the one value that stands for a list of one.
    pub(crate) fn items_or_one(&self) -> Vec<Found<'n>> {
        match &self.node.value {
            Value::List(nodes) => self.of_list(nodes),
            _ => vec![self.clone()],
        }
    }

    fn of_list(&self, nodes: &'n [Node]) -> Vec<Found<'n>> {
        let found = |(index, node)| Found::new(node, format!("{}.{index}", self.path));
        nodes.iter().enumerate().map(found).collect()
    }

    /// The keys of a map; what is none is noted.
    pub(crate) fn fields(&self, notes: &mut Notes) -> Fields<'n> {
        if !matches!(self.node.value, Value::Map(_)) {
            self.wrong(notes, "must be a mapping");
        }
        Fields::new(self.node, &self.path)
    }

    /// A map of the user's own keys.
    pub(crate) fn children(&self, notes: &mut Notes) -> Vec<(&'n Entry, Found<'n>)> {
        if !matches!(self.node.value, Value::Map(_)) {
            self.wrong(notes, "must be a mapping");
        }
        let child = |entry: &'n Entry| {
            (entry, Found::new(&entry.value, format!("{}.{}", self.path, entry.key)))
        };
        self.node.entries().iter().map(child).collect()
    }

    pub(crate) fn text(&self, notes: &mut Notes) -> String {
        if let Value::Text(text) = &self.node.value {
            return text.clone();
        }
        self.wrong(notes, "must be a string");
        String::new()
    }

    pub(crate) fn text_or_number(&self, notes: &mut Notes) -> String {
        match &self.node.value {
            Value::Text(_) | Value::Int(_) | Value::Float(_) => {
                self.node.printed().unwrap_or_default()
            }
            _ => {
                self.wrong(notes, "must be a string or number");
                String::new()
            }
        }
    }

    pub(crate) fn flag(&self, notes: &mut Notes) -> bool {
        match &self.node.value {
            Value::Bool(value) => *value,
            Value::Text(text) if self.may_be_cast(notes) => match text.to_lowercase().as_str() {
                "1" | "t" | "true" | "y" | "yes" | "on" => true,
                "0" | "f" | "false" | "n" | "no" | "off" => false,
                _ => {
                    self.wrong(notes, &format!("must be a boolean: invalid boolean: {text}"));
                    false
                }
            },
            _ => {
                self.wrong(notes, "must be a boolean");
                false
            }
        }
    }

    /// A whole number in the range of `N`.
    pub(crate) fn whole<N: TryFrom<i64> + Default>(&self, notes: &mut Notes) -> N {
        let number = match &self.node.value {
            Value::Int(value) => Some(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                Some(*value as i64)
            }
            Value::Text(text) if self.may_be_cast(notes) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.wrong(notes, "must be a integer");
            return N::default();
        };
        N::try_from(number).unwrap_or_else(|_| {
            self.wrong(notes, &format!("is out of range: {number}"));
            N::default()
        })
    }

    pub(crate) fn number(&self, notes: &mut Notes) -> f64 {
        let number = match &self.node.value {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Text(text) if self.may_be_cast(notes) => text.trim().parse().ok(),
            _ => None,
        };
        number.unwrap_or_else(|| {
            self.wrong(notes, "must be a number");
            0.0
        })
    }

    /// Docker's client casts what a variable gave; the present specification all texts.
    fn may_be_cast(&self, notes: &Notes) -> bool {
        self.node.substituted || notes.is_current
    }

    pub(crate) fn duration(&self, notes: &mut Notes) -> Duration {
        let text = self.text(notes);
        if !matches!(self.node.value, Value::Text(_)) {
            return Duration::ZERO;
        }
        amounts::duration(&text).unwrap_or_else(|_| {
            self.wrong(notes, &format!("Does not match format 'duration': {text:?}"));
            Duration::ZERO
        })
    }

    /// A size in bytes.
    pub(crate) fn bytes(&self, notes: &mut Notes) -> i64 {
        match &self.node.value {
            Value::Int(value) => *value,
            _ => {
                let text = self.text_or_number(notes);
                amounts::bytes(&text).unwrap_or_else(|error| {
                    self.wrong(notes, &format!("is no size: {error}"));
                    0
                })
            }
        }
    }

    pub(crate) fn texts(&self, notes: &mut Notes) -> Vec<String> {
        self.items(notes).iter().map(|item| item.text(notes)).collect()
    }

    pub(crate) fn texts_or_one(&self, notes: &mut Notes) -> Vec<String> {
        self.items_or_one().iter().map(|item| item.text(notes)).collect()
    }

    pub(crate) fn texts_or_numbers(&self, notes: &mut Notes) -> Vec<String> {
        self.items(notes).iter().map(|item| item.text_or_number(notes)).collect()
    }

    /// `{key: value}` or `[key=value]`; a key alone has no value.
    pub(crate) fn pairs(&self, notes: &mut Notes) -> BTreeMap<String, Option<String>> {
        let scalar = |found: &Found<'_>, notes: &mut Notes| match &found.node.value {
            Value::Null => None,
            Value::List(_) | Value::Map(_) => {
                found.wrong(notes, "must be a string, number or null");
                None
            }
            _ => found.node.printed(),
        };
        match &self.node.value {
            Value::Map(_) => self
                .children(notes)
                .iter()
                .map(|(entry, found)| (entry.key.clone(), scalar(found, notes)))
                .collect(),
            Value::List(_) => self
                .items(notes)
                .iter()
                .map(|item| {
                    let text = item.text_or_number(notes);
                    match text.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (text, None),
                    }
                })
                .collect(),
            _ => {
                self.wrong(notes, "must be a mapping or a list");
                BTreeMap::new()
            }
        }
    }

    /// The same with an empty text for no value.
    pub(crate) fn labels(&self, notes: &mut Notes) -> BTreeMap<String, String> {
        let pairs = self.pairs(notes).into_iter();
        pairs.map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }

    /// Options of a driver: texts and numbers by name.
    pub(crate) fn options(&self, notes: &mut Notes) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        for (entry, found) in self.children(notes) {
            if matches!(found.node.value, Value::List(_) | Value::Map(_)) {
                found.wrong(notes, "must be a string, number or null");
            }
            options.insert(entry.key.clone(), found.node.printed().unwrap_or_default());
        }
        options
    }

    /// A command: a list of words, or a text that is split as a shell does.
    pub(crate) fn words(&self, notes: &mut Notes) -> Vec<String> {
        match &self.node.value {
            Value::Text(text) => shlex::split(text).unwrap_or_else(|| {
                self.wrong(notes, "has a quote that nothing closes");
                Vec::new()
            }),
            Value::List(_) => self.texts(notes),
            _ => {
                self.wrong(notes, "must be a string or a list");
                Vec::new()
            }
        }
    }
}

// === impl Fields ===

impl<'n> Fields<'n> {
    pub(crate) fn new(node: &'n Node, path: &str) -> Self {
        Self { path: path.to_owned(), entries: node.entries(), known: Vec::new() }
    }

    /// A key that is there, and not null.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Found<'n>> {
        self.take_any(key).filter(|found| !found.node.is_null())
    }

    /// A key that is there, be it null.
    pub(crate) fn take_any(&mut self, key: &'static str) -> Option<Found<'n>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Some(Found::new(&entry.value, path))
    }

    pub(crate) fn text(&mut self, key: &'static str, notes: &mut Notes) -> String {
        self.take(key).map(|found| found.text(notes)).unwrap_or_default()
    }

    pub(crate) fn flag(&mut self, key: &'static str, notes: &mut Notes) -> bool {
        self.take(key).is_some_and(|found| found.flag(notes))
    }

    pub(crate) fn texts(&mut self, key: &'static str, notes: &mut Notes) -> Vec<String> {
        self.take(key).map(|found| found.texts(notes)).unwrap_or_default()
    }

    pub(crate) fn texts_or_one(&mut self, key: &'static str, notes: &mut Notes) -> Vec<String> {
        self.take(key).map(|found| found.texts_or_one(notes)).unwrap_or_default()
    }

    pub(crate) fn labels(
        &mut self,
        key: &'static str,
        notes: &mut Notes,
    ) -> BTreeMap<String, String> {
        self.take(key).map(|found| found.labels(notes)).unwrap_or_default()
    }

    pub(crate) fn duration(&mut self, key: &'static str, notes: &mut Notes) -> Option<Duration> {
        self.take(key).map(|found| found.duration(notes))
    }

    /// Keys `x-…`, which are the user's own.
    pub(crate) fn extras(&self) -> Extras {
        let own = self.entries.iter().filter(|entry| entry.key.starts_with("x-"));
        own.map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
    }

    /// Notes each key that nobody took; `x-…` may stand anywhere.
    pub(crate) fn finish(self, notes: &mut Notes) {
        for entry in self.entries {
            if entry.key.starts_with("x-") || self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let place = if self.path.is_empty() { "(root)" } else { &self.path };
            let hint = nearest(&entry.key, self.known.iter().copied())
                .map(|known| format!(": did you mean {known}?"))
                .unwrap_or_default();
            notes.wrong(
                &entry.at,
                format!("{place} Additional property {} is not allowed{hint}", entry.key),
            );
        }
    }
}
