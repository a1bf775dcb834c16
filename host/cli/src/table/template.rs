//! Go templates as Docker's client has them: its functions, and what it shows to them.

use std::sync::Arc;

use serde_json::Value as Json;
use swarmw_template::{Field, Functions, Kind, Map, MissingKey, Struct, Template, Value};

use super::format::{List, Row};
use crate::failure::Failure;

/// Longest padding, in blanks on each side.
const PADDING_MAX: i64 = 1_000_000;
/// The placeholder that takes a label's key. Its value in a row is all labels.
pub(crate) const LABEL: &str = "Label";

/// A template that was read.
pub(crate) struct Compiled(Template<'static>);

/// What stands above the columns of a table: a template's columns are named by
/// rendering it over these.
pub(crate) struct Headings(Value);

// === impl Compiled ===

impl Compiled {
    /// Reads the template of a list; `\t` and `\n` stand for tab and newline.
    pub(crate) fn new(text: &str) -> Result<Self, Failure> {
        Self::inspecting(&text.replace(r"\t", "\t").replace(r"\n", "\n"))
    }

    /// Reads the template of an `inspect`.
    pub(crate) fn inspecting(text: &str) -> Result<Self, Failure> {
        Template::parse("", text, functions()).map(Self).map_err(|error| told(&error))
    }

    pub(crate) fn render(&self, value: &Value) -> Result<String, Failure> {
        self.0.render(value).map_err(|error| told(&error))
    }

    pub(crate) fn render_headings(&self, headings: &Headings) -> String {
        self.0.render_with(&of_headings(), &headings.0)
    }

    /// The same template, to which a key that a map lacks is a mistake.
    pub(crate) fn strict(self) -> Self {
        Self(self.0.missing_key(MissingKey::Refused))
    }
}

fn told(error: &swarmw_template::TemplateError) -> Failure {
    Failure::new(format!("template parsing error: {error}"))
}

// === impl Headings ===

impl Headings {
    pub(crate) fn of<'h>(columns: impl Iterator<Item = (&'static str, &'h str)>) -> Self {
        let mut fields: Vec<_> = columns
            .filter(|(_, heading)| !heading.is_empty())
            .map(|(name, heading)| (name.into(), Field::Method(heading.into())))
            .collect();
        let none = Arc::new(Map::default());
        fields.push((LABEL.into(), Field::Keyed(none, |_, key| heading_of(key).into())));
        let name = "formatter.SubHeaderContext";
        Self(Struct { name, fields, is_open: true, json: None }.into())
    }
}

/// `TIER NAME` of a label `com.example.tier-name`, but for the case, which stays.
fn heading_of(label: &str) -> String {
    label.rsplit('.').next().unwrap_or(label).replace(['-', '_'], " ")
}

/// A line of a list, as a template sees it.
pub(crate) fn row_value(list: &List, row: &Row) -> Value {
    let mut fields = Vec::with_capacity(row.len());
    let mut json = Map::default();
    for (name, value) in row {
        let known = list.columns.iter().find(|column| column.name == name);
        match (known, value) {
            (None, Json::Object(labels)) if name == LABEL => {
                let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
                let labels = labels.iter().map(|(key, value)| (key.as_str(), text(value)));
                fields.push((LABEL.into(), Field::Keyed(Map::of_texts(labels).into(), Map::index)));
            }
            (None, _) => {}
            (Some(column), value) => {
                let value = from_json(value);
                if !is_ours_alone(list, column.name) {
                    json.insert(column.name, value.clone());
                }
                fields.push((column.name.into(), Field::Method(value)));
            }
        }
    }
    Struct { name: list.of, fields, is_open: false, json: Some(json.into()) }.into()
}

/// Whether Docker's client does not have a placeholder of one of its lists: its JSON is
/// Docker's.
fn is_ours_alone(list: &List, name: &str) -> bool {
    let has_versions = matches!(list.of, "*secret.secretContext" | "*config.configContext");
    has_versions && name == "Version"
}

/// A value of JSON as a template sees it.
pub(crate) fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => list.iter().map(from_json).collect(),
        Json::Object(fields) => {
            let mut map = Map::default();
            for (name, value) in fields {
                map.insert(name.as_str(), from_json(value));
            }
            map.into()
        }
    }
}

/// JSON as Go writes it: what HTML would take for its own is escaped.
pub(crate) fn go_json(value: &Value) -> String {
    // In JSON these stand inside of texts only.
    plain_json(value).replace('&', r"\u0026").replace('<', r"\u003c").replace('>', r"\u003e")
}

fn plain_json(value: &Value) -> String {
    // A value of these is always JSON.
    serde_json::to_string(value).unwrap_or_default()
}

/// Functions of Docker's client.
fn functions() -> Functions<'static> {
    use Kind::{Any, Int, Text, Texts};
    Functions::default()
        .with("json", &[Any], |values| {
            // Lines of lists are written by Go's own hand, which escapes.
            let is_line = matches!(&values[0], Value::Struct(line) if line.name.starts_with('*')
                && line.fields.iter().all(|(_, field)| !matches!(field, Field::Value(_))));
            Ok(if is_line { go_json(&values[0]) } else { plain_json(&values[0]) }.into())
        })
        .with("split", &[Text, Text], |values| {
            let (text, separator) = (text(values, 0), text(values, 1));
            Ok(match separator.is_empty() {
                true => text.chars().map(|c| c.to_string().into()).collect(),
                false => text.split(separator).map(Value::from).collect(),
            })
        })
        .with("join", &[Texts, Text], |values| {
            let parts: Vec<_> = match values[0].plain() {
                Value::List(list) => list.iter().filter_map(Value::as_text).collect(),
                _ => Vec::new(),
            };
            Ok(parts.join(text(values, 1)).into())
        })
        .with("title", &[Text], |values| Ok(title(text(values, 0)).into()))
        .with("lower", &[Text], |values| Ok(text(values, 0).to_lowercase().into()))
        .with("upper", &[Text], |values| Ok(text(values, 0).to_uppercase().into()))
        .with("pad", &[Text, Int, Int], |values| {
            let text = text(values, 0);
            if text.is_empty() {
                return Ok(text.into());
            }
            let blanks = |at: usize| match values[at].as_int().unwrap_or_default() {
                ..0 => Err("strings: negative Repeat count".to_owned()),
                count => Ok(" ".repeat(usize::try_from(count.min(PADDING_MAX)).unwrap_or(0))),
            };
            Ok((blanks(1)? + text + &blanks(2)?).into())
        })
        .with("truncate", &[Text, Int], |values| {
            let (text, length) = (text(values, 0), values[1].as_int().unwrap_or_default());
            let Ok(length) = usize::try_from(length) else {
                return Err(format!("runtime error: slice bounds out of range [:{length}]"));
            };
            let bytes = &text.as_bytes()[..length.min(text.len())];
            Ok(String::from_utf8_lossy(bytes).into_owned().into())
        })
}

/// Functions over headings, which leave them as they are.
fn of_headings() -> Functions<'static> {
    use Kind::{Int, Text};
    let same = |values: &[Value]| Ok(values[0].clone());
    let one: &[Kind] = &[Text];
    let two: &[Kind] = &[Text, Text];
    let mut all = functions();
    for name in ["json", "title", "lower", "upper"] {
        all = all.with(name, one, same);
    }
    all.with("split", two, same).with("join", two, same).with("truncate", &[Text, Int], same)
}

fn text(values: &[Value], at: usize) -> &str {
    values[at].as_text().unwrap_or_default()
}

/// Each word with its first letter in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => out.push(c),
            false => out.extend(c.to_uppercase()),
        }
        // As Go: letters, digits and `_` go on with a word, and what is neither ASCII nor blank.
        inside = c == '_' || c.is_alphanumeric() || !(c.is_ascii() || c.is_whitespace());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the docker client 28.2.2 prints for templates over one of its contexts, and
    /// with which code it ends.
    const CASES: &str = include_str!("docker.txt");

    const CONTEXTS: List = List {
        of: "*formatter.clientContextContext",
        columns: &[
            super::super::Column { name: "Name", heading: "NAME" },
            super::super::Column { name: "Description", heading: "DESCRIPTION" },
            super::super::Column { name: "DockerEndpoint", heading: "DOCKER ENDPOINT" },
            super::super::Column { name: "Current", heading: "" },
            super::super::Column { name: "Error", heading: "ERROR" },
        ],
        shown: &["Name"],
        raw: &[],
    };

    fn context() -> Row {
        let fields: [(&str, Json); 5] = [
            ("Name", "default".into()),
            ("Description", "Current DOCKER_HOST based configuration".into()),
            ("DockerEndpoint", "unix:///var/run/docker.sock".into()),
            ("Current", true.into()),
            ("Error", "".into()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[test]
    fn templates_say_what_they_say_to_docker() {
        let (mut seen, mut wrong) = (0, Vec::new());
        for case in CASES.trim_start_matches("== ").split("\n== ") {
            let (case, code) = case.trim_end_matches('\n').rsplit_once("rc=").expect(case);
            let (template, want) = split_case(case);
            let format = super::super::Format::new(Some(template), false);
            if format == super::super::Format::Table {
                continue;
            }
            let (said, told) = match super::super::render(&format, &CONTEXTS, &[context()]) {
                Ok(text) => (text, "0"),
                Err(error) => (format!("{error}\n"), "1"),
            };
            if (&*said, told) != (want, code) {
                wrong.push(format!(
                    "{template}\n  docker: {code} {want:?}\n  swarmw: {told} {said:?}"
                ));
            }
            seen += 1;
        }
        assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(seen > 150, "{seen} cases alone were read");
    }

    /// A template may have lines of its own; its answer begins behind a line of `--`.
    fn split_case(case: &str) -> (&str, &str) {
        case.split_once("\n--\n").expect(case)
    }

    #[test]
    fn headings_of_labels_are_their_last_words() {
        let template =
            Compiled::new(r#"{{.Label "com.example.tier-name"}}|{{.Nope}}"#).expect("one");
        let headings = Headings::of(std::iter::empty());
        assert_eq!(template.render_headings(&headings), "tier name|<no value>");
    }
}
