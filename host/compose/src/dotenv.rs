//! Files of variables: `.env`, and what `env_file` names.

use std::collections::BTreeMap;

use crate::interpolate::Lookup;

/// How a file of variables is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As Docker's `--env-file`: what stands behind the `=` is the value, quotes and all.
    Raw,
    /// As the Compose specification: quotes, comments behind a value, variables in it.
    Compose,
}

/// The variables of a file in their order. A bare name has no value: its own is the
/// caller's to find.
pub(crate) fn parse(
    text: &str,
    style: Style,
    lookup: &Lookup<'_>,
) -> Result<Vec<(String, Option<String>)>, String> {
    let mut all: Vec<(String, Option<String>)> = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if style == Style::Raw {
            let name = name.to_owned();
            check(&name, index, line)?;
            all.push((name, value.map(str::to_owned)));
            continue;
        }
        let name = name.strip_prefix("export ").unwrap_or(name).trim().to_owned();
        check(&name, index, line)?;
        let Some(value) = value else {
            all.push((name, None));
            continue;
        };
        let mut value = value.trim_start().to_owned();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        if let Some(quote) = quote {
            // A value in quotes may go over several lines.
            while end_of_quote(&value, quote).is_none() {
                let (_, more) = lines
                    .next()
                    .ok_or_else(|| format!("line {}: unterminated quoted value", index + 1))?;
                value = format!("{value}\n{more}");
            }
        }
        let known: BTreeMap<_, _> =
            all.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        let both = |name: &str| lookup(name).or_else(|| known.get(name).cloned());
        let value = composed(&value, quote, &both)
            .map_err(|error| format!("line {}: {error}", index + 1))?;
        all.push((name, Some(value)));
    }
    Ok(all)
}

fn check(name: &str, index: usize, line: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("line {}: no variable name on line '{line}'", index + 1));
    }
    match name.contains(char::is_whitespace) {
        true => Err(format!("line {}: variable '{name}' contains whitespaces", index + 1)),
        false => Ok(()),
    }
}

fn composed(text: &str, quote: Option<char>, lookup: &Lookup<'_>) -> Result<String, String> {
    let (inner, is_literal) = match quote {
        Some(quote) => {
            let end = end_of_quote(text, quote).unwrap_or(text.len());
            let inner = &text[1..end];
            match quote {
                '\'' => (inner.replace("\\'", "'"), true),
                _ => (unescape(inner), false),
            }
        }
        None => (without_comment(text).trim_end().to_owned(), false),
    };
    if is_literal || !inner.contains('$') {
        return Ok(inner);
    }
    crate::interpolate::fill(&inner, lookup)
        .ok_or_else(|| format!("invalid interpolation format: {inner:?}"))
}

fn end_of_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(index),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (c, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(c @ ('"' | '\\')) => out.push(c),
                // A dollar that stands for itself.
                Some('$') => out.push_str("$$"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
        }
    }
    out
}

/// A comment needs a blank before it.
fn without_comment(text: &str) -> &str {
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &text[..index];
        }
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, style: Style) -> Result<String, String> {
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let shown = parse(text, style, &lookup)?.into_iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        });
        Ok(shown.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn raw_files_hold_a_line_each_as_it_stands() {
        let text = "\u{feff}# none\n\nA=1\r\n  B= 'x' # y\nHOME\nC=$HOME\n";
        assert_eq!(read(text, Style::Raw).as_deref(), Ok("A=1|B= 'x' # y|HOME|C=$HOME"));
    }

    #[test]
    fn composes_files_have_quotes_comments_and_variables() {
        for (text, want) in [
            ("export A = 1 # one", "A=1"),
            ("A=x#y", "A=x#y"),
            ("A='$HOME # x' # y", "A=$HOME # x"),
            ("A=\"$HOME\\n\\\"q\\\" \\$X\"", "A=/root\n\"q\" $X"),
            ("A=1\nB=${A}2\nC=${D:-3}", "A=1|B=12|C=3"),
            ("A=\"one\ntwo\"\nB=3", "A=one\ntwo|B=3"),
            ("A=", "A="),
            ("A", "A"),
        ] {
            assert_eq!(read(text, Style::Compose).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, want) in [
            ("A B=1", "line 1: variable 'A B' contains whitespaces"),
            ("\n=1", "line 2: no variable name on line '=1'"),
            ("A=\"x", "line 1: unterminated quoted value"),
            ("A=${", "line 1: invalid interpolation format: \"${\""),
        ] {
            assert_eq!(read(text, Style::Compose), Err(want.to_owned()), "{text}");
        }
    }
}
