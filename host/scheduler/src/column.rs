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
        self.codes[row] = node.attribute(&self.name).map_or(ABSENT, |text| self.intern(&text));
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
