//! The cluster under the plugins as they are, beside the cluster under a change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{
    COMPARISON_MAX, Comparison, Difference, Move, NodeId, Plugin, PluginKind, Service, TaskState,
    Violation,
};
use swarmw_plugin_host::PluginHost;
use swarmw_scheduler::{Judgement, Scheduler, place_anew};
use swarmw_state::State;

/// Tasks that are placed anew to see whether they would move; of services with more
/// in all, only verdicts are compared.
const PLACED_MAX: usize = 100_000;

/// Compares what `now` and `then` say for the services that the plugin concerns; it
/// stands in `then` as it is given. Calls plugins, and so blocks.
pub(super) fn compare(
    state: &State,
    plugin: &Plugin,
    mut now: PluginHost,
    mut then: PluginHost,
) -> Comparison {
    let services = concerned(state, plugin, &now, &then);
    let mut found = Comparing::new(state, services.len());
    let (mut before, mut after) = (Scheduler::new(state), Scheduler::new(state));
    for service in &services {
        let old = before.judge(&service.spec, &mut now);
        let new = after.judge(&service.spec, &mut then);
        for ((text, old), (_, new)) in old.into_iter().zip(new) {
            found.verdicts(service, &text, &old, &new);
            found.violations(service, &text, &old, &new);
        }
        if plugin.kind == PluginKind::UpdatePolicy || plugin.kind == PluginKind::VolumeDriver {
            found.refusals(service, &now, &then);
        }
    }
    if matches!(plugin.kind, PluginKind::Constraint | PluginKind::Preference) {
        found.moves(&services, now, then);
    }
    found.comparison
}

/// The services that ask something of the plugin, now or then.
fn concerned(
    state: &State,
    plugin: &Plugin,
    now: &PluginHost,
    then: &PluginHost,
) -> Vec<Arc<Service>> {
    let mut ids: BTreeSet<_> = state.users_of_plugin(plugin).iter().map(|s| s.id).collect();
    let routed = |service: &Service| {
        let texts = service.spec.task_template.constraints();
        texts
            .iter()
            .any(|text| [now, then].iter().any(|host| host.takes_constraint(&plugin.name, text)))
    };
    if plugin.kind == PluginKind::Constraint {
        ids.extend(state.services().filter(|s| routed(s)).map(|s| s.id));
    }
    ids.into_iter().filter_map(|id| state.service(id).cloned()).collect()
}

/// A comparison that grows.
struct Comparing<'a> {
    state: &'a State,
    comparison: Comparison,
}

impl<'a> Comparing<'a> {
    fn new(state: &'a State, services: usize) -> Self {
        Self { state, comparison: Comparison { services, ..Comparison::default() } }
    }

    /// What the two say of each node.
    fn verdicts(&mut self, service: &Service, text: &str, old: &Judgement, new: &Judgement) {
        self.comparison.verdicts += self.state.node_count();
        if old.is_err() && new.is_err() {
            return;
        }
        if let (Err(_), _) | (_, Err(_)) = (old, new) {
            // The same for every node.
            return self.differ(Difference {
                service: service.spec.name.clone(),
                text: text.to_owned(),
                node: String::new(),
                now: told(old, None),
                then: told(new, None),
            });
        }
        for node in self.state.nodes() {
            let (now, then) = (told(old, Some(node.id)), told(new, Some(node.id)));
            if now != then {
                self.differ(Difference {
                    service: service.spec.name.clone(),
                    text: text.to_owned(),
                    node: node.description.hostname.clone(),
                    now,
                    then,
                });
            }
        }
    }

    /// The running tasks that the new version would not have let onto their nodes.
    fn violations(&mut self, service: &Service, text: &str, old: &Judgement, new: &Judgement) {
        let passes = |judged: &Judgement, node| {
            // A constraint that cannot be told leaves running tasks where they are.
            judged.as_ref().map_or(true, |verdicts| verdicts.get(&node).copied().unwrap_or(false))
        };
        for task in self.state.tasks_of_service(service.id) {
            let runs = task.status.state == TaskState::Running && task.is_wanted();
            let Some(node) = task.node_id.filter(|_| runs) else { continue };
            if !passes(old, node) || passes(new, node) {
                continue;
            }
            self.comparison.violated += 1;
            if self.comparison.violations.len() < COMPARISON_MAX {
                let hostname = self.state.node(node).map(|n| n.description.hostname.clone());
                self.comparison.violations.push(Violation {
                    task: match task.number() {
                        None => format!("{}.{}", service.spec.name, node),
                        Some(slot) => format!("{}.{slot}", service.spec.name),
                    },
                    id: task.id.to_string(),
                    node: hostname.unwrap_or_default(),
                    constraint: text.to_owned(),
                });
            }
        }
    }

    /// A service that one of the two refuses, or for another reason.
    fn refusals(&mut self, service: &Service, now: &PluginHost, then: &PluginHost) {
        let said = |host: &PluginHost| match host.check_service(&service.spec) {
            Ok(()) => "accepted".to_owned(),
            Err(why) => why.message,
        };
        let (now, then) = (said(now), said(then));
        if now != then {
            let config = service.spec.update_config.as_ref();
            let text = config.map(|c| c.failure_action.clone()).unwrap_or_default();
            let (service, node) = (service.spec.name.clone(), String::new());
            self.differ(Difference { service, text, node, now, then });
        }
    }

    /// The tasks that would stand elsewhere, were all of a service placed anew.
    fn moves(&mut self, services: &[Arc<Service>], mut now: PluginHost, mut then: PluginHost) {
        let state = self.state;
        let ids: Vec<_> = services.iter().map(|s| s.id).collect();
        let tasks: usize = ids.iter().map(|id| state.tasks_of_service(*id).count()).sum();
        if tasks == 0 || tasks > PLACED_MAX {
            return;
        }
        let old = place_anew(state, &ids, &mut now);
        let new = place_anew(state, &ids, &mut then);
        for service in services {
            let (Some(old), Some(new)) = (old.get(&service.id), new.get(&service.id)) else {
                continue;
            };
            let stay: usize = {
                let counts = counted(old);
                let stays = |(node, count): (NodeId, usize)| {
                    count.min(counts.get(&node).copied().unwrap_or(0))
                };
                counted(new).into_iter().map(stays).sum()
            };
            let placed = new.iter().flatten().count();
            let (moved, waiting) = (placed - stay, new.len() - placed);
            let waited = old.iter().filter(|node| node.is_none()).count();
            if moved > 0 || waiting > waited {
                let service = service.spec.name.clone();
                self.comparison.moved.push(Move { service, tasks: new.len(), moved, waiting });
            }
        }
        self.comparison
            .moved
            .sort_by(|a, b| b.moved.cmp(&a.moved).then_with(|| a.service.cmp(&b.service)));
        self.comparison.moved.truncate(COMPARISON_MAX);
    }

    fn differ(&mut self, difference: Difference) {
        self.comparison.differing += 1;
        if self.comparison.differences.len() < COMPARISON_MAX {
            self.comparison.differences.push(difference);
        }
    }
}

fn counted(nodes: &[Option<NodeId>]) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    for node in nodes.iter().flatten() {
        *counts.entry(*node).or_default() += 1;
    }
    counts
}

/// A verdict for people; without a node, of all.
fn told(judged: &Judgement, node: Option<NodeId>) -> String {
    match (judged, node) {
        (Err(failure), _) => failure.to_string(),
        (Ok(verdicts), Some(node)) => match verdicts.get(&node) {
            Some(true) => "passes".to_owned(),
            _ => "fails".to_owned(),
        },
        (Ok(verdicts), None) => {
            let passing = verdicts.values().filter(|passes| **passes).count();
            format!("passes {passing} of {} nodes", verdicts.len())
        }
    }
}
