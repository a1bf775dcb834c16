//! `$NAME`, `${NAME:-default}` and the other forms that the Compose specification has.

use crate::node::{Node, Value};
use crate::trouble::Trouble;

/// What a variable is set to.
pub(crate) type Lookup<'l> = dyn Fn(&str) -> Option<String> + 'l;

/// Deepest nesting of defaults in each other.
const DEPTH_MAX: usize = 20;

/// Why a text could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refused {
    /// It is no template.
    Malformed,
    /// A variable that must be set is not, with what the file says of it.
    Required(String, String),
}

/// Replaces the variables in all texts below `node`; names that are not set and have
/// no default are added to `unset`.
pub(crate) fn interpolate(
    node: &mut Node,
    path: &str,
    lookup: &Lookup<'_>,
    unset: &mut Vec<String>,
) -> Result<(), Trouble> {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => {
            let filled = substitute(text, lookup, unset, 0).map_err(|refused| {
                let what = match refused {
                    Refused::Malformed => format!(
                        "invalid interpolation format for {path}: {text:?}; you may need to escape any $ with another $"
                    ),
                    Refused::Required(name, said) if said.is_empty() => {
                        format!("error while interpolating {path}: required variable {name} is missing a value")
                    }
                    Refused::Required(name, said) => format!(
                        "error while interpolating {path}: required variable {name} is missing a value: {said}"
                    ),
                };
                Trouble::at(&node.at, what)
            })?;
            node.substituted = filled != *text;
            *text = filled;
        }
        Value::List(nodes) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                interpolate(node, &format!("{path}.{index}"), lookup, unset)?;
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = match path {
                    "" => entry.key.clone(),
                    path => format!("{path}.{}", entry.key),
                };
                interpolate(&mut entry.value, &path, lookup, unset)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// One text with its variables filled in; `None` where it is no template.
pub(crate) fn fill(text: &str, lookup: &Lookup<'_>) -> Option<String> {
    substitute(text, lookup, &mut Vec::new(), 0).ok()
}

fn substitute(
    text: &str,
    lookup: &Lookup<'_>,
    unset: &mut Vec<String>,
    depth: usize,
) -> Result<String, Refused> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner).ok_or(Refused::Malformed)?;
            out.push_str(&braced(&inner[..end], lookup, unset, depth)?);
            rest = &inner[end + 1..];
        } else {
            let name = name(rest).ok_or(Refused::Malformed)?;
            out.push_str(&value(name, lookup, unset));
            rest = &rest[name.len()..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `NAME`, and what is done with it.
fn braced(
    inner: &str,
    lookup: &Lookup<'_>,
    unset: &mut Vec<String>,
    depth: usize,
) -> Result<String, Refused> {
    if depth > DEPTH_MAX {
        return Err(Refused::Malformed);
    }
    let name = name(inner).ok_or(Refused::Malformed)?;
    let rest = &inner[name.len()..];
    let (empty_counts, operator) = match rest.strip_prefix(':') {
        Some(operator) => (false, operator),
        None => (true, rest),
    };
    let set = lookup(name).filter(|value| empty_counts || !value.is_empty());
    let mut chars = operator.chars();
    match chars.next() {
        None if rest.is_empty() => Ok(value(name, lookup, unset)),
        Some('-') => match set {
            Some(value) => Ok(value),
            None => substitute(chars.as_str(), lookup, unset, depth + 1),
        },
        Some('+') => match set {
            Some(_) => substitute(chars.as_str(), lookup, unset, depth + 1),
            None => Ok(String::new()),
        },
        Some('?') => match set {
            Some(value) => Ok(value),
            None => {
                let said = substitute(chars.as_str(), lookup, unset, depth + 1)?;
                Err(Refused::Required(name.to_owned(), said))
            }
        },
        _ => Err(Refused::Malformed),
    }
}

fn value(name: &str, lookup: &Lookup<'_>, unset: &mut Vec<String>) -> String {
    lookup(name).unwrap_or_else(|| {
        if !unset.iter().any(|have| have == name) {
            unset.push(name.to_owned());
        }
        String::new()
    })
}

/// The name at the start of a text.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let name = &text[..end];
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
}

/// Where the brace that is open closes, past those that open inside.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'$' if bytes.get(index + 1) == Some(&b'$') => index += 1,
            b'$' if bytes.get(index + 1) == Some(&b'{') => {
                depth += 1;
                index += 1;
            }
            b'}' if depth == 0 => return Some(index),
            b'}' => depth -= 1,
            _ => {}
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Position;

    fn filled(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "PRICE" => Some("$A".to_owned()),
            _ => None,
        };
        let mut node = Node::text(text, &Position::default());
        let mut unset = Vec::new();
        interpolate(&mut node, "x.y", &lookup, &mut unset).map_err(|trouble| trouble.message)?;
        Ok(node.printed().unwrap_or_default())
    }

    #[test]
    fn every_form_of_the_specification_is_filled_in() {
        for (text, want) in [
            ("plain", "plain"),
            ("$A", "1"),
            ("${A}b", "1b"),
            ("$A-b", "1-b"),
            ("$NONE", ""),
            ("$$A", "$A"),
            ("$$$A", "$1"),
            ("${NONE:-d}", "d"),
            ("${NONE-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${A:-d}", "1"),
            ("${A:+r}", "r"),
            ("${EMPTY:+r}", ""),
            ("${EMPTY+r}", "r"),
            ("${NONE+r}", ""),
            ("${A:?e}", "1"),
            ("${EMPTY?e}", ""),
            ("${NONE:-${A}}", "1"),
            ("${NONE:-${EMPTY:-${A:-x}y}z}", "1yz"),
            ("${NONE:-a}b}", "ab}"),
            ("${NONE:-http://x:80/?a=b}", "http://x:80/?a=b"),
            ("${NONE:-$$}", "$"),
            // What a variable holds is not looked into.
            ("$PRICE", "$A"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_in_dockers_words() {
        for text in ["$", "${", "${}", "${1}", "$1", "${A", "${A!}", "${A:}", "a $ b", "${A b}"] {
            assert_eq!(
                filled(text),
                Err(format!(
                    "invalid interpolation format for x.y: {text:?}; you may need to escape any $ with another $"
                ))
            );
        }
        for (text, want) in
            [("${NONE:?set it}", ": set it"), ("${EMPTY:?set $A}", ": set 1"), ("${NONE?}", "")]
        {
            let name = if text.contains("EMPTY") { "EMPTY" } else { "NONE" };
            assert_eq!(
                filled(text),
                Err(format!(
                    "error while interpolating x.y: required variable {name} is missing a value{want}"
                ))
            );
        }
    }
}
