//! Templates in a task's spec: `{{.Service.Name}}`, `{{.Task.Slot}}` and their like.

use swarmw_model::Assignment;
use swarmw_model::template::{self, Field};

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
        template::expand(text, |field| self.value(field))
            .map_err(|error| TaskError(format!("expanding {text:?} failed: {error}")))
    }

    /// What a field stands for.
    pub(crate) fn value(&self, field: Field<'_>) -> String {
        let task = self.task;
        match field {
            Field::ServiceId => task.service_id.to_string(),
            Field::ServiceName => task.service.name.clone(),
            Field::ServiceLabel(key) => task.service.labels.get(key).cloned().unwrap_or_default(),
            Field::NodeId => task.node_id.to_string(),
            Field::NodeHostname => self.hostname.to_owned(),
            Field::NodeOs => std::env::consts::OS.to_owned(),
            Field::NodeArchitecture => std::env::consts::ARCH.to_owned(),
            Field::TaskId => task.id.to_string(),
            Field::TaskName => task.name(),
            Field::TaskSlot => match task.number() {
                None => task.node_id.to_string(),
                Some(slot) => slot.to_string(),
            },
        }
    }
}
