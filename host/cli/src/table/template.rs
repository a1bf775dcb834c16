//! Go templates over JSON values.

use std::collections::HashMap;

use gtmpl::{Context, FuncError, Template, Value};
use serde_json::Value as Json;

use super::capitalised;
use crate::failure::Failure;

/// The function behind every action that prints.
const SHOW: &str = "goShow";

/// How a value's missing fields are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A mistake in the template.
    Refused,
    /// `<no value>`.
    Empty,
}

/// Renders `template` over one JSON value, as `inspect --format` does.
pub(crate) fn render_value(template: &str, value: &Json) -> Result<String, Failure> {
    Compiled::new(template)?.render(value, Missing::Empty)
}

/// A template that was read.
pub(crate) struct Compiled(Template);

// === impl Compiled ===

impl Compiled {
    /// Reads a template; `\t` and `\n` outside actions stand for tab and newline.
    pub(crate) fn new(text: &str) -> Result<Self, Failure> {
        let mut template = Template::default();
        template.add_funcs(&[
            ("json", json as gtmpl::Func),
            ("split", split),
            ("join", join),
            ("title", title),
            ("lower", lower),
            ("upper", upper),
            ("pad", pad),
            ("truncate", truncate),
            (SHOW, show),
        ]);
        let text = text.replace(r"\t", "\t").replace(r"\n", "\n");
        template.parse(shown_by_us(&text)).map_err(|error| {
            let error = error.to_string();
            let error = error.strip_prefix("template: ").unwrap_or(&error);
            Failure::new(format!("template parsing error: template: {error}"))
        })?;
        Ok(Self(template))
    }

    pub(crate) fn render(&self, value: &Json, missing: Missing) -> Result<String, Failure> {
        self.0.render(&Context::from(to_template(value, missing))).map_err(|error| {
            Failure::new(format!("template parsing error: template: {}", why(&error)))
        })
    }
}

/// What went wrong, without the value that was looked at.
fn why(error: &gtmpl::error::ExecError) -> String {
    let text = error.to_string();
    match text.strip_prefix("no field ").and_then(|rest| rest.split_once(" for ")) {
        Some((field, _)) => format!("can't evaluate field {field}"),
        None => text,
    }
}

/// Sends what each action prints through [`show`]: the engine has its own form for
/// lists and maps, which is not Go's.
fn shown_by_us(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let end = action_end(after);
        let (action, behind) = after.split_at(end);
        out.push_str(before);
        out.push_str("{{");
        let (inner, trim) = match action.strip_suffix(" -") {
            Some(inner) => (inner, " -"),
            None => (action, ""),
        };
        out.push_str(inner);
        // An action without an end is left for the parser to complain of.
        if behind.starts_with("}}") && prints(inner) {
            out.push_str(" | ");
            out.push_str(SHOW);
        }
        out.push_str(trim);
        rest = behind;
    }
    out + rest
}

/// Where an action ends, quoted texts skipped.
fn action_end(action: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in action.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(q) if c == q => quote = None,
            Some(q) => escaped = c == '\\' && q != '`',
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if action[at..].starts_with("}}") => return at,
            None => {}
        }
    }
    action.len()
}

/// Whether an action prints a value: it is neither a comment, nor a block, nor the
/// setting of a variable.
fn prints(action: &str) -> bool {
    const WORDS: [&str; 10] =
        ["if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"];
    let action = action.strip_prefix('-').unwrap_or(action).trim();
    let first = action.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let sets = action.starts_with('$') && action.contains(":=");
    !(action.is_empty() || action.starts_with("/*") || sets || WORDS.contains(&first))
}

/// Prints a value as Go does.
fn show(args: &[Value]) -> Result<Value, FuncError> {
    let [value] = arguments(SHOW, args)?;
    Ok(text_of(value).into())
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(text_of).collect();
            format!("[{}]", list.join(" "))
        }
        Value::Object(fields) | Value::Map(fields) => {
            let mut fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key}:{}", text_of(value))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        plain => plain.to_string(),
    }
}

/// JSON as Go writes it: what HTML would take for its own is escaped.
pub(crate) fn go_json(value: &Json) -> String {
    // In JSON these stand inside of texts only.
    value.to_string().replace('&', r"\u0026").replace('<', r"\u003c").replace('>', r"\u003e")
}

fn to_template(value: &Json, missing: Missing) -> Value {
    match value {
        Json::Null => Value::Nil,
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Value::from(n),
            (None, Some(n)) => Value::from(n),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) => Value::Array(list.iter().map(|v| to_template(v, missing)).collect()),
        Json::Object(fields) => {
            let fields: HashMap<_, _> = fields
                .iter()
                .map(|(key, value)| (key.clone(), to_template(value, missing)))
                .collect();
            match missing {
                Missing::Refused => Value::Object(fields),
                Missing::Empty => Value::Map(fields),
            }
        }
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::NoValue | Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(on) => Json::Bool(*on),
        Value::String(text) => Json::String(text.clone()),
        Value::Object(fields) | Value::Map(fields) => {
            Json::Object(fields.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
        Value::Array(list) => Json::Array(list.iter().map(to_json).collect()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => n.into(),
            (None, Some(n)) => n.into(),
            (None, None) => number.as_f64().into(),
        },
    }
}

fn arguments<'a, const N: usize>(
    name: &str,
    args: &'a [Value],
) -> Result<&'a [Value; N], FuncError> {
    args.try_into().map_err(|_| FuncError::ExactlyXArgs(name.to_owned(), N))
}

fn number(value: &Value) -> Result<usize, FuncError> {
    match value {
        Value::Number(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
        _ => None,
    }
    .ok_or_else(|| FuncError::Generic(format!("want a number from 0 up, got {value}")))
}

fn json(args: &[Value]) -> Result<Value, FuncError> {
    let [value] = arguments("json", args)?;
    Ok(go_json(&to_json(value)).into())
}

fn split(args: &[Value]) -> Result<Value, FuncError> {
    let [text, separator] = arguments("split", args)?;
    let parts: Vec<Value> =
        text.to_string().split(&separator.to_string()).map(Value::from).collect();
    Ok(Value::Array(parts))
}

fn join(args: &[Value]) -> Result<Value, FuncError> {
    let [list, separator] = arguments("join", args)?;
    // The separator comes last when the list is piped in behind it.
    let (list, separator) = match (list, separator) {
        (Value::Array(list), separator) | (separator, Value::Array(list)) => (list, separator),
        _ => return Err(FuncError::Generic(format!("join wants a list, got {list}"))),
    };
    let parts: Vec<_> = list.iter().map(ToString::to_string).collect();
    Ok(parts.join(&separator.to_string()).into())
}

fn title(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = arguments("title", args)?;
    let text = text.to_string();
    let words: Vec<_> = text.split(' ').map(capitalised).collect();
    Ok(words.join(" ").into())
}

fn lower(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = arguments("lower", args)?;
    Ok(text.to_string().to_lowercase().into())
}

fn upper(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = arguments("upper", args)?;
    Ok(text.to_string().to_uppercase().into())
}

fn pad(args: &[Value]) -> Result<Value, FuncError> {
    let [text, before, after] = arguments("pad", args)?;
    let text = text.to_string();
    if text.is_empty() {
        return Ok(text.into());
    }
    let (before, after) = (" ".repeat(number(before)?), " ".repeat(number(after)?));
    Ok(format!("{before}{text}{after}").into())
}

fn truncate(args: &[Value]) -> Result<Value, FuncError> {
    let [text, length] = arguments("truncate", args)?;
    Ok(text.to_string().chars().take(number(length)?).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn functions_are_dockers() {
        let value = json!({"Name": "web", "Empty": "", "List": ["a", "b"], "N": 3, "Map": {"b": 1, "a": [true, null]}});
        for (template, want) in [
            ("{{.Name}}", "web"),
            ("{{json .Map}}", r#"{"a":[true,null],"b":1}"#),
            ("{{upper .Name}} {{lower \"ABC\"}} {{title .Name}}", "WEB abc Web"),
            (r#"{{join .List ", "}}"#, "a, b"),
            (r#"{{range split "x-y" "-"}}[{{.}}]{{end}}"#, "[x][y]"),
            ("<{{pad .Name 1 2}}{{pad .Empty 1 2}}>", "< web  >"),
            (r"{{.N}}\t{{.Missing}}", "3\t<no value>"),
            ("{{.List}} {{.Map}} {{.Map.b}}", "[a b] map[a:[true <nil>] b:1] 1"),
            ("{{ .List -}}  x{{/* none */}}", "[a b]x"),
            ("{{$x := .List}}{{$x}}{{with .Empty}}y{{else}}n{{end}}", "[a b]n"),
            ("{{range $i, $x := .List}}{{$i}}={{$x}} {{end}}", "0=a 1=b "),
            (r#"{{if eq .Name "web"}}{{"}}"}}{{end}}"#, "}}"),
            (r#"{{printf "%s-%d" .Name .N}}|{{index .List 1}}"#, "web-3|b"),
            ("{{range .List}}{{println .}}{{end}}", "a\nb\n"),
        ] {
            assert_eq!(render_value(template, &value).expect(template), want);
        }
        assert!(render_value("{{.Name", &value).is_err());
    }

    #[test]
    fn truncate_cuts_without_a_mark() {
        let value = json!({"Name": "abcdef"});
        assert_eq!(render_value("{{truncate .Name 3}}", &value).unwrap(), "abc");
    }
}
