//! Tasks: one run of a service's spec on one node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::json::is_default;
use crate::{
    GenericResource, NetworkAttachment, NodeId, PortConfig, ResolutionMode, ServiceId, TaskId,
    TaskSpec, Time, Version,
};

/// Where a task stands, or should stand. The order is the order of life; the
/// numbers are Swarm's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u16)]
pub enum TaskState {
    /// Made by the orchestrator.
    #[default]
    New = 0,
    /// Allocated; waits for a node.
    Pending = 64,
    /// Has a node.
    Assigned = 192,
    /// Its agent knows of it.
    Accepted = 256,
    /// Image, volumes, container are being made.
    Preparing = 320,
    /// Prepared; waits for the word to start.
    Ready = 384,
    /// Starting, until it is healthy where health is checked.
    Starting = 448,
    /// Running.
    Running = 512,
    /// Ended with exit code 0.
    Complete = 576,
    /// Stopped because it was told to.
    Shutdown = 640,
    /// Ended by an error at or after its start.
    Failed = 704,
    /// Ended by an error before its start.
    Rejected = 768,
    /// Only as a desired state: stop, then forget the task.
    Remove = 800,
    /// Its node was down too long to ask.
    Orphaned = 832,
}

/// What was last seen of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskStatus {
    /// When it was seen, by the clock of who saw it.
    pub timestamp: Time,
    /// Where it stands.
    pub state: TaskState,
    /// What happens, for people.
    #[serde(skip_serializing_if = "str_is_empty")]
    pub message: Arc<str>,
    /// What went wrong, or why it waits.
    #[serde(rename = "Err", skip_serializing_if = "str_is_empty")]
    pub error: Arc<str>,
    /// The container or the Wasm process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_status: Option<Box<ContainerStatus>>,
    /// Host-mode ports as bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_status: Option<Box<PortStatus>>,
    /// It runs still, and nobody new is to be led to it: it is ill and about to be stopped,
    /// or has ended and is not cleared away yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
}

/// The container or the Wasm process of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerStatus {
    /// The engine's id of the container; for a Wasm task the task's own id.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Process id on the node.
    #[serde(rename = "PID")]
    pub pid: i64,
    /// Exit code; 128 + N for a process ended by signal N.
    pub exit_code: i64,
}

/// Host-mode ports of a task as bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortStatus {
    /// The ports with their published numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

/// A task. Immutable but for `node_id`, `status`, `desired_state` and the meta
/// fields; once it has a node it never moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: TaskId,
    /// Index of the last write.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What it runs: the service's template when it was made, shared by all
    /// tasks of that version.
    pub spec: Arc<TaskSpec>,
    /// Its service.
    #[serde(rename = "ServiceID")]
    pub service_id: ServiceId,
    /// 1 and up for replicas, those of a job too; 0 for tasks that are bound to their
    /// node. [`Task::number`] is what people are shown.
    #[serde(default, skip_serializing_if = "is_default")]
    pub slot: u64,
    /// Its node, once it has one.
    #[serde(rename = "NodeID", default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// What was last seen of it.
    pub status: TaskStatus,
    /// Where it should be.
    pub desired_state: TaskState,
    /// The service's spec version that it was made for.
    #[serde(default)]
    pub spec_version: Version,
    /// Facts of the service that must outlive it.
    #[serde(rename = "ServiceAnnotations")]
    pub service: Arc<ServiceFacts>,
    /// Of a job's task alone: which time of the job it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_iteration: Option<Version>,
    /// Its addresses, from when it has a node; its own as long as it has not ended.
    #[serde(rename = "Attachments", default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<NetworkAttachment>,
    /// What it was given of its node's generic resources, with its node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// Facts of a service that its tasks keep, shared by all of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceFacts {
    /// The service's name.
    pub name: String,
    /// The service's labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Published ports as allocated when the task was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
    /// How the service is found by name.
    #[serde(skip_serializing_if = "is_default")]
    pub endpoint_mode: ResolutionMode,
}

/// What identifies a task within its service, through its restarts and updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// A replica's number, from 1.
    Replica(u64),
    /// The node of a global service's task.
    Node(NodeId),
}

/// What a node is told of one of its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Assignment {
    /// The task.
    pub id: TaskId,
    /// Its service.
    pub service_id: ServiceId,
    /// Facts of the service.
    pub service: Arc<ServiceFacts>,
    /// 1 and up for replicas, those of a job too; 0 for tasks that are bound to their
    /// node. [`Assignment::number`] is what people are shown.
    pub slot: u64,
    /// The node itself.
    pub node_id: NodeId,
    /// What to run.
    pub spec: Arc<TaskSpec>,
    /// Where to bring it.
    pub desired_state: TaskState,
    /// What the leader last heard of it: a node that has lost its own record does not
    /// run a task again that has ended.
    #[serde(default)]
    pub status: TaskStatus,
    /// Of a job's task alone: which time of the job it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_iteration: Option<Version>,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<NetworkAttachment>,
    /// What it was given of the node's generic resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// One status on its way from an agent to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusReport {
    /// The task.
    pub task: TaskId,
    /// What was seen.
    pub status: TaskStatus,
}

fn str_is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

/// What a slot is called: a job's tasks count from 0.
fn number(slot: u64, job_iteration: Option<Version>) -> Option<u64> {
    match job_iteration {
        None => (slot > 0).then_some(slot),
        Some(_) => slot.checked_sub(1),
    }
}

// === impl TaskState ===

impl TaskState {
    /// Whether the task has ended, in whatever way.
    pub fn is_terminal(self) -> bool {
        self > Self::Running
    }

    /// The word in the API, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Task ===

impl Task {
    /// What identifies the task within its service; `None` for a global task
    /// without a node, which does not occur.
    pub fn slot(&self) -> Option<Slot> {
        match self.slot {
            0 => self.node_id.map(Slot::Node),
            n => Some(Slot::Replica(n)),
        }
    }

    /// The task's number among those of its service, for people: replicas count from 1,
    /// a job's tasks from 0, as Swarm's. `None` for one that is bound to its node.
    pub fn number(&self) -> Option<u64> {
        number(self.slot, self.job_iteration)
    }

    /// Whether it should run: on and on, or to its end.
    pub fn is_wanted(&self) -> bool {
        self.desired_state <= TaskState::Complete
    }

    /// Whether new connections may be led to it, and its name to its address.
    pub fn serves(&self) -> bool {
        self.status.state == TaskState::Running && self.is_wanted() && !self.status.leaves
    }

    /// Whether the task uses its node's resources: it should run and has not ended.
    pub fn is_active(&self) -> bool {
        self.is_wanted() && (TaskState::Pending..=TaskState::Running).contains(&self.status.state)
    }

    /// What its node is told of it, once it has one.
    pub fn assignment(&self) -> Option<Assignment> {
        Some(Assignment {
            id: self.id,
            service_id: self.service_id,
            service: self.service.clone(),
            slot: self.slot,
            node_id: self.node_id?,
            spec: self.spec.clone(),
            desired_state: self.desired_state,
            status: self.status.clone(),
            job_iteration: self.job_iteration,
            attachments: self.attachments.clone(),
            generic_resources: self.generic_resources.clone(),
        })
    }
}

// === impl Assignment ===

impl Assignment {
    /// The task's number: see [`Task::number`].
    pub fn number(&self) -> Option<u64> {
        number(self.slot, self.job_iteration)
    }

    /// `SERVICE.SLOT.TASK`, or `SERVICE.NODE.TASK` for a global task: the name of
    /// the container. A job's first task, with slot 0, has its node's name as well, as
    /// with Swarm.
    pub fn name(&self) -> String {
        match self.number() {
            None | Some(0) => format!("{}.{}.{}", self.service.name, self.node_id, self.id),
            Some(slot) => format!("{}.{slot}.{}", self.service.name, self.id),
        }
    }

    /// The labels that Swarm puts on a task's container, over the user's own.
    pub fn container_labels(&self) -> BTreeMap<String, String> {
        let mut labels =
            self.spec.container_spec.as_ref().map(|c| c.labels.clone()).unwrap_or_default();
        let name = self.name();
        for (key, value) in [
            ("task", String::new()),
            ("task.id", self.id.to_string()),
            ("task.name", name),
            ("node.id", self.node_id.to_string()),
            ("service.id", self.service_id.to_string()),
            ("service.name", self.service.name.clone()),
        ] {
            labels.insert(format!("com.docker.swarm.{key}"), value);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_count_from_one_and_a_jobs_tasks_from_nought() {
        let first = Some(Version::default());
        for (slot, job_iteration, number, name) in [
            (0, None, None, "node"),
            (1, None, Some(1), "1"),
            (0, first, None, "node"),
            (1, first, Some(0), "node"),
            (2, first, Some(1), "1"),
        ] {
            let (id, node_id) = (TaskId::from_bits(1), NodeId::from_bits(2));
            let task = Assignment {
                id,
                service_id: ServiceId::from_bits(3),
                service: Arc::new(ServiceFacts { name: "web".into(), ..Default::default() }),
                slot,
                node_id,
                spec: Arc::default(),
                desired_state: TaskState::Running,
                status: TaskStatus::default(),
                job_iteration,
                attachments: Vec::new(),
                generic_resources: Vec::new(),
            };
            assert_eq!(task.number(), number, "slot {slot} {job_iteration:?}");
            let name = name.replace("node", &node_id.to_string());
            assert_eq!(task.name(), format!("web.{name}.{id}"), "slot {slot} {job_iteration:?}");
        }
    }
}
