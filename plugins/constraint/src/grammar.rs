//! `key op value`, as Swarm reads it.

use swarmw_sdk::raw::{Problem, problem};

/// An expression taken apart; slices of the text typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expression<'a> {
    /// At least two characters of a name.
    pub key: &'a str,
    /// How key and value must compare.
    pub operator: Operator,
    /// Taken literally, with no pattern of any kind.
    pub value: &'a str,
}

/// How key and value must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl<'a> Expression<'a> {
    /// Splits at the first `==`, where there is none at the first `!=`.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let split = text
            .split_once("==")
            .map(|sides| (sides, Operator::Equal))
            .or_else(|| text.split_once("!=").map(|sides| (sides, Operator::NotEqual)));
        let Some(((left, right), operator)) = split else {
            return Err(no_operator(text));
        };
        let (key, value) = (left.trim(), right.trim());
        if !is_key(key) {
            return Err(
                problem("bad-key", format!("key '{key}' is invalid")).at(text, left_or(key, left))
            );
        }
        if !is_value(value) {
            let hint = if value.is_empty() {
                "a value must follow; that a label is not set cannot be written"
            } else {
                "a value has letters, digits, blanks and any of : - _ . * ( ) ? + [ ] \\ ^ $ | /, all literal"
            };
            return Err(problem("bad-value", format!("value '{value}' is invalid"))
                .at(text, left_or(value, right))
                .hint(hint));
        }
        Ok(Self { key, operator, value })
    }
}

/// The trimmed side, or the whole of it when nothing is left.
fn left_or<'a>(trimmed: &'a str, side: &'a str) -> &'a str {
    if trimmed.is_empty() { side } else { trimmed }
}

fn no_operator(text: &str) -> Problem {
    let fault = problem("bad-operator", "constraint expected one operator from ==, !=");
    match text.find(['=', '<', '>', '~', '!']) {
        Some(at) => fault.at(text, &text[at..=at]).hint("try == or !="),
        None => fault.at_all(text).hint("try node.labels.region==east"),
    }
}

/// `(?i)^[a-z_][a-z0-9\-_.]+$`
fn is_key(key: &str) -> bool {
    let bytes = key.as_bytes();
    bytes.len() >= 2
        && (bytes[0].is_ascii_alphabetic() || bytes[0] == b'_')
        && bytes[1..].iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// `(?i)^[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+$`
fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":-_ \t\n\x0c\r.*()?+[]\\^$|/".contains(&b))
}
