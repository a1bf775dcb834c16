//! Templates in a service's spec: `{{.Service.Name}}`, `{{.Task.Slot}}` and their
//! like. Which there are is known where a spec is checked, what they stand for where
//! its tasks run.

/// What a template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// `.Service.ID`
    ServiceId,
    /// `.Service.Name`
    ServiceName,
    /// `index .Service.Labels "KEY"`
    ServiceLabel(&'a str),
    /// `.Node.ID`
    NodeId,
    /// `.Node.Hostname`
    NodeHostname,
    /// `.Node.Platform.OS`
    NodeOs,
    /// `.Node.Platform.Architecture`
    NodeArchitecture,
    /// `.Task.ID`
    TaskId,
    /// `.Task.Name`
    TaskName,
    /// `.Task.Slot`
    TaskSlot,
}

/// What a template in the data of a secret or a config names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataField<'a> {
    /// What templates in a spec name too.
    OfTask(Field<'a>),
    /// `secret "TARGET"`: another secret of the task.
    Secret(&'a str),
    /// `config "TARGET"`: another config of the task.
    Config(&'a str),
    /// `env "VARIABLE"`: of the task's environment.
    Env(&'a str),
}

/// A text that is no template, or names what there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Braces that nothing closes.
    #[error("template: expansion: unclosed action in {0:?}")]
    Unclosed(String),
    /// A field that does not exist.
    #[error("template: expansion: can't evaluate field {0}")]
    Unknown(String),
    /// What a field names is not there.
    #[error("template: expansion: {0}")]
    Missing(String),
}

/// Puts values in the place of fields; a text without braces stays as it is.
///
/// # Errors
/// The text is no template, or names a field that does not exist.
pub fn expand<'a>(
    text: &'a str,
    mut value: impl FnMut(Field<'a>) -> String,
) -> Result<String, InvalidTemplate> {
    replace(text, |field| Ok(value(Field::parse(field)?)))
}

/// The same for the data of a secret or a config, which may name other secrets and
/// configs of the task, and its environment.
///
/// # Errors
/// The text is no template, names a field that does not exist, or `value` fails.
pub fn expand_data<'a>(
    text: &'a str,
    mut value: impl FnMut(DataField<'a>) -> Result<String, InvalidTemplate>,
) -> Result<String, InvalidTemplate> {
    replace(text, |field| value(DataField::parse(field)?))
}

fn replace<'a>(
    text: &'a str,
    mut value: impl FnMut(&'a str) -> Result<String, InvalidTemplate>,
) -> Result<String, InvalidTemplate> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, after) =
            after.split_once("}}").ok_or_else(|| InvalidTemplate::Unclosed(text.to_owned()))?;
        expanded.push_str(before);
        expanded.push_str(&value(field.trim())?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

// === impl Field ===

impl<'a> Field<'a> {
    fn parse(text: &'a str) -> Result<Self, InvalidTemplate> {
        Ok(match text {
            ".Service.ID" => Self::ServiceId,
            ".Service.Name" => Self::ServiceName,
            ".Node.ID" => Self::NodeId,
            ".Node.Hostname" => Self::NodeHostname,
            ".Node.Platform.OS" => Self::NodeOs,
            ".Node.Platform.Architecture" => Self::NodeArchitecture,
            ".Task.ID" => Self::TaskId,
            ".Task.Name" => Self::TaskName,
            ".Task.Slot" => Self::TaskSlot,
            _ => match text.strip_prefix("index .Service.Labels ") {
                Some(key) => Self::ServiceLabel(key.trim().trim_matches('"')),
                None => return Err(InvalidTemplate::Unknown(text.to_owned())),
            },
        })
    }
}

// === impl DataField ===

impl<'a> DataField<'a> {
    fn parse(text: &'a str) -> Result<Self, InvalidTemplate> {
        let named = |word: &str| {
            let rest = text.strip_prefix(word)?.strip_prefix([' ', '\t'])?;
            rest.trim().strip_prefix('"')?.strip_suffix('"').filter(|name| !name.contains('"'))
        };
        if let Some(target) = named("secret") {
            return Ok(Self::Secret(target));
        }
        if let Some(target) = named("config") {
            return Ok(Self::Config(target));
        }
        match named("env") {
            Some(name) => Ok(Self::Env(name)),
            None => Field::parse(text).map(Self::OfTask),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_replaced_and_the_rest_stays() {
        let value = |field: Field<'_>| match field {
            Field::ServiceName => "web".to_owned(),
            Field::TaskSlot => "2".to_owned(),
            Field::ServiceLabel(key) => format!("<{key}>"),
            other => panic!("{other:?}"),
        };
        for (text, want) in [
            ("", ""),
            ("a } b", "a } b"),
            ("{{.Service.Name}}-{{ .Task.Slot }}.x", "web-2.x"),
            (r#"{{index .Service.Labels "a.b"}}"#, "<a.b>"),
        ] {
            assert_eq!(expand(text, value).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn data_may_name_secrets_configs_and_the_environment_and_a_spec_may_not() {
        let value = |field: DataField<'_>| match field {
            DataField::Secret(name) => Ok(format!("s<{name}>")),
            DataField::Config(name) => Ok(format!("c<{name}>")),
            DataField::Env("X") => Ok("x".to_owned()),
            DataField::Env(name) => Err(InvalidTemplate::Missing(name.to_owned())),
            other => panic!("{other:?}"),
        };
        for (text, want) in [
            ("{{ secret \"a b\" }}{{config \"/c\"}}{{env \"X\"}}", Ok("s<a b>c</c>x")),
            ("{{env \"Y\"}}", Err("template: expansion: Y")),
            ("{{secret a}}", Err("template: expansion: can't evaluate field secret a")),
            ("{{if .X}}", Err("template: expansion: can't evaluate field if .X")),
        ] {
            let said = expand_data(text, value).map_err(|error| error.to_string());
            assert_eq!(said.as_deref().map_err(String::as_str), want, "{text}");
        }
        assert!(expand("{{secret \"a\"}}", |_| String::new()).is_err());
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (text, want) in [
            ("{{.Foo}}", "template: expansion: can't evaluate field .Foo"),
            ("a{{.Task.ID", "template: expansion: unclosed action in \"a{{.Task.ID\""),
        ] {
            let error = expand(text, |_| String::new()).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
