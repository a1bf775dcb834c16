//! Templates in a service's spec and in the data of secrets and configs:
//! `{{.Service.Name}}`, `{{if eq .Task.Slot "1"}}…{{end}}` and their like, with the
//! rules of Go's text/template.

use std::collections::BTreeMap;

pub use swarmw_template::{Cause, TemplateError};
use swarmw_template::{Field, Functions, Kind, Map, MissingKey, Struct, Template, Value};

/// What messages call a template, as Swarm's.
const NAME: &str = "expansion";
/// Before what is to be expanded.
const ACTION: &str = "{{";

/// What the templates of one task name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// `.Service.ID`
    pub service_id: String,
    /// `.Service.Name`
    pub service_name: String,
    /// `.Service.Labels`
    pub service_labels: BTreeMap<String, String>,
    /// `.Node.ID`
    pub node_id: String,
    /// `.Node.Hostname`
    pub node_hostname: String,
    /// `.Node.Platform.OS`
    pub node_os: String,
    /// `.Node.Platform.Architecture`
    pub node_architecture: String,
    /// `.Task.ID`
    pub task_id: String,
    /// `.Task.Name`
    pub task_name: String,
    /// `.Task.Slot`: the node's id where the task has no slot.
    pub task_slot: String,
}

/// What a task was given, for templates in the data of secrets and configs. Its
/// errors name what is missing, and show nothing of what is there.
pub trait Given {
    /// `secret "TARGET"`: another secret of the task.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn secret(&self, target: &str) -> Result<String, String>;

    /// `config "TARGET"`: another config of the task.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn config(&self, target: &str) -> Result<String, String>;

    /// `env "VARIABLE"`: of the task's environment, empty where it is not set.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn env(&self, name: &str) -> Result<String, String>;
}

/// Expands a text of a spec; one without actions stays as it is.
///
/// # Errors
/// The text is no template, or asks for what there is not.
pub fn expand(text: &str, context: &Context) -> Result<String, TemplateError> {
    if !text.contains(ACTION) {
        return Ok(text.to_owned());
    }
    let template = Template::parse(NAME, text, functions())?;
    let value = context.value("*template.Context");
    template.missing_key(MissingKey::Refused).render(&value)
}

/// One variable of an environment, `KEY=VALUE`, with its value expanded.
///
/// # Errors
/// As [`expand`].
pub fn expand_variable(variable: &str, context: &Context) -> Result<String, TemplateError> {
    match variable.split_once('=') {
        Some((key, value)) => Ok(format!("{key}={}", expand(value, context)?)),
        None => Ok(variable.to_owned()),
    }
}

/// The same for the data of a secret or a config, which may name others of the task.
///
/// # Errors
/// The text is no template, asks for what there is not, or `given` fails.
pub fn expand_data(
    text: &str,
    context: &Context,
    given: &dyn Given,
) -> Result<String, TemplateError> {
    if !text.contains(ACTION) {
        return Ok(text.to_owned());
    }
    let name = |values: &[Value]| values[0].as_text().unwrap_or_default().to_owned();
    let functions = functions()
        .with("secret", &[Kind::Text], |values| given.secret(&name(values)).map(Value::from))
        .with("config", &[Kind::Text], |values| given.config(&name(values)).map(Value::from))
        .with("env", &[Kind::Text], |values| given.env(&name(values)).map(Value::from));
    let template = Template::parse(NAME, text, functions)?;
    let value = context.value("*template.PayloadContext");
    template.missing_key(MissingKey::Refused).render(&value)
}

/// Whether a text may stand where [`expand_data`] finds it in a task: what depends on
/// the task alone is taken on trust.
///
/// # Errors
/// The text is no template, or names a field that no task has.
pub fn check_data(text: &str) -> Result<(), TemplateError> {
    struct Nothing;

    impl Given for Nothing {
        fn secret(&self, _: &str) -> Result<String, String> {
            Ok(String::new())
        }

        fn config(&self, _: &str) -> Result<String, String> {
            Ok(String::new())
        }

        fn env(&self, _: &str) -> Result<String, String> {
            Ok(String::new())
        }
    }

    match expand_data(text, &Context::sample(), &Nothing) {
        Err(error) if matches!(error.cause(), Cause::Syntax | Cause::Field) => Err(error),
        _ => Ok(()),
    }
}

/// What Swarm adds to Go's own.
fn functions() -> Functions<'static> {
    Functions::default().with("join", &[Kind::Text, Kind::Text, Kind::Text], |values| {
        let text = |at: usize| values[at].as_text().unwrap_or_default();
        Ok([text(1), text(2)].join(text(0)).into())
    })
}

// === impl Context ===

impl Context {
    /// What Swarm tries templates with before there is a task.
    pub fn sample() -> Self {
        let text = str::to_owned;
        Self {
            service_id: text("serviceid"),
            service_name: text("servicename"),
            service_labels: BTreeMap::new(),
            node_id: text("nodeid"),
            node_hostname: text("nodeHostname"),
            node_os: text("os"),
            node_architecture: text("architecture"),
            task_id: text("taskid"),
            task_name: text("servicename.1.taskid"),
            task_slot: text("1"),
        }
    }

    fn value(&self, name: &'static str) -> Value {
        let labels = self.service_labels.iter();
        let labels = Map::of_texts(labels.map(|(key, value)| (key.as_str(), value.as_str())));
        let service = record(
            "struct { ID string; Name string; Labels map[string]string }",
            [
                ("ID", text(&self.service_id)),
                ("Name", text(&self.service_name)),
                ("Labels", labels.into()),
            ],
        );
        let platform = record(
            "template.Platform",
            [("Architecture", text(&self.node_architecture)), ("OS", text(&self.node_os))],
        );
        let node = record(
            "struct { ID string; Hostname string; Platform template.Platform }",
            [
                ("ID", text(&self.node_id)),
                ("Hostname", text(&self.node_hostname)),
                ("Platform", platform),
            ],
        );
        let task = record(
            "struct { ID string; Name string; Slot string }",
            [
                ("ID", text(&self.task_id)),
                ("Name", text(&self.task_name)),
                ("Slot", text(&self.task_slot)),
            ],
        );
        record(name, [("Service", service), ("Node", node), ("Task", task)])
    }
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn record<const N: usize>(name: &'static str, fields: [(&'static str, Value); N]) -> Value {
    let fields = fields.map(|(name, value)| (name.into(), Field::Value(value)));
    Struct { name, fields: fields.into(), is_open: false, json: None }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        let labels = [("a.b", "one"), ("tier", "front")];
        Context {
            service_name: "web".into(),
            service_labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            node_hostname: "host1".into(),
            node_os: "linux".into(),
            task_slot: "2".into(),
            ..Context::sample()
        }
    }

    #[test]
    fn templates_are_gos() {
        for (text, want) in [
            ("", ""),
            ("a } b", "a } b"),
            ("{{.Service.Name}}-{{ .Task.Slot }}.x", "web-2.x"),
            (r#"{{index .Service.Labels "a.b"}}"#, "one"),
            (r#"<{{index .Service.Labels "none"}}>"#, "<>"),
            ("{{.Service.Labels.tier}}", "front"),
            ("{{.Node.Platform.OS}}", "linux"),
            (r#"{{if eq .Task.Slot "1"}}first{{else}}other{{end}}"#, "other"),
            (r#"{{with .Node}}{{.Hostname}}{{end}}"#, "host1"),
            (r#"{{range $k, $v := .Service.Labels}}{{$k}}={{$v}};{{end}}"#, "a.b=one;tier=front;"),
            (r#"{{.Service.Name | printf "%s-%s" .Task.Slot}}"#, "2-web"),
            (r#"{{$n := .Service.Name}}{{$n}}{{len $n}}"#, "web3"),
            (r#"{{join "-" .Service.Name .Task.Slot}}"#, "web-2"),
        ] {
            assert_eq!(expand(text, &context()).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn only_the_value_of_a_variable_is_expanded() {
        let expanded = |variable| expand_variable(variable, &context()).expect(variable);
        assert_eq!(expanded("SLOT={{.Task.Slot}}={{.Task.Slot}}"), "SLOT=2=2");
        assert_eq!(expanded("{{.Task.Slot}}=x"), "{{.Task.Slot}}=x");
        assert_eq!(expanded("BARE"), "BARE");
    }

    #[test]
    fn what_is_not_there_is_told_in_gos_words() {
        for (text, want) in [
            (
                "{{.Foo}}",
                r#"template: expansion:1:2: executing "expansion" at <.Foo>: can't evaluate field Foo in type *template.Context"#,
            ),
            (
                "{{.Service.Foo}}",
                r#"template: expansion:1:10: executing "expansion" at <.Service.Foo>: can't evaluate field Foo in type struct { ID string; Name string; Labels map[string]string }"#,
            ),
            (
                "{{.Service.Labels.none}}",
                r#"template: expansion:1:10: executing "expansion" at <.Service.Labels.none>: map has no entry for key "none""#,
            ),
            ("a{{.Task.ID", "template: expansion:1: unclosed action"),
            ("{{secret \"a\"}}", r#"template: expansion:1: function "secret" not defined"#),
            ("{{if .Task}}", "template: expansion:1: unexpected EOF"),
        ] {
            let error = expand(text, &context()).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    struct Sample;

    impl Given for Sample {
        fn secret(&self, target: &str) -> Result<String, String> {
            Ok(format!("s<{target}>"))
        }

        fn config(&self, target: &str) -> Result<String, String> {
            Err(format!("config target {target} not found"))
        }

        fn env(&self, name: &str) -> Result<String, String> {
            Ok(if name == "X" { "x".to_owned() } else { String::new() })
        }
    }

    #[test]
    fn data_may_name_secrets_configs_and_the_environment() {
        for (text, want) in [
            ("{{ secret \"a b\" }}{{env \"X\"}}{{.Task.Slot}}", Ok("s<a b>x2")),
            (r#"{{if env "Y"}}y{{else}}n{{end}}"#, Ok("n")),
            (r#"{{"a" | secret}}"#, Ok("s<a>")),
            (
                r#"{{config "/c"}}"#,
                Err(
                    r#"template: expansion:1:2: executing "expansion" at <config "/c">: error calling config: config target /c not found"#,
                ),
            ),
            (
                "{{secret 1}}",
                Err(
                    r#"template: expansion:1:9: executing "expansion" at <1>: expected string; found 1"#,
                ),
            ),
        ] {
            let said = expand_data(text, &context(), &Sample).map_err(|error| error.to_string());
            assert_eq!(said.as_deref().map_err(String::as_str), want, "{text}");
        }
    }

    #[test]
    fn what_depends_on_the_task_is_not_checked_before_there_is_one() {
        for (text, fine) in [
            (r#"{{slice (secret "a") 0 4}}"#, true),
            (r#"{{.Service.Labels.tier}}"#, true),
            ("{{.Foo}}", false),
            ("{{end}}", false),
        ] {
            assert_eq!(check_data(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn work_without_end_is_ended() {
        for text in [
            "{{range 999999999999}}{{end}}",
            "{{$x := \"aaaaaaaaaaaaaaaa\"}}{{range 60}}{{$x = print $x $x}}{{end}}",
            "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}",
        ] {
            assert!(expand(text, &context()).is_err(), "{text}");
        }
        let deep = "{{(".to_owned() + &"(".repeat(100_000);
        assert!(expand(&deep, &context()).is_err());
    }
}
