//! One attribute of all nodes, dictionary-coded.

use std::collections::HashMap;
use std::sync::Arc;

use swarmw_model::Node;

/// The code of an absent value.
pub(crate) const ABSENT: u32 = 0;

/// One attribute of all nodes: a code per row, and the texts behind the codes.
pub(crate) struct Column {
    name: String,
    codes: Vec<u32>,
    /// By code; the first is absence.
    texts: Vec<Option<Arc<str>>>,
    by_text: HashMap<Arc<str>, u32>,
    by_folded: HashMap<String, Vec<u32>>,
}

// === impl Column ===

impl Column {
    pub(crate) fn new(name: &str, rows: usize) -> Self {
        Self {
            name: name.to_owned(),
            codes: vec![ABSENT; rows],
            texts: vec![None],
            by_text: HashMap::new(),
            by_folded: HashMap::new(),
        }
    }

    pub(crate) fn grow(&mut self, rows: usize) {
        self.codes.resize(rows, ABSENT);
    }

    pub(crate) fn clear(&mut self, row: usize) {
        self.codes[row] = ABSENT;
    }

    pub(crate) fn set(&mut self, row: usize, node: &Node) {
        self.codes[row] = if self.name == "node.id" {
            self.intern(&node.id.to_string())
        } else {
            value_of(node, &self.name).map_or(ABSENT, |text| self.intern(text))
        };
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(code) = self.by_text.get(text) {
            return *code;
        }
        let code = self.texts.len() as u32;
        let text: Arc<str> = text.into();
        self.by_folded.entry(fold(&text)).or_default().push(code);
        self.texts.push(Some(text.clone()));
        self.by_text.insert(text, code);
        code
    }

    /// The code of each row.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The text of a code; `None` for an absent value.
    pub(crate) fn text(&self, code: u32) -> Option<&Arc<str>> {
        self.texts[code as usize].as_ref()
    }

    /// Codes of the texts that equal one of `values`, whatever the letter case.
    pub(crate) fn matching(&self, values: &[String]) -> Vec<u32> {
        values
            .iter()
            .filter_map(|value| self.by_folded.get(&fold(value)))
            .flatten()
            .copied()
            .collect()
    }

    /// How many values have been seen.
    pub(crate) fn distinct(&self) -> usize {
        self.texts.len()
    }
}

/// Reads an attribute that the node holds as text; `None` where it has none.
/// `node.id` is not among them.
pub(crate) fn value_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let description = &node.description;
    let given = |text: &'a str| Some(text).filter(|t| !t.is_empty());
    if let Some(key) = after_prefix(name, "node.labels.") {
        return node.spec.labels.get(key).map(String::as_str);
    }
    if let Some(key) = after_prefix(name, "engine.labels.") {
        return description.engine.labels.get(key).map(String::as_str);
    }
    match name.to_ascii_lowercase().as_str() {
        "node.hostname" => given(&description.hostname),
        "node.role" => Some(node.role.as_str()),
        "node.ip" => given(&node.status.addr),
        "node.platform.os" => given(&description.platform.os),
        "node.platform.arch" => given(&description.platform.architecture),
        "engine.version" => given(&description.engine.engine_version),
        _ => None,
    }
}

/// What follows a prefix, whose letter case does not count.
fn after_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &name[prefix.len()..])
}

/// Text under simple case folding: letters that differ in case alone become one.
fn fold(text: &str) -> String {
    fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
        letters.next().filter(|_| letters.next().is_none())
    }
    text.chars()
        .map(|letter| match letter {
            // The dotless i has a capital but folds to itself.
            'ı' => letter,
            _ => {
                let upper = only(letter.to_uppercase()).unwrap_or(letter);
                only(upper.to_lowercase()).unwrap_or(letter)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn texts_that_differ_in_case_alone_fold_alike() {
        for (a, b, same) in [
            ("East", "eAST", true),
            ("ΟΔΟΣ", "οδος", true),
            ("ſ", "S", true),
            ("\u{212a}", "k", true),
            ("ı", "i", false),
            ("straße", "strasse", false),
        ] {
            assert_eq!(fold(a) == fold(b), same, "{a} {b}");
        }
    }
}
