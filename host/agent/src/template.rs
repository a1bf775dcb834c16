//! Templates in a task's spec: `{{.Service.Name}}`, `{{.Task.Slot}}` and their like.

use swarmw_model::Assignment;

use crate::executor::TaskError;

/// What a template may name, for one task.
pub(crate) struct Template<'a> {
    task: &'a Assignment,
    hostname: &'a str,
}

// === impl Template ===

impl<'a> Template<'a> {
    /// For a task on the node of this name.
    pub(crate) fn of(task: &'a Assignment, hostname: &'a str) -> Self {
        Self { task, hostname }
    }

    /// Expands a text; a text without braces stays as it is.
    pub(crate) fn expand(&self, text: &str) -> Result<String, TaskError> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((field, after)) = after.split_once("}}") else {
                return Err(TaskError(format!(
                    "expanding {text:?} failed: a template without end"
                )));
            };
            expanded.push_str(before);
            expanded.push_str(&self.field(field.trim(), text)?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn field(&self, field: &str, text: &str) -> Result<String, TaskError> {
        let task = self.task;
        Ok(match field {
            ".Service.ID" => task.service_id.to_string(),
            ".Service.Name" => task.service.name.clone(),
            ".Node.ID" => task.node_id.to_string(),
            ".Node.Hostname" => self.hostname.to_owned(),
            ".Node.Platform.OS" => std::env::consts::OS.to_owned(),
            ".Node.Platform.Architecture" => std::env::consts::ARCH.to_owned(),
            ".Task.ID" => task.id.to_string(),
            ".Task.Name" => task.name(),
            ".Task.Slot" if task.slot == 0 => task.node_id.to_string(),
            ".Task.Slot" => task.slot.to_string(),
            _ => match field.strip_prefix("index .Service.Labels ") {
                Some(key) => {
                    task.service.labels.get(key.trim_matches('"')).cloned().unwrap_or_default()
                }
                None => {
                    return Err(TaskError(format!(
                        "expanding {text:?} failed: unknown field {field:?}"
                    )));
                }
            },
        })
    }
}
