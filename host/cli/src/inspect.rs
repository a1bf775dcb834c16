//! `inspect`: the daemon's own JSON, indented.

use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::io::Io;
use crate::shape::Type;
use crate::table::Compiled;

const INDENT: usize = 4;

/// How the objects of a command look to templates.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// What Docker's client holds them in; `None` of what it does not know.
    shape: Option<&'static Type>,
    /// Whether a template that fails is tried again with plain JSON.
    raw_again: bool,
}

// === impl Look ===

impl Look {
    /// What the daemon tells is put into this type.
    pub(crate) fn typed(shape: &'static Type) -> Self {
        Self { shape: Some(shape), raw_again: false }
    }

    /// The same, and a template that fails is tried with what the daemon tells.
    pub(crate) fn typed_or_raw(shape: &'static Type) -> Self {
        Self { shape: Some(shape), raw_again: true }
    }

    /// Plain JSON: what is not there has no value.
    pub(crate) fn raw() -> Self {
        Self { shape: None, raw_again: false }
    }
}

/// Prints objects, given as what the user typed and their path, as an array, or
/// each through a template. What is found is printed although others are missed.
pub(crate) async fn raw(
    client: &Client,
    objects: impl Iterator<Item = (String, String)>,
    format: Option<&str>,
    look: Look,
    io: &mut Io,
    miss: impl Fn(&str, ClientError) -> Failure,
) -> Result<(), Failure> {
    let template = match format.filter(|format| !matches!(*format, "" | "json")) {
        Some(template) => Some((template, Compiled::inspecting(template)?)),
        None => None,
    };
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for (reference, path) in objects {
        match client.get(path).fetch().await {
            Ok(object) => found.push(String::from_utf8_lossy(&object).into_owned()),
            Err(error) if error.is_not_found() => failed.push(miss(&reference, error)),
            Err(error) => return Err(error.into()),
        }
    }
    match template {
        None => {
            let array = format!("[{}]", found.join(","));
            let text = match format {
                Some("json") => array,
                _ => reindent(&array),
            };
            io.line(text)?;
        }
        Some((text, template)) => {
            let mut shown = String::new();
            for object in &found {
                match render(text, &template, look, object) {
                    Ok(line) => shown += &(line + "\n"),
                    Err(error) => failed.push(error),
                }
            }
            // As Docker's client: a line at least.
            io.text(if shown.is_empty() { "\n" } else { &shown })?;
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

fn render(text: &str, template: &Compiled, look: Look, object: &str) -> Result<String, Failure> {
    let json = serde_json::from_str(object)
        .map_err(|error| Failure::new(format!("unexpected answer: {error}")))?;
    match look.shape {
        None => template.render(&json),
        Some(shape) => match template.render(&shape.value(&json)) {
            Err(_) if look.raw_again => Compiled::inspecting(text)?.strict().render(&json),
            rendered => rendered,
        },
    }
}

/// One object through the template of `--format`, or as JSON on one line.
pub(crate) fn one(format: &str, look: Look, object: &str) -> Result<String, Failure> {
    match format {
        "json" => Ok(object.to_owned()),
        template => render(template, &Compiled::inspecting(template)?, look, object),
    }
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
