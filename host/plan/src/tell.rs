//! The difference between the cluster as it is and as it was played, by service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use swarmw_model::{
    NodeId, Outlook, PlannedAct, Service, ServiceId, ServiceOutlook, ServiceSpec, Slot, Task,
    TaskMove, UpdateState, Wish, field_changes,
};
use swarmw_state::State;

use crate::play::Played;

/// Without a word of the scheduler's.
const NO_REASON: &str = "no node has been found";

/// A service's tasks that should run, by their slots.
type Wanted = BTreeMap<Slot, Arc<Task>>;

/// All that is worth a word.
pub(crate) fn outlook(now: &State, played: &Played, wish: &Wish) -> Outlook {
    let telling = Telling { now, then: &played.state };
    let wished: BTreeSet<&str> =
        wish.services.iter().map(|spec| spec.name.as_str()).chain(names(&wish.removed)).collect();
    let mut ids: BTreeMap<String, ServiceId> = BTreeMap::new();
    for service in now.services().chain(played.state.services()) {
        ids.insert(service.spec.name.clone(), service.id);
    }
    let told = ids.into_iter().map(|(name, id)| telling.service(name, id));
    let services = told.filter(|one| wished.contains(one.name.as_str()) || !one.is_quiet());
    Outlook { services: services.collect(), duration: played.took, is_settled: played.is_settled }
}

fn names(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().map(String::as_str)
}

struct Telling<'a> {
    now: &'a State,
    then: &'a State,
}

// === impl Telling ===

impl Telling<'_> {
    fn service(&self, name: String, id: ServiceId) -> ServiceOutlook {
        let (before, after) = (self.now.service(id), self.then.service(id));
        let changes = match (before, after) {
            (Some(before), Some(after)) => {
                let (old, new) = (shown(self.now, &before.spec), shown(self.then, &after.spec));
                field_changes(&old, &new)
            }
            _ => Vec::new(),
        };
        let act = match (before, after) {
            (None, Some(_)) => PlannedAct::Create,
            (Some(_), None) => PlannedAct::Remove,
            _ if changes.is_empty() => PlannedAct::Keep,
            _ => PlannedAct::Update,
        };
        let trouble = after.map(|after| trouble(before, after)).unwrap_or_default();
        let mut told = ServiceOutlook { name, act, changes, trouble, ..ServiceOutlook::default() };
        self.tasks(&mut told, &wanted(self.now, id), &wanted(self.then, id));
        told
    }

    fn tasks(&self, told: &mut ServiceOutlook, before: &Wanted, after: &Wanted) {
        told.stopped = before.keys().filter(|slot| !after.contains_key(slot)).count() as u64;
        for (slot, task) in after {
            let node = task.node_id.map(|node| self.hostname(node));
            match &node {
                Some(node) => *told.placed.entry(node.clone()).or_default() += 1,
                None => *told.pending.entry(why(task)).or_default() += 1,
            }
            let Some(old) = before.get(slot) else {
                told.added += 1;
                continue;
            };
            if old.id == task.id {
                told.kept += 1;
                continue;
            }
            told.replaced += 1;
            if let (Some(from), Some(to)) = (old.node_id, node)
                && Some(from) != task.node_id
            {
                let task = match task.number() {
                    Some(number) => format!("{}.{number}", told.name),
                    None => format!("{}.{to}", told.name),
                };
                told.moved.push(TaskMove { task, from: self.hostname(from), to });
            }
        }
    }

    fn hostname(&self, node: NodeId) -> String {
        let known = self.then.node(node).or_else(|| self.now.node(node));
        let name = known.map(|node| node.description.hostname.clone());
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| node.to_string())
    }
}

/// Of two tasks of one slot, which start-first updates have, the later one.
fn wanted(state: &State, service: ServiceId) -> Wanted {
    let mut wanted = Wanted::new();
    for task in state.tasks_of_service(service).filter(|task| is_up(task)) {
        let Some(slot) = task.slot() else { continue };
        let later = wanted.get(&slot).is_none_or(|known| known.created_at <= task.created_at);
        if later {
            wanted.insert(slot, task.clone());
        }
    }
    wanted
}

fn is_up(task: &Task) -> bool {
    task.is_wanted() && !task.status.state.is_terminal()
}

fn why(task: &Task) -> String {
    match &*task.status.error {
        "" => NO_REASON.to_owned(),
        reason => reason.to_owned(),
    }
}

/// Why an update that begins now would stop.
fn trouble(before: Option<&Arc<Service>>, after: &Service) -> String {
    let Some(status) = &after.update_status else { return String::new() };
    let is_old = before.is_some_and(|before| {
        before.update_status.as_ref().is_some_and(|was| was.started_at == status.started_at)
    });
    let stopped = matches!(
        status.state,
        UpdateState::Paused
            | UpdateState::RollbackStarted
            | UpdateState::RollbackPaused
            | UpdateState::RollbackCompleted
    );
    match stopped && !is_old {
        true => status.message.clone(),
        false => String::new(),
    }
}

/// A spec for people: without credentials, networks by their names.
fn shown(state: &State, spec: &ServiceSpec) -> Value {
    let spec = spec.clone().without_secrets();
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    let networks = value.pointer_mut("/TaskTemplate/Networks").and_then(Value::as_array_mut);
    for network in networks.into_iter().flatten() {
        let id = network["Target"].as_str().and_then(|id| id.parse().ok());
        if let Some(known) = id.and_then(|id| state.network(id)) {
            network["Target"] = Value::from(known.spec.name.as_str());
        }
    }
    value
}
