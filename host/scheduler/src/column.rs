//! One attribute of all nodes, dictionary-coded.

use std::borrow::Cow;
use std::hint::black_box;
use std::iter;
use std::sync::Arc;

use swarmw_model::Node;

use crate::hash::FastMap;

/// The code of an absent value.
pub(crate) const ABSENT: u32 = 0;
/// Values after which it shows whether most rows have one of their own.
const SAMPLE: usize = 256;
/// Nodes that are fetched from memory together.
const AHEAD: usize = 64;

/// One attribute of all nodes: a code per row, and the texts behind the codes.
pub(crate) struct Column {
    name: String,
    codes: Vec<u32>,
    /// By code; the first is absence.
    texts: Vec<Option<Arc<str>>>,
    by_folded: FastMap<Arc<str>, Alike>,
}

/// Codes of texts that differ in letter case alone; mostly there is one.
struct Alike {
    first: u32,
    others: Vec<u32>,
}

// === impl Column ===

impl Column {
    pub(crate) fn new(name: &str, rows: usize) -> Self {
        Self {
            name: name.to_owned(),
            codes: vec![ABSENT; rows],
            texts: vec![None],
            by_folded: FastMap::default(),
        }
    }

    pub(crate) fn grow(&mut self, rows: usize) {
        self.codes.resize(rows, ABSENT);
    }

    pub(crate) fn clear(&mut self, row: usize) {
        self.codes[row] = ABSENT;
    }

    pub(crate) fn set(&mut self, row: usize, node: &Node) {
        self.put(row, node.attribute(&self.name));
    }

    fn put(&mut self, row: usize, text: Option<Cow<'_, str>>) {
        self.codes[row] = text.map_or(ABSENT, |text| self.intern(&text));
    }

    /// Reads the attribute of these nodes, each with its row.
    pub(crate) fn fill<'a>(&mut self, nodes: impl Iterator<Item = (usize, &'a Node)>) {
        let nodes: Vec<_> = nodes.collect();
        let mut texts = Vec::with_capacity(AHEAD);
        for (part, ahead) in nodes.chunks(AHEAD).enumerate() {
            read_ahead(ahead);
            texts.extend(ahead.iter().map(|(_, node)| node.attribute(&self.name)));
            for ((row, _), text) in ahead.iter().zip(texts.drain(..)) {
                self.put(*row, text);
            }
            if (part + 1) * AHEAD == SAMPLE && self.texts.len() > SAMPLE / 2 {
                self.texts.reserve(self.codes.len());
                self.by_folded.reserve(self.codes.len());
            }
        }
    }

    fn intern(&mut self, text: &str) -> u32 {
        let next = self.texts.len() as u32;
        let folded = fold(text);
        if let Some(alike) = self.by_folded.get_mut(&*folded) {
            if let Some(code) =
                alike.codes().find(|code| self.texts[*code as usize].as_deref() == Some(text))
            {
                return code;
            }
            alike.others.push(next);
            self.texts.push(Some(text.into()));
            return next;
        }
        let kept: Arc<str> = text.into();
        let key = if *folded == *text { kept.clone() } else { folded.into() };
        self.by_folded.insert(key, Alike { first: next, others: Vec::new() });
        self.texts.push(Some(kept));
        next
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
            .filter_map(|value| self.by_folded.get(&*fold(value)))
            .flat_map(Alike::codes)
            .collect()
    }

    /// How many values have been seen.
    pub(crate) fn distinct(&self) -> usize {
        self.texts.len()
    }
}

// === impl Alike ===

impl Alike {
    fn codes(&self) -> impl Iterator<Item = u32> + '_ {
        iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// Touches what leads to the labels of nodes, all nodes at each step: a node, the tree of
/// its labels and their texts lie in three places, and one after the other would be
/// waited for where all of a step can be on their way at once.
fn read_ahead(nodes: &[(usize, &Node)]) {
    for (_, node) in nodes {
        black_box(node.spec.labels.len());
    }
    for (_, node) in nodes {
        black_box(node.spec.labels.first_key_value().map(|(key, text)| (key.len(), text.len())));
    }
}

/// Text under simple case folding: letters that differ in case alone become one.
fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|letter| letter.is_ascii_uppercase()) {
            true => text.to_ascii_lowercase().into(),
            false => text.into(),
        };
    }
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
    use super::*;

    #[test]
    fn texts_alike_have_codes_of_their_own_and_are_found_together() {
        let mut column = Column::new("node.labels.x", 0);
        let texts = ["east", "East", "west", "EAST", "east", "ΟΔΟΣ", "οδος", "East"];
        let codes: Vec<u32> = texts.iter().map(|text| column.intern(text)).collect();
        assert_eq!(codes, [1, 2, 3, 4, 1, 5, 6, 2]);
        for (text, code) in texts.iter().zip(codes) {
            assert_eq!(column.text(code).map(|t| &**t), Some(*text));
        }
        assert_eq!(column.matching(&["eAsT".to_owned()]), [1, 2, 4]);
        assert_eq!(column.matching(&["οδοΣ".to_owned(), "north".to_owned()]), [5, 6]);
    }

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
