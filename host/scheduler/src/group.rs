//! What there is to place: tasks of the state and of the same tick's decisions,
//! grouped by service and spec version.

use std::sync::Arc;

use swarmw_model::{
    NodeId, ServiceId, Slot, Task, TaskId, TaskSpec, TaskState, TaskStatus, Time, Version,
};
use swarmw_state::{Change, State, TaskChange};

use crate::batch::Policy;
use crate::hash::FastMap;
use crate::usage::{Port, host_ports};

/// A task to be placed.
pub(crate) enum Item {
    /// To be made by the change at this place of the decisions.
    New(usize),
    /// Waits in the state.
    Waiting(Arc<Task>),
}

/// Tasks that are alike but for their slots.
pub(crate) struct Group {
    pub(crate) service: ServiceId,
    pub(crate) version: Version,
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) ports: Vec<Port>,
    pub(crate) items: Vec<Item>,
    /// Tasks of a global service, each with the node it is for.
    pub(crate) preassigned: Vec<(NodeId, Item)>,
    /// Once compiled.
    pub(crate) policy: Option<Policy>,
}

/// Groups in the making.
#[derive(Default)]
pub(crate) struct Groups {
    all: Vec<Group>,
    places: FastMap<(u128, u64), Option<usize>>,
}

// === impl Groups ===

impl Groups {
    /// Takes in the tasks that the decisions are about to make.
    pub(crate) fn add_new(&mut self, decisions: &[Change], state: &State) {
        for (at, change) in decisions.iter().enumerate() {
            let Change::CreateTask(new) = change else {
                continue;
            };
            if new.node.is_some() || new.desired > TaskState::Complete {
                continue;
            }
            let group = self.group(new.service, new.spec_version, || {
                let service = state.service(new.service)?;
                let ports = host_ports(&service.endpoint.ports).collect();
                (service.spec_version == new.spec_version)
                    .then(|| (service.spec.task_template.clone(), ports))
            });
            let Some(group) = group else { continue };
            match new.slot {
                Slot::Node(node) => group.preassigned.push((node, Item::New(at))),
                Slot::Replica(_) => group.items.push(Item::New(at)),
            }
        }
    }

    /// Takes in a task that waits in the state; one whose service is gone is left
    /// to the orchestrator.
    pub(crate) fn add_waiting(&mut self, task: &Arc<Task>, state: &State) {
        let group = self.group(task.service_id, task.spec_version, || {
            state.service(task.service_id)?;
            Some((task.spec.clone(), host_ports(&task.service.ports).collect()))
        });
        let Some(group) = group else { return };
        match task.node_id {
            Some(node) => group.preassigned.push((node, Item::Waiting(task.clone()))),
            None => group.items.push(Item::Waiting(task.clone())),
        }
    }

    /// The group of a service and version, looked up once: `None` where there is
    /// nothing to place.
    fn group(
        &mut self,
        service: ServiceId,
        version: Version,
        first: impl FnOnce() -> Option<(Arc<TaskSpec>, Vec<Port>)>,
    ) -> Option<&mut Group> {
        let key = (service.bits(), version.index);
        let place = *self.places.entry(key).or_insert_with(|| {
            let (spec, ports) = first()?;
            self.all.push(Group {
                service,
                version,
                spec,
                ports,
                items: Vec::new(),
                preassigned: Vec::new(),
                policy: None,
            });
            Some(self.all.len() - 1)
        });
        Some(&mut self.all[place?])
    }

    /// The groups: those whose spec is older first, and within each the lower slots.
    pub(crate) fn sorted(mut self, decisions: &[Change]) -> Vec<Group> {
        self.all.sort_unstable_by_key(|g| (g.version, g.service));
        for group in &mut self.all {
            group.items.sort_by_cached_key(|item| item.order(decisions));
        }
        self.all
    }
}

// === impl Item ===

impl Item {
    fn order(&self, decisions: &[Change]) -> (u64, TaskId) {
        match self {
            Self::Waiting(task) => (task.slot, task.id),
            Self::New(at) => match &decisions[*at] {
                Change::CreateTask(new) => match new.slot {
                    Slot::Replica(slot) => (slot, new.id),
                    Slot::Node(_) => (0, new.id),
                },
                _ => (0, TaskId::from_bits(0)),
            },
        }
    }

    /// Gives the task its node.
    pub(crate) fn assign(&self, node: NodeId, decisions: &mut Vec<Change>) {
        match self {
            Self::New(at) => {
                if let Change::CreateTask(new) = &mut decisions[*at] {
                    new.node = Some(node);
                    new.error = Arc::default();
                }
            }
            Self::Waiting(task) => decisions
                .push(Change::Task(TaskChange { assign: Some(node), ..TaskChange::of(task.id) })),
        }
    }

    /// Says why the task waits; true where that is news.
    pub(crate) fn leave(&self, why: &Arc<str>, now: Time, decisions: &mut Vec<Change>) -> bool {
        match self {
            Self::New(at) => {
                if let Change::CreateTask(new) = &mut decisions[*at] {
                    new.error = why.clone();
                }
                true
            }
            Self::Waiting(task) if task.status.error == *why => false,
            Self::Waiting(task) => {
                decisions.push(Change::Task(TaskChange {
                    status: Some(TaskStatus {
                        timestamp: now,
                        error: why.clone(),
                        ..task.status.clone()
                    }),
                    ..TaskChange::of(task.id)
                }));
                true
            }
        }
    }
}
