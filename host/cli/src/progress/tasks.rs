//! The rows of tasks: one a slot, or one a node.

use std::collections::{BTreeMap, HashMap, HashSet};

use swarmw_model::TaskState;

use super::machine::{Message, Share};
use crate::client::Task;
use crate::table::{ellipsis, short};

/// More tasks than this have no rows of their own.
pub(super) const ROWS_MAX: u64 = 20;
/// Longest error in a row, in characters: narrow terminals must not wrap.
const ERROR_LENGTH: usize = 75;
/// `preparing`, the longest state.
pub(super) const STATE_WIDTH: usize = 9;
/// The step at which a task runs.
const RUNNING_STEP: u64 = 9;
const OVERALL: &str = "overall progress";

/// The rows of a service's tasks.
pub(super) struct Rows {
    kind: RowKind,
    begun: bool,
    done: bool,
}

enum RowKind {
    /// Rows by slot; each slot keeps the row that it got first.
    Slots { replicas: u64, row_of: HashMap<u64, u64> },
    /// Rows by node.
    Nodes,
}

// === impl Rows ===

impl Rows {
    pub(super) fn replicated(replicas: u64) -> Self {
        Self::new(RowKind::Slots { replicas, row_of: HashMap::new() })
    }

    pub(super) fn global() -> Self {
        Self::new(RowKind::Nodes)
    }

    fn new(kind: RowKind) -> Self {
        Self { kind, begun: false, done: false }
    }

    /// Adds the lines that changed; whether all tasks run.
    pub(super) fn update(
        &mut self,
        tasks: &[Task],
        nodes: &HashSet<String>,
        rollback: bool,
        messages: &mut Vec<Message>,
    ) -> bool {
        let chosen = match &self.kind {
            RowKind::Slots { .. } => by_slot(tasks, nodes),
            RowKind::Nodes => by_node(tasks),
        };
        let total = match self.kind {
            RowKind::Slots { replicas, .. } => replicas,
            RowKind::Nodes => chosen.len() as u64,
        };
        if !self.begun {
            if matches!(self.kind, RowKind::Nodes) && total == 0 {
                // Not scheduled yet, or no node fits: nobody can tell from here.
                messages.push(Message::action(OVERALL, "waiting for new tasks"));
                return false;
            }
            messages.push(overall(0, total, rollback));
            if let RowKind::Slots { replicas, .. } = self.kind
                && replicas <= ROWS_MAX
            {
                messages.extend(
                    (1..=replicas).map(|row| Message::action(format!("{row}/{total}"), " ")),
                );
            }
            self.begun = true;
        }
        if chosen.iter().any(|task| task.status.state != TaskState::Running) {
            self.done = false;
        }
        let mut running = 0;
        for task in chosen {
            if matches!(self.kind, RowKind::Nodes) && !nodes.contains(&task.node_id) {
                continue;
            }
            if !task.desired_state.is_terminal() && task.status.state == TaskState::Running {
                running += 1;
            }
            let row = self.row(task, total);
            if !self.done && total <= ROWS_MAX {
                messages.extend(row.and_then(|row| line(row, task, rollback)));
            }
        }
        if !self.done {
            messages.push(overall(running, total, rollback));
            self.done = running == total;
        }
        running == total
    }

    /// What the task's row is called; `None` for a slot beyond the replicas.
    fn row(&mut self, task: &Task, total: u64) -> Option<String> {
        match &mut self.kind {
            RowKind::Nodes => Some(short(&task.node_id).to_owned()),
            RowKind::Slots { row_of, .. } => {
                let next = row_of.len() as u64 + 1;
                let row = *row_of.entry(task.slot).or_insert(next);
                (row <= total).then(|| format!("{row}/{total}"))
            }
        }
    }
}

/// How many steps from `new` (1) to `running` (9) and beyond; 0 for states that
/// are not shown.
pub(super) fn step(state: TaskState) -> u64 {
    match state {
        TaskState::New => 1,
        TaskState::Pending => 3,
        TaskState::Assigned => 4,
        TaskState::Accepted => 5,
        TaskState::Preparing => 6,
        TaskState::Ready => 7,
        TaskState::Starting => 8,
        TaskState::Running => RUNNING_STEP,
        TaskState::Complete => 10,
        TaskState::Shutdown => 11,
        TaskState::Failed => 12,
        TaskState::Rejected => 13,
        TaskState::Remove | TaskState::Orphaned => 0,
    }
}

/// One task for each slot: the one with the lowest desired state, of these the
/// one least far, and none on a node that is down.
fn by_slot<'t>(tasks: &'t [Task], nodes: &HashSet<String>) -> Vec<&'t Task> {
    let rank = |task: &Task| (step(task.desired_state), step(task.status.state));
    let mut slots: BTreeMap<u64, &Task> = BTreeMap::new();
    for task in tasks {
        let (desired, state) = rank(task);
        let on_dead_node = !task.node_id.is_empty() && !nodes.contains(&task.node_id);
        if desired == 0 || state == 0 || on_dead_node {
            continue;
        }
        match slots.get(&task.slot) {
            Some(have) if rank(have) <= rank(task) => {}
            _ => {
                slots.insert(task.slot, task);
            }
        }
    }
    slots.into_values().collect()
}

/// One task for each node, by the same order.
fn by_node(tasks: &[Task]) -> Vec<&Task> {
    let rank = |task: &Task| (step(task.desired_state), step(task.status.state));
    let mut nodes: BTreeMap<&str, &Task> = BTreeMap::new();
    for task in tasks {
        let (desired, state) = rank(task);
        if desired == 0 || state == 0 {
            continue;
        }
        match nodes.get(task.node_id.as_str()) {
            Some(have) if rank(have) <= rank(task) => {}
            _ => {
                nodes.insert(&task.node_id, task);
            }
        }
    }
    nodes.into_values().collect()
}

fn overall(running: u64, total: u64, rollback: bool) -> Message {
    let prefix = if rollback { "rolling back update: " } else { "" };
    Message::action(OVERALL, format!("{prefix}{running} out of {total} tasks"))
}

/// What went wrong with a task, in one short line.
pub(super) fn error(task: &Task) -> String {
    ellipsis(&task.status.error.replace('\n', " "), ERROR_LENGTH)
}

fn line(row: String, task: &Task, rollback: bool) -> Option<Message> {
    if !task.status.error.is_empty() {
        return Some(Message::action(row, error(task)));
    }
    if task.desired_state.is_terminal() || task.status.state.is_terminal() {
        return None;
    }
    let state = task.status.state;
    let done = match rollback {
        true => RUNNING_STEP - step(state),
        false => step(state),
    };
    let share = Share { done, of: RUNNING_STEP };
    Some(Message::bar(row, format!("{state:<STATE_WIDTH$}"), share))
}
