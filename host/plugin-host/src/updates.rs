//! What the orchestrator asks of update policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{GrantRequest, PluginKind, Time};
use swarmw_orchestrator::{
    Action, Component, Needs, Order, Policy, RolloutFacts, StepOutcome, TargetInfo, UpdateFailure,
    UpdatePolicies, View,
};
use swarmw_state::TargetState;

use crate::bindings::UpdatePlugin;
use crate::bindings::types::{OptionEntry, OptionValue};
use crate::bindings::update::exports::swarmw::update::update as wit;
use crate::engine::{COMPILE_BUDGET, ROW_BUDGET, STEP_BUDGET};
use crate::host::PluginHost;
use crate::journal::one_line;
use crate::loaded::Loaded;
use crate::placement::{exist, own_options};
use crate::steps::{Step, StepCall};
use crate::{columns, convert, options};

/// The largest state.
const STATE_MAX: usize = 64 << 10;
/// The most actions of one outcome.
const ACTIONS_MAX: usize = 1_000;
/// The longest text of an action.
const TEXT_MAX: usize = 4 << 10;
/// The longest time that a query may take.
const QUERY_MS_MAX: u32 = 30_000;

impl UpdatePolicies for PluginHost {
    fn component(&self, failure_action: &str) -> Option<Component> {
        let table = self.table();
        let loaded = table.routes.name(PluginKind::UpdatePolicy, failure_action)?;
        Some(Component {
            plugin: Arc::clone(&loaded.name),
            digest: loaded.digest().into(),
            version: loaded.plugin.release.metadata.version.as_str().into(),
            adopts: loaded.plugin.release.adopt,
        })
    }

    fn has(&self, component: &str) -> bool {
        self.table().by_digest(component).is_some()
    }

    fn migrate(
        &mut self,
        component: &str,
        writer: &str,
        state: &[u8],
    ) -> Result<Vec<u8>, UpdateFailure> {
        let table = self.table();
        let loaded = table.by_digest(component).ok_or_else(|| gone(component, component))?;
        let answer = loaded.call(
            &self.shared.runtime,
            "migrate",
            STEP_BUDGET,
            |plugin: &UpdatePlugin, store| {
                plugin.swarmw_update_update().call_migrate(store, writer, state)
            },
            |answer| answer.as_ref().map_or(Ok(()), |state| check_state(state)),
        );
        answer
            .and_then(|said| said.map_err(|why| one_line(&why)))
            .map_err(|why| broken(&loaded.name, format!("does not go on from {writer}: {why}")))
    }

    fn check(&mut self, policy: &Policy) -> Result<Needs, UpdateFailure> {
        let table = self.table();
        let action = policy.failure_action.as_str();
        let loaded = table.routes.name(PluginKind::UpdatePolicy, action).ok_or_else(|| {
            UpdateFailure::Broken {
                plugin: action.into(),
                message: format!(
                    "no plugin has this name: {}",
                    exist(&table.routes.names(PluginKind::UpdatePolicy))
                ),
            }
        })?;
        let asked = wit_policy(loaded, policy)?;
        let answer = loaded
            .call(
                &self.shared.runtime,
                "check",
                COMPILE_BUDGET,
                |plugin: &UpdatePlugin, store| {
                    plugin.swarmw_update_update().call_check(store, &asked)
                },
                |answer| answer.as_ref().map_or(Ok(()), check_needs),
            )
            .map_err(|message| broken(&loaded.name, message))?;
        match answer {
            Ok(needs) => Ok(Needs { targets: needs.targets, group_by: needs.group_by }),
            Err(said) => Err(UpdateFailure::Refused { problems: convert::problems(said) }),
        }
    }

    fn begin(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        let told: Vec<wit::TargetInfo> = targets.iter().map(wit_target).collect();
        let seen = wit_view(view);
        let outcome =
            self.outcome("begin", component, rollout, &seen, |plugin, store, rollout, view| {
                plugin.swarmw_update_update().call_begin(store, rollout, &told, view)
            });
        let call = || StepCall::Begin { targets: targets.to_vec() };
        self.tell_step(component, rollout, call, view, &outcome);
        outcome
    }

    fn step(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        let seen = wit_view(view);
        let outcome =
            self.outcome("step", component, rollout, &seen, |plugin, store, rollout, view| {
                plugin.swarmw_update_update().call_step(store, rollout, state, view)
            });
        let call = || StepCall::Step { state: state.to_vec() };
        self.tell_step(component, rollout, call, view, &outcome);
        outcome
    }
}

type Answer = wasmtime::Result<Result<wit::Outcome, String>>;

impl PluginHost {
    /// One call of the reducer; when it goes wrong, one more in a fresh instance.
    fn outcome(
        &self,
        name: &'static str,
        component: &str,
        rollout: &RolloutFacts,
        view: &wit::View,
        call: impl Fn(
            &UpdatePlugin,
            &mut wasmtime::Store<crate::sandbox::Guest>,
            &wit::Rollout,
            &wit::View,
        ) -> Answer,
    ) -> Result<StepOutcome, UpdateFailure> {
        let table = self.table();
        let loaded = table
            .by_digest(component)
            .ok_or_else(|| gone(&rollout.policy.failure_action, component))?;
        let facts = wit_rollout(loaded, rollout)?;
        let told = view.changed.len() + view.ended.len() + rollout.total as usize;
        let budget = STEP_BUDGET + ROW_BUDGET * u32::try_from(told).unwrap_or(u32::MAX);
        let attempt = || {
            let answer = loaded.call(
                &self.shared.runtime,
                name,
                budget,
                |plugin: &UpdatePlugin, store| call(plugin, store, &facts, view),
                |answer| match answer {
                    Ok(outcome) => check_outcome(loaded, rollout.total, outcome),
                    Err(_) => Ok(()),
                },
            );
            answer.and_then(|said| said.map_err(|why| one_line(&why)))
        };
        let outcome = attempt().or_else(|_| {
            loaded.refresh();
            attempt()
        });
        outcome.map(accepted).map_err(|message| broken(&loaded.name, message))
    }

    /// Tells whoever tries out another version beside the one that was called.
    fn tell_step(
        &self,
        component: &str,
        rollout: &RolloutFacts,
        call: impl Fn() -> StepCall,
        view: &View,
        outcome: &Result<StepOutcome, UpdateFailure>,
    ) {
        let table = self.table();
        let Some(loaded) = table.by_digest(component).filter(|loaded| !loaded.is_trial()) else {
            return;
        };
        self.shared.runtime.steps.tell(loaded.plugin.id, || Step {
            plugin: loaded.plugin.id,
            version: loaded.plugin.release.metadata.version.clone(),
            rollout: rollout.clone(),
            call: call(),
            view: view.clone(),
            outcome: outcome.clone(),
        });
    }
}

fn check_needs(needs: &wit::Needs) -> Result<(), String> {
    match &needs.group_by {
        Some(column) if !columns::exists(column) => {
            Err(format!("groups by column {column:?}, which nodes have not"))
        }
        _ => Ok(()),
    }
}

fn check_state(state: &[u8]) -> Result<(), String> {
    match state.len() {
        0..=STATE_MAX => Ok(()),
        length => Err(format!("left a state of {length} bytes; at most {STATE_MAX}")),
    }
}

/// The bounds of `wit/deps/update`.
fn check_outcome(loaded: &Loaded, total: u32, outcome: &wit::Outcome) -> Result<(), String> {
    check_state(&outcome.state)?;
    let actions = outcome.actions.len();
    if actions > ACTIONS_MAX {
        return Err(format!("asked for {actions} actions; at most {ACTIONS_MAX}"));
    }
    for action in &outcome.actions {
        let text = match action {
            wit::Action::Replace(call) => {
                if let Some(target) = call.targets.iter().find(|t| **t >= total) {
                    return Err(format!("asked to replace target {target} of {total}"));
                }
                continue;
            }
            wit::Action::Observe(query) => {
                check_query(loaded, query)?;
                continue;
            }
            wit::Action::Report(text) | wit::Action::Pause(text) => text,
            wit::Action::RollbackTo(call) => &call.reason,
            _ => continue,
        };
        if text.len() > TEXT_MAX {
            return Err(format!("gave a text of {} bytes; at most {TEXT_MAX}", text.len()));
        }
    }
    Ok(())
}

fn check_query(loaded: &Loaded, query: &wit::Query) -> Result<(), String> {
    if !(1..=QUERY_MS_MAX).contains(&query.timeout_ms) {
        let ms = query.timeout_ms;
        return Err(format!("set a query {ms} ms; from 1 to {QUERY_MS_MAX} are possible"));
    }
    let longest = [&query.id, &query.url, &query.pointer].map(String::len);
    if longest.into_iter().any(|length| length > TEXT_MAX) {
        return Err(format!("gave a query of more than {TEXT_MAX} bytes"));
    }
    let used = GrantRequest::Observe(query.url.clone());
    let granted = loaded.plugin.release.granted.iter().any(|grant| grant.covers(&used));
    granted.then_some(()).ok_or_else(|| format!("has no grant to observe {}", query.url))
}

fn accepted(outcome: wit::Outcome) -> StepOutcome {
    StepOutcome { state: outcome.state, actions: outcome.actions.into_iter().map(action).collect() }
}

fn action(action: wit::Action) -> Action {
    let order = |order: wit::Order| match order {
        wit::Order::StopFirst => Order::StopFirst,
        wit::Order::StartFirst => Order::StartFirst,
    };
    match action {
        wit::Action::Replace(call) => {
            Action::Replace { targets: call.targets, order: order(call.order) }
        }
        wit::Action::ReplaceNext(call) => {
            Action::ReplaceNext { count: call.count, order: order(call.order) }
        }
        wit::Action::WakeAt(ms) => {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            Action::WakeAt(Time::from_nanos(ms.saturating_mul(1_000_000)))
        }
        wit::Action::Observe(query) => Action::Observe {
            id: query.id,
            url: query.url,
            pointer: query.pointer,
            timeout_ms: query.timeout_ms,
        },
        wit::Action::Report(text) => Action::Report(one_line(&text)),
        wit::Action::Pause(text) => Action::Pause(one_line(&text)),
        wit::Action::RollbackTo(call) => {
            Action::RollbackTo { version: call.version, reason: one_line(&call.reason) }
        }
        wit::Action::Complete => Action::Complete,
    }
}

fn wit_policy(loaded: &Loaded, policy: &Policy) -> Result<wit::Policy, UpdateFailure> {
    let own: BTreeMap<&str, &str> = own_options(loaded, &policy.options);
    let options = options::parse(&loaded.plugin.release.metadata.options, &own)
        .map_err(|problems| UpdateFailure::Refused { problems })?;
    let integer = |value: u64| OptionValue::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let order = match policy.order {
        Order::StopFirst => "stop-first",
        Order::StartFirst => "start-first",
    };
    // By name, as all options are.
    let settings = [
        ("delay", integer(policy.delay_ms)),
        ("max-failure-ratio", OptionValue::Number(policy.max_failure_ratio)),
        ("monitor", integer(policy.monitor_ms)),
        ("order", OptionValue::Text(order.to_owned())),
        ("parallelism", integer(policy.parallelism)),
    ];
    Ok(wit::Policy {
        failure_action: policy.failure_action.clone(),
        settings: settings
            .into_iter()
            .map(|(name, value)| OptionEntry { name: name.to_owned(), value })
            .collect(),
        options,
    })
}

fn wit_rollout(loaded: &Loaded, facts: &RolloutFacts) -> Result<wit::Rollout, UpdateFailure> {
    Ok(wit::Rollout {
        service_id: facts.service_id.clone(),
        service_name: facts.service_name.clone(),
        policy: wit_policy(loaded, &facts.policy)?,
        rolling_back: facts.rolling_back,
        total: facts.total,
        started_ms: facts.started_at.as_millis(),
    })
}

fn wit_target(target: &TargetInfo) -> wit::TargetInfo {
    wit::TargetInfo {
        id: target.id.clone(),
        name: target.name.clone(),
        node: target.node.clone(),
        group: target.group.clone(),
    }
}

fn wit_view(view: &View) -> wit::View {
    let state = |state: TargetState| match state {
        TargetState::Outdated => wit::TargetState::Outdated,
        TargetState::Replacing => wit::TargetState::Replacing,
        TargetState::Running => wit::TargetState::Running,
        TargetState::Down => wit::TargetState::Down,
        TargetState::Gone => wit::TargetState::Gone,
    };
    wit::View {
        seq: view.seq,
        now_ms: view.now.as_millis(),
        counts: wit::Counts {
            outdated: view.counts.outdated,
            replacing: view.counts.replacing,
            running: view.counts.running,
            down: view.counts.down,
            gone: view.counts.gone,
        },
        changed: view
            .changed
            .iter()
            .map(|m| wit::Change {
                target: m.target,
                was: state(m.was),
                now: state(m.now),
                at_ms: m.at.as_millis(),
            })
            .collect(),
        ended: view
            .ended
            .iter()
            .map(|task| wit::EndedTask {
                target: task.target,
                task_id: task.task.to_string(),
                restarted: task.restarted,
                ordered: task.ordered,
                ran_ms: task.ran.map(Time::as_millis),
                ended_ms: task.ended.as_millis(),
                exit_code: task.exit_code,
            })
            .collect(),
        answers: view
            .answers
            .iter()
            .map(|answer| wit::Answer {
                id: answer.id.clone(),
                at_ms: answer.at.as_millis(),
                value: answer.value.clone(),
            })
            .collect(),
    }
}

fn gone(plugin: &str, component: &str) -> UpdateFailure {
    let message = format!("its component {component} is not in the cluster any more");
    broken(&plugin.into(), message)
}

fn broken(plugin: &Arc<str>, message: String) -> UpdateFailure {
    UpdateFailure::Broken { plugin: Arc::clone(plugin), message }
}
