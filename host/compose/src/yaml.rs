//! Reads YAML: anchors, aliases and merge keys are resolved here, and a key that
//! stands twice is refused.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::node::{Entry, Node, Onto, Value};
use crate::trouble::{File, Position, Trouble};

/// The deepest nesting that is read.
const DEPTH_MAX: usize = 100;
/// The most values of a file, those of aliases counted at each place.
const VALUES_MAX: usize = 200_000;

/// The documents of a file.
pub(crate) fn parse(text: &str, file: &Arc<File>) -> Result<Vec<Node>, Trouble> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        Reader { parser: Parser::new_from_str(text), file, anchors: HashMap::new(), values: 0 };
    let mut documents = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => documents.push(reader.node(event, span, 0)?),
        }
    }
}

struct Reader<'t, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    file: &'f Arc<File>,
    /// What the anchors stand for, with how many values each has.
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
}

// === impl Reader ===

impl<'t> Reader<'t, '_> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Trouble> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let at = self.position(error.marker().line(), error.marker().col());
                Err(Trouble::at(&at, format!("invalid YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn position(&self, line: usize, column: usize) -> Position {
        Position { file: self.file.clone(), line, column: column + 1 }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Trouble> {
        let at = self.position(span.start.line(), span.start.col());
        if depth > DEPTH_MAX {
            return Err(Trouble::at(&at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let before = self.values;
        self.count(1, &at)?;
        let (value, tag, anchor) = match event {
            Event::Alias(anchor) => {
                let inside = || Trouble::at(&at, "an alias inside of what it stands for");
                let size = self.anchors.get(&anchor).ok_or_else(inside)?.1;
                self.count(size, &at)?;
                return self.anchors.get(&anchor).map(|(node, _)| node.clone()).ok_or_else(inside);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || is_string(tag.as_deref());
                let value = if is_text { Value::Text(text.into_owned()) } else { plain(&text) };
                (value, tag, anchor)
            }
            Event::SequenceStart(anchor, tag) => (self.list(depth)?, tag, anchor),
            Event::MappingStart(anchor, tag) => (self.map(depth)?, tag, anchor),
            _ => (Value::Null, None, 0),
        };
        let mut node = Node::new(value, &at);
        node.onto = onto(tag, &at)?;
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, at: &Position) -> Result<(), Trouble> {
        self.values += more;
        match self.values > VALUES_MAX {
            true => Err(Trouble::at(at, format!("more than {VALUES_MAX} values"))),
            false => Ok(()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Trouble> {
        let mut nodes = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd | Event::StreamEnd => return Ok(Value::List(nodes)),
                event => nodes.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Trouble> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                break;
            }
            let is_plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, _, _));
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            // Numbers and switches are keys too, by the text that stands there.
            let Some(name) = key.printed() else {
                return Err(Trouble::at(&key.at, "a key must be a string"));
            };
            if is_plain && name == "<<" {
                merged.push(value);
                continue;
            }
            if let Some(first) = entries.iter().find(|entry| entry.key == name) {
                return Err(Trouble::at(
                    &key.at,
                    format!("mapping key {name:?} already defined at line {}", first.at.line),
                ));
            }
            entries.push(Entry { key: name, at: key.at, value });
        }
        for value in merged {
            fold_in(&mut entries, value)?;
        }
        Ok(Value::Map(entries))
    }
}

/// Adds the keys of a merge key's maps that are not there; earlier maps win.
fn fold_in(entries: &mut Vec<Entry>, value: Node) -> Result<(), Trouble> {
    match value.value {
        Value::Map(more) => {
            for entry in more {
                if !entries.iter().any(|have| have.key == entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Value::List(maps) => maps.into_iter().try_for_each(|map| fold_in(entries, map)),
        _ => Err(Trouble::at(&value.at, "map merge requires map or sequence of maps as the value")),
    }
}

fn is_string(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str")
}

fn onto(tag: Option<Cow<'_, Tag>>, at: &Position) -> Result<Onto, Trouble> {
    let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) else {
        return Ok(Onto::Merged);
    };
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "reset") => Ok(Onto::Reset),
        ("!", "override") => Ok(Onto::Override),
        ("!" | "", "" | "!") => Ok(Onto::Merged),
        (handle, suffix) => Err(Trouble::at(
            at,
            format!("unknown tag {handle}{suffix}: !reset and !override exist"),
        )),
    }
}

/// A scalar without quotes, as Docker's YAML library reads it.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    integer(text)
        .map(Value::Int)
        .or_else(|| decimal(text).map(Value::Float))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// Decimal, `0x`, `0o`, `0b`, and octal behind a bare zero; `_` between digits.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] if digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let is_number = mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b"._eE+-".contains(&b));
    is_number.then(|| text.replace('_', "").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<serde_json::Value, String> {
        let file = Arc::new(File { name: "c.yml".into(), ..File::default() });
        let documents = parse(text, &file).map_err(|trouble| trouble.to_string())?;
        Ok(documents.iter().map(Node::to_json).collect())
    }

    #[test]
    fn plain_scalars_are_what_dockers_library_makes_of_them() {
        let text = "[1, 0x10, 0o17, 010, 0b11, 1_000, -5, 1.5, 1e3, .5, yes, on, 12:30, ~, null, \
                    true, 'true', \"1\", 1.2.3, 0x1G, 08, !!str 5, 2001-01-01, '']";
        assert_eq!(
            read(text),
            Ok(json!([[
                1,
                16,
                15,
                8,
                3,
                1000,
                -5,
                1.5,
                1000.0,
                0.5,
                "yes",
                "on",
                "12:30",
                null,
                null,
                true,
                "true",
                "1",
                "1.2.3",
                "0x1G",
                8,
                "5",
                "2001-01-01",
                ""
            ]]))
        );
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved_and_own_keys_win() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 0\nd: *a\n";
        assert_eq!(
            read(text).map(|all| (all[0]["c"].clone(), all[0]["d"].clone())),
            Ok((json!({"x": 0, "y": 2, "z": 4}), json!({"x": 1, "y": 2})))
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        for (text, want) in [
            ("a: 1\nb: 2\na: 3\n", "c.yml:3:1: mapping key \"a\" already defined at line 1"),
            ("a: !foo 1", "c.yml:1:4: unknown tag !foo: !reset and !override exist"),
            ("<<: 5", "c.yml:1:5: map merge requires map or sequence of maps as the value"),
            ("? [a]\n: 1", "c.yml:1:3: a key must be a string"),
        ] {
            assert_eq!(read(text), Err(want.to_owned()), "{text}");
        }
        let unclosed = read("services:\n  a: {image: x\n").expect_err("unclosed");
        assert!(unclosed.starts_with("c.yml:3:1: invalid YAML: "), "{unclosed}");
    }

    #[test]
    fn bombs_of_aliases_and_of_depth_are_defused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{alias}]\n");
        }
        assert!(read(&text).expect_err("a bomb").ends_with("more than 200000 values"));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(read(&deep).expect_err("deep").ends_with("nested deeper than 100 levels"));
    }
}
