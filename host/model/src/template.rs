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

/// A text that is no template, or names what there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Braces that nothing closes.
    #[error("template: expansion: unclosed action in {0:?}")]
    Unclosed(String),
    /// A field that does not exist.
    #[error("template: expansion: can't evaluate field {0}")]
    Unknown(String),
}

/// Puts values in the place of fields; a text without braces stays as it is.
///
/// # Errors
/// The text is no template, or names a field that does not exist.
pub fn expand<'a>(
    text: &'a str,
    mut value: impl FnMut(Field<'a>) -> String,
) -> Result<String, InvalidTemplate> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, after) =
            after.split_once("}}").ok_or_else(|| InvalidTemplate::Unclosed(text.to_owned()))?;
        expanded.push_str(before);
        expanded.push_str(&value(Field::parse(field.trim())?));
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
