//! A service's slots: the tasks of each, and how they compare with its present spec.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{PortConfig, Service, Slot, Task, TaskSpec, TaskState};
use swarmw_state::{Rollout, State, TargetState};

use crate::Fits;

/// The slots of one service.
pub(crate) type Slots = BTreeMap<Slot, SlotTasks>;

/// The tasks of one slot, oldest first; at least one.
pub(crate) struct SlotTasks {
    tasks: Vec<SlotTask>,
}

struct SlotTask {
    task: Arc<Task>,
    standing: Standing,
}

/// How a task compares with its service's present spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Made for it.
    Current,
    /// Made for another one, but what differs does not touch it.
    Adoptable,
    /// Something about it is old.
    Outdated,
}

/// Groups a service's tasks by slot.
pub(crate) fn slots_of(state: &State, service: &Service, fits: &mut dyn Fits) -> Slots {
    let mut by_slot: BTreeMap<Slot, Vec<Arc<Task>>> = BTreeMap::new();
    for task in state.tasks_of_service(service.id) {
        if let Some(slot) = task.slot() {
            by_slot.entry(slot).or_default().push(task.clone());
        }
    }
    by_slot
        .into_iter()
        .map(|(slot, mut tasks)| {
            tasks.sort_by_key(|t| (t.created_at, t.id));
            let newest = tasks.len() - 1;
            let tasks = tasks
                .into_iter()
                .enumerate()
                .map(|(at, task)| {
                    // Of history only the version counts: nothing can be adopted there.
                    let compared = at == newest || is_live(&task);
                    let standing = match task.spec_version == service.spec_version {
                        true => Standing::Current,
                        false if compared => compare(state, service, &task, fits),
                        false => Standing::Outdated,
                    };
                    SlotTask { task, standing }
                })
                .collect();
            (slot, SlotTasks { tasks })
        })
        .collect()
}

/// The slots of the time that a job is done at present. Its tasks are all of one spec.
pub(crate) fn slots_of_job(state: &State, job: &Service) -> Slots {
    let iteration = job.job_status.map(|status| status.job_iteration);
    let mut slots = Slots::new();
    let of_it = state.tasks_of_service(job.id).filter(|t| t.job_iteration == iteration);
    for task in of_it {
        let Some(slot) = task.slot() else { continue };
        let SlotTasks { tasks } = slots.entry(slot).or_insert(SlotTasks { tasks: Vec::new() });
        tasks.push(SlotTask { task: task.clone(), standing: Standing::Current });
    }
    for SlotTasks { tasks } in slots.values_mut() {
        tasks.sort_by_key(|t| (t.task.created_at, t.task.id));
    }
    slots
}

/// Whether a task should run, or be got ready to.
pub(crate) fn is_live(task: &Task) -> bool {
    task.is_wanted()
}

// === impl SlotTasks ===

impl SlotTasks {
    /// All tasks, oldest first.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> + Clone {
        self.tasks.iter().map(|t| &t.task)
    }

    /// The tasks that should run.
    pub(crate) fn live(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.all().filter(|task| is_live(task))
    }

    /// The last task made.
    pub(crate) fn newest(&self) -> &Arc<Task> {
        &self.tasks[self.tasks.len() - 1].task
    }

    /// The live task that the slot is for: of the present spec rather than of an
    /// older one, and the newest of those.
    pub(crate) fn chosen(&self) -> Option<&Arc<Task>> {
        let live = || self.tasks.iter().rev().filter(|t| is_live(&t.task));
        let current = live().find(|t| t.standing != Standing::Outdated);
        current.or_else(|| live().next()).map(|t| &t.task)
    }

    /// Whether a task of this slot is up to date.
    pub(crate) fn is_current(&self, task: &Task) -> bool {
        self.tasks.iter().any(|t| t.task.id == task.id && t.standing != Standing::Outdated)
    }

    /// Live tasks that the present spec can take over as they are.
    pub(crate) fn adoptable(&self) -> impl Iterator<Item = &Arc<Task>> {
        let adoptable = |t: &&SlotTask| t.standing == Standing::Adoptable && is_live(&t.task);
        self.tasks.iter().filter(adoptable).map(|t| &t.task)
    }

    /// Whether the slot needs an update: an older spec runs here and no present
    /// one, or nothing runs and what ran last was older.
    pub(crate) fn is_outdated(&self) -> bool {
        let mut live = self.tasks.iter().filter(|t| is_live(&t.task)).peekable();
        match live.peek() {
            Some(_) => live.all(|t| t.standing == Standing::Outdated),
            None => self.is_untried(),
        }
    }

    /// Whether the present spec was not even tried here since an older one ran.
    pub(crate) fn is_untried(&self) -> bool {
        self.tasks[self.tasks.len() - 1].standing == Standing::Outdated
    }

    /// The tasks made for the present spec in the course of a rollout: the one that
    /// was ordered, and its restarts.
    pub(crate) fn generation(&self, rollout: &Rollout) -> impl Iterator<Item = &Arc<Task>> {
        let made =
            |t: &&SlotTask| t.standing == Standing::Current && !rollout.before.contains(&t.task.id);
        self.tasks.iter().filter(made).map(|t| &t.task)
    }

    /// Tasks of the present spec, live or not.
    pub(crate) fn of_spec(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.iter().filter(|t| t.standing == Standing::Current).map(|t| &t.task)
    }

    /// Where the slot stands as a target that was told to stand somewhere.
    pub(crate) fn target_state(&self, rollout: &Rollout, told: TargetState) -> TargetState {
        let tried = !matches!(told, TargetState::Outdated | TargetState::Gone)
            || self.generation(rollout).next().is_some();
        if self.is_outdated() && !tried {
            return TargetState::Outdated;
        }
        let current = || self.all().filter(|t| is_live(t) && self.is_current(t));
        if current().any(|t| t.status.state == TaskState::Running) {
            return TargetState::Running;
        }
        let mut generation = self.generation(rollout);
        match (generation.next(), generation.next()) {
            (Some(only), None) if is_live(only) && only.status.state < TaskState::Running => {
                TargetState::Replacing
            }
            _ => TargetState::Down,
        }
    }
}

/// Compares a task of another version with its service.
fn compare(state: &State, service: &Service, task: &Task, fits: &mut dyn Fits) -> Standing {
    let (old, new) = (&task.spec, &service.spec.task_template);
    let endpoint = &service.endpoint.spec;
    if task.service.endpoint_mode != endpoint.mode
        || !same_ports(&task.service.ports, &endpoint.ports)
    {
        return Standing::Outdated;
    }
    if old == new {
        return Standing::Adoptable;
    }
    // Credentials matter only until the image is there.
    let prepared =
        is_live(task) && (TaskState::Ready..=TaskState::Running).contains(&task.status.state);
    let credentials = if prepared { new } else { old };
    let moved = TaskSpec {
        placement: new.placement.clone(),
        registry_auth: credentials.registry_auth.clone(),
        ..TaskSpec::clone(old)
    };
    if moved != **new {
        return Standing::Outdated;
    }
    let stays = task.node_id.is_none_or(|node| fits.satisfies(state, &service.spec, node));
    if stays { Standing::Adoptable } else { Standing::Outdated }
}

/// Whether ports that a task was made with are still the ones wanted; a port that
/// is left to the cluster is whatever it is.
fn same_ports(had: &[PortConfig], wanted: &[PortConfig]) -> bool {
    let same = |(had, wanted): (&PortConfig, &PortConfig)| {
        had.name == wanted.name
            && had.protocol == wanted.protocol
            && had.target_port == wanted.target_port
            && had.publish_mode == wanted.publish_mode
            && (wanted.published_port == 0 || wanted.published_port == had.published_port)
    };
    had.len() == wanted.len() && had.iter().zip(wanted).all(same)
}
