//! Tasks: made, assigned, reported on, forgotten.

use std::sync::Arc;

use swarmw_model::{Availability, Id, NodeState, Slot, Task, TaskId, TaskState, TaskStatus};

use super::{Context, Step};
use crate::{Dropped, Event, NewTask, State, TaskChange};

/// The messages of Swarm's allocator and scheduler.
const PENDING: &str = "pending task scheduling";
const ASSIGNED: &str = "scheduler assigned task to node";
const CONFIRMED: &str = "scheduler confirmed task can run on preassigned node";

impl State {
    pub(super) fn create_task(&mut self, new: &NewTask, context: &mut Context<'_>) -> Step {
        let Some(service) = self.services.get(&new.service) else {
            return Err(Dropped::Gone.into());
        };
        if service.spec_version != new.spec_version || self.tasks.contains_key(&new.id) {
            return Err(Dropped::Changed.into());
        }
        if new.node.is_some_and(|node| !self.may_host(node)) {
            return Err(Dropped::Changed.into());
        }
        let template = service.spec.task_template.clone();
        if !self.addresses_fit(new.id, new.node.is_some(), &template, &new.attachments) {
            return Err(Dropped::Changed.into());
        }
        let (state, message) = match (new.node, new.slot) {
            (None, _) => (TaskState::Pending, PENDING),
            (Some(_), Slot::Replica(_)) => (TaskState::Assigned, ASSIGNED),
            (Some(_), Slot::Node(_)) => (TaskState::Assigned, CONFIRMED),
        };
        let (slot, node_id) = match new.slot {
            Slot::Replica(n) => (n, new.node),
            Slot::Node(node) => (0, Some(node)),
        };
        let task = Arc::new(Task {
            id: new.id,
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            spec: template,
            service_id: new.service,
            slot,
            node_id,
            status: TaskStatus {
                timestamp: context.at,
                state,
                message: message.into(),
                error: new.error.clone(),
                ..TaskStatus::default()
            },
            desired_state: new.desired,
            spec_version: new.spec_version,
            job_iteration: service.job_status.map(|status| status.job_iteration),
            service: self.facts.get(&new.service).cloned().unwrap_or_default(),
            attachments: new.attachments.clone(),
            generic_resources: match new.node {
                Some(_) => new.generic_resources.clone(),
                None => Vec::new(),
            },
        });
        self.hold_task(&task);
        self.tasks_of_service.entry(new.service).or_default().insert((new.slot, new.id));
        if let Some(node) = task.node_id {
            self.tasks_of_node.entry(node).or_default().insert(new.id);
        }
        self.tasks.insert(new.id, task.clone());
        context.events.push(Event::Task { old: None, new: Some(task) });
        Ok(Some(Id::from_bits(new.id.bits())))
    }

    pub(super) fn change_task(&mut self, change: &TaskChange, context: &mut Context<'_>) -> Step {
        let Some(task) = self.tasks.get(&change.id) else {
            return Err(Dropped::Gone.into());
        };
        let desired = change.desired.filter(|d| *d > task.desired_state);
        let later = |s: &TaskStatus| s.state >= task.status.state && *s != task.status;
        let status = change.status.clone().filter(later);
        let adopted = match change.adopt {
            Some(version) if version == task.spec_version => None,
            Some(version) => {
                let service = self.services.get(&task.service_id);
                let Some(service) = service.filter(|s| s.spec_version == version) else {
                    return Err(Dropped::Changed.into());
                };
                Some((version, service.spec.task_template.clone()))
            }
            None => None,
        };
        if let Some(node) = change.assign {
            let mine = task.node_id.is_none_or(|preassigned| preassigned == node);
            let fit = self.addresses_fit(task.id, true, &task.spec, &change.attachments);
            if !waits(task) || !mine || !fit || !self.may_host(node) {
                return Err(Dropped::Changed.into());
            }
        }
        if desired.is_none() && status.is_none() && change.assign.is_none() && adopted.is_none() {
            return Err(Dropped::Stale.into());
        }
        let at = context.at;
        self.edit_task(change.id, context, |task| {
            if let Some(desired) = desired {
                task.desired_state = desired;
            }
            if let Some(node) = change.assign {
                let message = if task.node_id.is_some() { CONFIRMED } else { ASSIGNED };
                task.node_id = Some(node);
                task.attachments.clone_from(&change.attachments);
                task.generic_resources.clone_from(&change.generic_resources);
                task.status = TaskStatus {
                    timestamp: at,
                    state: TaskState::Assigned,
                    message: message.into(),
                    ..TaskStatus::default()
                };
            }
            if let Some(status) = status {
                task.status = status;
            }
            if let Some((version, spec)) = adopted {
                task.spec_version = version;
                task.spec = spec;
            }
        })
    }

    pub(super) fn remove_task(&mut self, id: TaskId, context: &mut Context<'_>) -> Step {
        let Some(task) = self.tasks.remove(&id) else {
            return Err(Dropped::Gone.into());
        };
        self.let_go_of_task(&task);
        if let Some(slot) = task.slot() {
            let left = self.tasks_of_service.get_mut(&task.service_id).is_some_and(|tasks| {
                tasks.remove(&(slot, id));
                tasks.is_empty()
            });
            if left {
                self.tasks_of_service.remove(&task.service_id);
            }
        }
        if let Some(node) = task.node_id {
            let left = self.tasks_of_node.get_mut(&node).is_some_and(|tasks| {
                tasks.remove(&id);
                tasks.is_empty()
            });
            if left {
                self.tasks_of_node.remove(&node);
            }
        }
        if let Some(rollout) = self.rollouts.get_mut(&task.service_id)
            && [&rollout.told_ended, &rollout.before].iter().any(|told| told.contains(&id))
        {
            let rollout = Arc::make_mut(rollout);
            rollout.before.remove(&id);
            rollout.ran.remove(&id);
            rollout.told_ended.remove(&id);
        }
        context.events.push(Event::Task { old: Some(task), new: None });
        Ok(None)
    }

    pub(super) fn edit_task(
        &mut self,
        id: TaskId,
        context: &mut Context<'_>,
        edit: impl FnOnce(&mut Task),
    ) -> Step {
        let Some(slot) = self.tasks.get_mut(&id) else {
            return Err(Dropped::Gone.into());
        };
        let old = slot.clone();
        let task = Arc::make_mut(slot);
        edit(task);
        task.version = context.version;
        task.updated_at = context.at;
        let new = slot.clone();
        if !old.attachments.is_empty() || !new.attachments.is_empty() {
            self.let_go_of_task(&old);
            self.hold_task(&new);
        }
        if old.node_id != new.node_id
            && let Some(node) = new.node_id
        {
            self.tasks_of_node.entry(node).or_default().insert(id);
        }
        context.events.push(Event::Task { old: Some(old), new: Some(new) });
        Ok(None)
    }

    /// Whether a node may still be given a task that was decided for it: it is
    /// there, not down, and not being drained or paused.
    fn may_host(&self, node: swarmw_model::NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|n| {
            n.spec.availability == Availability::Active && n.status.state == NodeState::Ready
        })
    }
}

/// Whether a task waits for the scheduler.
fn waits(task: &Task) -> bool {
    task.status.state <= TaskState::Pending && task.desired_state <= TaskState::Complete
}
