//! What there is to place: tasks of the state and of the same tick's decisions,
//! grouped by service and spec version.

use std::num::NonZeroU32;
use std::sync::Arc;

use swarmw_model::{
    GenericResource, NodeId, Service, ServiceId, Slot, TaskId, TaskSpec, TaskState, TaskStatus,
    Time, Version,
};
use swarmw_state::{Change, State, TaskChange};

use crate::batch::Policy;
use crate::hash::FastMap;
use crate::usage::{Port, host_ports};
use crate::waiting::{GroupKey, Waiter, Waiters};

/// A task to be placed. The lower slot comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    slot: u64,
    id: TaskId,
    /// Place of the change among the decisions that will make it, counted from one;
    /// without one it waits in the state.
    made_by: Option<NonZeroU32>,
}

/// Tasks that are alike but for their slots.
pub(crate) struct Group {
    pub(crate) service: ServiceId,
    pub(crate) version: Version,
    /// The service as it is now, which may be of another version.
    pub(crate) owner: Arc<Service>,
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) ports: Vec<Port>,
    pub(crate) items: Vec<Item>,
    /// Tasks of a global service, each with the node it is for.
    pub(crate) preassigned: Vec<(NodeId, Item)>,
    /// How many of those with a node have what they need besides, and why no more; `None`
    /// where all have.
    pub(crate) enough: Option<(usize, Arc<str>)>,
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
                    .then(|| (service.clone(), service.spec.task_template.clone(), ports))
            });
            let Some(group) = group else { continue };
            let made_by = u32::try_from(at + 1).ok().and_then(NonZeroU32::new);
            let item = |slot| Item { slot, id: new.id, made_by };
            match new.slot {
                Slot::Node(node) => group.preassigned.push((node, item(0))),
                Slot::Replica(slot) => group.items.push(item(slot)),
            }
        }
    }

    /// Takes in tasks of one group that wait in the state; those whose service is gone
    /// are left to the orchestrator.
    pub(crate) fn add_waiting(
        &mut self,
        (service, version): GroupKey,
        Waiters { shared, tasks }: &Waiters,
        state: &State,
    ) {
        let group = self.group(service, version, || {
            let owner = state.service(service)?.clone();
            Some((owner, shared.spec.clone(), host_ports(&shared.facts.ports).collect()))
        });
        let Some(group) = group else { return };
        group.items.reserve(tasks.len());
        for Waiter { id, slot, node } in tasks {
            let item = Item { slot: *slot, id: *id, made_by: None };
            match node {
                Some(node) => group.preassigned.push((*node, item)),
                None => group.items.push(item),
            }
        }
    }

    /// The group of a service and version, looked up once: `None` where there is
    /// nothing to place.
    fn group(
        &mut self,
        service: ServiceId,
        version: Version,
        first: impl FnOnce() -> Option<(Arc<Service>, Arc<TaskSpec>, Vec<Port>)>,
    ) -> Option<&mut Group> {
        let key = (service.bits(), version.index);
        let place = *self.places.entry(key).or_insert_with(|| {
            let (owner, spec, ports) = first()?;
            self.all.push(Group {
                service,
                version,
                owner,
                spec,
                ports,
                items: Vec::new(),
                preassigned: Vec::new(),
                enough: None,
                policy: None,
            });
            Some(self.all.len() - 1)
        });
        Some(&mut self.all[place?])
    }

    /// The groups: those whose spec is older first, and within each the lower slots.
    pub(crate) fn sorted(mut self) -> Vec<Group> {
        self.all.sort_unstable_by_key(|g| (g.version, g.service));
        for group in &mut self.all {
            group.items.sort_unstable();
        }
        self.all
    }
}

// === impl Item ===

impl Item {
    /// The task's id, where it waits in the state.
    pub(crate) fn waiting(&self) -> Option<TaskId> {
        self.made_by.is_none().then_some(self.id)
    }

    fn made_at(&self) -> Option<usize> {
        self.made_by.map(|place| place.get() as usize - 1)
    }

    /// Gives the task its node, and what it gets there.
    pub(crate) fn assign(
        &self,
        node: NodeId,
        generic_resources: Vec<GenericResource>,
        decisions: &mut Vec<Change>,
    ) {
        match self.made_at() {
            Some(at) => {
                if let Change::CreateTask(new) = &mut decisions[at] {
                    new.node = Some(node);
                    new.error = Arc::default();
                    new.generic_resources = generic_resources;
                }
            }
            None => decisions.push(Change::Task(TaskChange {
                assign: Some(node),
                generic_resources,
                ..TaskChange::of(self.id)
            })),
        }
    }

    /// Says why the task waits; true where that is news.
    pub(crate) fn leave(
        &self,
        why: &Arc<str>,
        state: &State,
        now: Time,
        decisions: &mut Vec<Change>,
    ) -> bool {
        if let Some(at) = self.made_at() {
            if let Change::CreateTask(new) = &mut decisions[at] {
                new.error = why.clone();
            }
            return true;
        }
        let Some(task) = state.task(self.id).filter(|task| task.status.error != *why) else {
            return false;
        };
        let status = TaskStatus { timestamp: now, error: why.clone(), ..task.status.clone() };
        let told = TaskChange { status: Some(status), ..TaskChange::of(self.id) };
        decisions.push(Change::Task(told));
        true
    }
}
