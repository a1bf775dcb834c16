//! Writes YAML as Docker's client does: its library decides by these rules whether a
//! text goes plain, in quotes, or as a block.

use crate::node::Value;
use crate::yaml::plain;

/// A value to be written, its keys in their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

/// The whole text of a document.
pub(crate) fn document(value: &Out) -> String {
    let mut out = String::new();
    match value {
        Out::Map(entries) if !entries.is_empty() => map(&mut out, entries, 0),
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

fn map(out: &mut String, entries: &[(String, Out)], indent: usize) {
    for (key, value) in entries {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str(&scalar(key, false));
        out.push(':');
        below(out, value, indent);
    }
}

/// A value behind its key.
fn below(out: &mut String, value: &Out, indent: usize) {
    match value {
        Out::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            map(out, entries, indent + 2);
        }
        Out::List(items) if !items.is_empty() => {
            out.push('\n');
            list(out, items, indent + 2);
        }
        Out::Text(text) => {
            out.push(' ');
            out.push_str(&block(text, indent + 2).unwrap_or_else(|| scalar(text, true)));
            out.push('\n');
        }
        other => {
            out.push(' ');
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
}

fn list(out: &mut String, items: &[Out], indent: usize) {
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push('-');
        match item {
            // The first key stands behind the dash, the others below it.
            Out::Map(entries) if !entries.is_empty() => {
                let mut inner = String::new();
                map(&mut inner, entries, indent + 2);
                out.push(' ');
                out.push_str(&inner[indent + 2..]);
            }
            Out::List(items) if !items.is_empty() => {
                let mut inner = String::new();
                list(&mut inner, items, indent + 2);
                out.push(' ');
                out.push_str(&inner[indent + 2..]);
            }
            other => below(out, other, indent),
        }
    }
}

fn inline(value: &Out) -> String {
    match value {
        Out::Null => "null".to_owned(),
        Out::Bool(value) => value.to_string(),
        Out::Int(value) => value.to_string(),
        Out::Float(value) => crate::node::float(*value),
        Out::Text(text) => scalar(text, true),
        Out::List(_) => "[]".to_owned(),
        Out::Map(_) => "{}".to_owned(),
    }
}

/// A text of several lines as a literal block, where that can be.
fn block(text: &str, indent: usize) -> Option<String> {
    let is_literal = text.contains('\n')
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && !text.contains(" \n");
    if !is_literal {
        return None;
    }
    let hint = if text.starts_with([' ', '\n']) { "2" } else { "" };
    let body = text.trim_end_matches('\n');
    let chomp = match text.len() - body.len() {
        0 => "-",
        1 if !body.is_empty() => "",
        _ => "+",
    };
    let mut out = format!("|{hint}{chomp}");
    let lines = text.strip_suffix('\n').unwrap_or(text);
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    Some(out)
}

fn scalar(text: &str, is_value: bool) -> String {
    let has_special = text.chars().any(|c| !is_printable(c))
        || text.contains(" \n")
        || text.contains('\n') && !is_value;
    if has_special || text.contains('\n') || is_ambiguous(text) {
        return double_quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Whether the text without quotes would be read as something else, by this version of
/// YAML or the one before.
fn is_ambiguous(text: &str) -> bool {
    let old_switch =
        matches!(text.to_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off")
            && (text.len() == 1
                || text.chars().all(char::is_lowercase)
                || text.chars().all(char::is_uppercase)
                || text.starts_with(char::is_uppercase)
                    && text[1..].chars().all(char::is_lowercase));
    text.is_empty()
        || old_switch
        || !matches!(plain(text), Value::Text(_))
        || is_sexagesimal(text)
        || is_timestamp(text)
}

/// `12:30`, a number of base 60 in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let digits =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut count = 0;
    let rest = parts.all(|part| {
        count += 1;
        let whole = part.split('.').next().unwrap_or_default();
        digits(whole) && whole.len() <= 2 && whole.parse::<u8>().is_ok_and(|n| n < 60)
    });
    rest && count > 0 && digits(first)
}

/// `2001-01-01`, and with a time behind it.
fn is_timestamp(text: &str) -> bool {
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let [year, month, day] = parts[..] else { return false };
    let is_date = year.len() == 4
        && matches!(month.len(), 1 | 2)
        && matches!(day.len(), 1 | 2)
        && [year, month, day].into_iter().all(digits);
    let rest = text[date.len()..].trim_start_matches(['T', 't', ' ']);
    is_date
        && (date.len() == text.len()
            || rest.contains(':') && rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

/// Whether a text of one line can go without quotes.
fn is_plain(text: &str) -> bool {
    if text.starts_with(' ')
        || text.ends_with(' ')
        || text.starts_with("---")
        || text.starts_with("...")
    {
        return false;
    }
    let chars: Vec<char> = text.chars().collect();
    for (index, &c) in chars.iter().enumerate() {
        let blank_after = chars.get(index + 1).is_none_or(|c| c.is_whitespace());
        let is_bad = match (index, c) {
            (
                0,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
                | '@' | '`',
            ) => true,
            (0, '?' | '-') => blank_after,
            (_, ':') => blank_after,
            (_, '#') => chars[index - 1].is_whitespace(),
            _ => false,
        };
        if is_bad {
            return false;
        }
    }
    true
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            c if is_printable(c) => out.push(c),
            c if (c as u32) <= 0xff => out.push_str(&format!("\\x{:02X}", c as u32)),
            c if (c as u32) <= 0xffff => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push_str(&format!("\\U{:08X}", c as u32)),
        }
    }
    out.push('"');
    out
}
