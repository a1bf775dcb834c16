//! Go's `text/template`: what `--format` takes, and what specs and the data of
//! secrets and configs may hold.
//!
//! It knows Go's rules and nothing of what is shown: values come as [`Value`],
//! functions beyond Go's own as [`Functions`]. Messages are Go's to the letter,
//! since people and scripts know them. Unlike Go's, its work is bounded: managers
//! expand templates that users wrote. Reading starts at [`Template::parse`] and
//! [`Template::render`]; a text goes through `lex`, `parse` and `exec`.

mod exec;
mod functions;
mod lex;
mod node;
mod parse;
mod printf;
mod value;

use std::collections::HashMap;

pub use functions::{Function, Functions, Kind};
pub use value::{Field, Map, Struct, Value};

use node::List;

/// Most nodes that one rendering walks, values that it makes included.
pub const STEPS_MAX: usize = 1_000_000;
/// Longest text that a rendering makes, in bytes.
pub const TEXT_MAX: usize = 16 << 20;
/// Deepest nesting of blocks, parentheses and calls of templates.
pub const DEPTH_MAX: usize = 100;

/// What is wrong with a template, or with what it asks of its values; Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {place}: {message}")]
pub struct TemplateError {
    place: String,
    message: String,
    cause: Cause,
}

/// Where a mistake comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The text is no template.
    Syntax,
    /// A name that its value never has.
    Field,
    /// A function that the caller added has failed.
    Given,
    /// Values that a function or an action cannot take. The message may show them.
    Value,
}

/// How a key that a map lacks is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// It has no value, which prints as `<no value>`.
    #[default]
    NoValue,
    /// It is a mistake.
    Refused,
}

/// A template that was read.
#[derive(Debug)]
pub struct Template<'f> {
    name: String,
    text: String,
    root: List,
    defined: HashMap<String, List>,
    functions: Functions<'f>,
    missing_key: MissingKey,
}

// === impl TemplateError ===

impl TemplateError {
    /// Where the mistake comes from.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// What it is; of [`Cause::Value`] perhaps with what the template looked at.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is: of what is read its line, of what is expanded the words as well.
    pub fn place(&self) -> &str {
        &self.place
    }
}

// === impl Template ===

impl<'f> Template<'f> {
    /// Reads a template; messages call it by its name, which may be empty.
    ///
    /// # Errors
    /// The text is none, or names a function or a variable that there is not.
    pub fn parse(
        name: impl Into<String>,
        text: impl Into<String>,
        functions: Functions<'f>,
    ) -> Result<Self, TemplateError> {
        let (name, text) = (name.into(), text.into());
        let (root, defined) = parse::parse(&name, &text, &functions)?;
        Ok(Self { name, text, root, defined, functions, missing_key: MissingKey::default() })
    }

    /// The same template with another rule for keys that a map lacks.
    #[must_use]
    pub fn missing_key(mut self, rule: MissingKey) -> Self {
        self.missing_key = rule;
        self
    }

    /// Puts `data` in its place. What was written before a mistake goes with it.
    ///
    /// # Errors
    /// The template asks something of a value that the value cannot give.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        exec::render(self, &self.functions, data).map_err(|(_, error)| error)
    }

    /// The same with other functions under the same names, up to the first mistake.
    pub fn render_with(&self, functions: &Functions<'_>, data: &Value) -> String {
        exec::render(self, functions, data).unwrap_or_else(|(written, _)| written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, json: &str) -> Result<String, String> {
        let data: Value = serde_json::from_str(json).expect("JSON");
        let template = Template::parse("t", text, Functions::default());
        template.and_then(|template| template.render(&data)).map_err(|error| error.to_string())
    }

    #[test]
    fn maps_are_walked_in_the_order_of_their_keys_and_written_in_their_own() {
        let json = r#"{"b":1,"a":[true,null],"c":{}}"#;
        let text = "{{range $k, $v := .}}{{$k}}={{$v}};{{end}}{{.}}";
        assert_eq!(
            render(text, json).as_deref(),
            Ok("a=[true <nil>];b=1;c=map[];map[a:[true <nil>] b:1 c:map[]]")
        );
        let value: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(serde_json::to_string(&value).expect("JSON"), json);
    }

    #[test]
    fn what_is_nothing_is_told_apart() {
        for (text, want) in [
            ("{{.none}}|{{.nothing}}", Ok("<no value>|<no value>")),
            ("{{.none.more}}", Ok("<no value>")),
            (
                "{{.nothing.more}}",
                Err(
                    r#"template: t:1:10: executing "t" at <.nothing.more>: nil pointer evaluating interface {}.more"#,
                ),
            ),
        ] {
            let said = render(text, r#"{"nothing":null}"#);
            assert_eq!(said.as_deref().map_err(String::as_str), want, "{text}");
        }
    }

    #[test]
    fn a_strict_template_refuses_keys_that_are_not_there() {
        let template = Template::parse("", "{{.a.b}}", Functions::default()).expect("a template");
        let data: Value = serde_json::from_str(r#"{"a":{}}"#).expect("JSON");
        let error = template.missing_key(MissingKey::Refused).render(&data).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"template: :1:4: executing "" at <.a.b>: map has no entry for key "b""#
        );
    }

    #[test]
    fn mistakes_of_many_lines_say_where_they_began() {
        for (text, want) in [
            ("a\n{{.b\n", "template: t:3: unclosed action started at t:2"),
            ("{{\n\"a", "template: t:2: unterminated quoted string in action started at t:1"),
            ("\n{{if .a}}\n", "template: t:3: unexpected EOF"),
        ] {
            assert_eq!(render(text, "{}").unwrap_err(), want, "{text:?}");
        }
    }

    #[test]
    fn a_function_of_the_caller_goes_before_gos_own_and_its_kinds_are_checked() {
        let functions = Functions::default().with("len", &[Kind::Text], |values| {
            values[0].as_text().map(|text| text.to_uppercase().into()).ok_or_else(String::new)
        });
        let template = Template::parse("", r#"{{len "a"}}{{len .}}"#, functions).expect("one");
        let error = template.render(&Value::Int(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"template: :1:17: executing "" at <.>: wrong type for value; expected string; got int"#
        );
    }

    #[test]
    fn work_and_depth_have_their_bounds() {
        for text in [
            "{{range 999999999}}{{end}}".to_owned(),
            "{{$x := \"0123456789abcdef\"}}{{range 64}}{{$x = print $x $x}}{{end}}".to_owned(),
            "{{printf \"%999999999s%999999999s\" 1 2 | len}}{{range 999999}}{{printf \"%1000000d\" 1}}{{end}}".to_owned(),
            "{{if 1}}".repeat(10_000),
            format!("{{{{{}", "(".repeat(10_000)),
            "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}".to_owned(),
        ] {
            assert!(render(&text, "{}").is_err(), "{}", &text[..20]);
        }
    }
}
