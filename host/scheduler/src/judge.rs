//! Verdicts and placements that are looked at and not carried out: what an operator
//! is told before a plugin changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{NodeId, ServiceId, ServiceSpec, Time};
use swarmw_state::{Change, NewTask, State, Transaction};

use crate::{Policies, PolicyFailure, Scheduler};

/// The verdicts of one constraint, by node.
pub type Judgement = Result<BTreeMap<NodeId, bool>, PolicyFailure>;

// === impl Scheduler ===

impl Scheduler {
    /// What each constraint of a service says of each node.
    pub fn judge(
        &mut self,
        service: &ServiceSpec,
        policies: &mut dyn Policies,
    ) -> Vec<(String, Judgement)> {
        self.begin_pass(policies);
        let options = Arc::new(service.policy_options());
        let mut one = |expression: &String| -> Judgement {
            let constraint = self.verdicts.constraint(expression, &options, policies)?;
            self.verdicts.refresh(&constraint, &mut self.table, policies)?;
            let mask = self.verdicts.mask(constraint.id);
            let verdict = |row| {
                let node = self.table.node(row)?;
                Some((node.id, mask.contains(row as usize)))
            };
            Ok(self.table.live().filter_map(verdict).collect())
        };
        let constraints = service.task_template.constraints();
        constraints.iter().map(|e| (e.clone(), one(e))).collect()
    }
}

/// Where the tasks of these services would stand, were they all placed anew: per
/// service a node, or none, for each.
pub fn place_anew(
    state: &State,
    services: &[ServiceId],
    policies: &mut dyn Policies,
) -> BTreeMap<ServiceId, Vec<Option<NodeId>>> {
    let mut emptied = state.clone();
    let mut removed = Vec::new();
    let mut wanted = Vec::new();
    for service in services.iter().filter_map(|id| state.service(*id)) {
        for task in state.tasks_of_service(service.id) {
            removed.push(Change::RemoveTask(task.id));
            if let Some(slot) = task.slot().filter(|_| task.is_wanted()) {
                wanted.push(Change::CreateTask(NewTask {
                    id: task.id,
                    service: service.id,
                    spec_version: service.spec_version,
                    slot,
                    node: None,
                    desired: task.desired_state,
                    error: Arc::default(),
                    attachments: Vec::new(),
                    generic_resources: Vec::new(),
                }));
            }
        }
    }
    let removal = Transaction { at: Time::ZERO, request: None, changes: removed };
    emptied.apply(state.index() + 1, &removal);
    Scheduler::new(&emptied).schedule(&emptied, &mut wanted, Time::ZERO, policies);
    let mut placed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for change in wanted {
        if let Change::CreateTask(task) = change {
            placed.entry(task.service).or_default().push(task.node);
        }
    }
    placed
}
