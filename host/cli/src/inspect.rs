//! `inspect`: the daemon's own JSON, indented.

use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::io::Io;
use crate::table::render_value;

const INDENT: usize = 4;

/// Prints objects, given as what the user typed and their path, as an array, or
/// each through a template. What is found is printed although others are missed.
pub(crate) async fn raw(
    client: &Client,
    objects: impl Iterator<Item = (String, String)>,
    format: Option<&str>,
    io: &mut Io,
    miss: impl Fn(&str, ClientError) -> Failure,
) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut missed = Vec::new();
    for (reference, path) in objects {
        match client.get(path).fetch().await {
            Ok(object) => found.push(String::from_utf8_lossy(&object).into_owned()),
            Err(error) if error.is_not_found() => missed.push(miss(&reference, error)),
            Err(error) => return Err(error.into()),
        }
    }
    match format.filter(|format| !matches!(*format, "" | "json")) {
        None => {
            let array = format!("[{}]", found.join(","));
            let text = match format {
                Some("json") => array,
                _ => reindent(&array),
            };
            io.line(text)?;
        }
        Some(template) => {
            for object in &found {
                let value = serde_json::from_str(object)
                    .map_err(|error| Failure::new(format!("unexpected answer: {error}")))?;
                io.line(render_value(template, &value)?)?;
            }
        }
    }
    Failure::join(missed).map_or(Ok(()), Err)
}

/// Indents JSON by four blanks and changes nothing else: fields keep their order
/// and spelling, whatever they are.
pub(crate) fn reindent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut in_text = false;
    let mut escaped = false;
    let mut opened = false;
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth * INDENT));
    };
    for c in json.chars() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        if opened && !matches!(c, '}' | ']') {
            newline(&mut out, depth);
        }
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !opened {
                    newline(&mut out, depth);
                }
            }
            _ => {}
        }
        opened = matches!(c, '{' | '[');
        out.push(c);
        match c {
            ',' => newline(&mut out, depth),
            ':' => out.push(' '),
            '"' => in_text = true,
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::reindent;

    #[test]
    fn only_blanks_change() {
        let text = r#"[{"b":1, "a":{},"t":"x, {\"y\\\": [","l":[1,2],"e":[ ]}]"#;
        let want = r#"[
    {
        "b": 1,
        "a": {},
        "t": "x, {\"y\\\": [",
        "l": [
            1,
            2
        ],
        "e": []
    }
]"#;
        assert_eq!(reindent(text), want);
        assert_eq!(reindent("[]"), "[]");
    }
}
