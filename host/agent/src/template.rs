//! Templates in a task's spec: `{{.Service.Name}}`, `{{.Task.Slot}}` and their like.

use swarmw_model::Assignment;
use swarmw_model::template::{self, Context};

use crate::executor::TaskError;

/// What a template may name, for one task.
pub(crate) struct Template {
    context: Context,
}

// === impl Template ===

impl Template {
    /// For a task on the node of this name.
    pub(crate) fn of(task: &Assignment, hostname: &str) -> Self {
        Self {
            context: Context {
                service_id: task.service_id.to_string(),
                service_name: task.service.name.clone(),
                service_labels: task.service.labels.clone(),
                node_id: task.node_id.to_string(),
                node_hostname: hostname.to_owned(),
                node_os: std::env::consts::OS.to_owned(),
                node_architecture: std::env::consts::ARCH.to_owned(),
                task_id: task.id.to_string(),
                task_name: task.name(),
                task_slot: match task.number() {
                    None => task.node_id.to_string(),
                    Some(slot) => slot.to_string(),
                },
            },
        }
    }

    /// Expands a text; a text without actions stays as it is.
    pub(crate) fn expand(&self, text: &str) -> Result<String, TaskError> {
        template::expand(text, &self.context)
            .map_err(|error| TaskError(format!("expanding {text:?} failed: {error}")))
    }

    /// Expands the value of `KEY=VALUE`; a bare key stays as it is.
    pub(crate) fn expand_variable(&self, variable: &str) -> Result<String, TaskError> {
        template::expand_variable(variable, &self.context)
            .map_err(|error| TaskError(format!("expanding env {variable:?} failed: {error}")))
    }

    /// What templates of the task name.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}
