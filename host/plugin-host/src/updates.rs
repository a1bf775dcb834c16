//! What the orchestrator asks of update policies.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use swarmw_model::{GrantRequest, PluginKind, Time};
use swarmw_orchestrator::{
    Action, Component, Needs, Order, Policy, RolloutFacts, StepOutcome, TargetInfo, UpdateFailure,
    UpdatePolicies, View,
};

use crate::bindings::UpdatePlugin;
use crate::bindings::types::{OptionEntry, OptionValue};
use crate::bindings::update::exports::swarmw::update::update as wit;
use crate::engine::{COMPILE_BUDGET, ROW_BUDGET, STEP_BUDGET};
use crate::host::PluginHost;
use crate::journal::one_line;
use crate::loaded::{Call, Loaded};
use crate::no_answer::NoAnswer;
use crate::placement::exist;
use crate::spec_options::own_options;
use crate::steps::{Step, StepCall};
use crate::update_views::{wit_target, wit_view};
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
            Call { name: "migrate", question: self.question(state), budget: STEP_BUDGET },
            |plugin: &UpdatePlugin, store| {
                plugin.swarmw_update_update().call_migrate(store, writer, state)
            },
            |answer| answer.as_ref().map_or(Ok(()), |state| check_state(state)),
        );
        let said = answer.and_then(|said| said.map_err(|why| NoAnswer::Fault(one_line(&why))));
        said.map_err(|why| match why {
            NoAnswer::Fault(why) => NoAnswer::Fault(format!("does not go on from {writer}: {why}")),
            other => other,
        })
        .map_err(|why| why.of_update(&loaded.name))
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
                Call {
                    name: "check",
                    question: self.question(settings(loaded, policy)),
                    budget: COMPILE_BUDGET,
                },
                |plugin: &UpdatePlugin, store| {
                    plugin.swarmw_update_update().call_check(store, &asked)
                },
                |answer| answer.as_ref().map_or(Ok(()), check_needs),
            )
            .map_err(|why| why.of_update(&loaded.name))?;
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
        let question = self.question((&rollout.service_id, settings(loaded, &rollout.policy)));
        let budget = STEP_BUDGET + ROW_BUDGET * u32::try_from(told).unwrap_or(u32::MAX);
        let attempt = || {
            let answer = loaded.call(
                &self.shared.runtime,
                Call { name, question, budget },
                |plugin: &UpdatePlugin, store| call(plugin, store, &facts, view),
                |answer| match answer {
                    Ok(outcome) => check_outcome(rollout.total, outcome),
                    Err(_) => Ok(()),
                },
            );
            // What it gives up for, or may not do, is this rollout's: nobody else's plugin
            // has failed.
            let outcome = answer?.map_err(|why| NoAnswer::Fault(one_line(&why)))?;
            match ungranted(loaded, &outcome) {
                Some(url) => Err(NoAnswer::Fault(format!("{name} has no grant to observe {url}"))),
                None => Ok(outcome),
            }
        };
        let outcome = attempt().or_else(|_| {
            loaded.refresh();
            attempt()
        });
        outcome.map(accepted).map_err(|why| why.of_update(&loaded.name))
    }

    /// Tells whoever tries out another version beside the one that was called; not of calls
    /// for rollouts that may never be.
    fn tell_step(
        &self,
        component: &str,
        rollout: &RolloutFacts,
        call: impl Fn() -> StepCall,
        view: &View,
        outcome: &Result<StepOutcome, UpdateFailure>,
    ) {
        if self.tries {
            return;
        }
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
fn check_outcome(total: u32, outcome: &wit::Outcome) -> Result<(), String> {
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
                check_query(query)?;
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

fn check_query(query: &wit::Query) -> Result<(), String> {
    if !(1..=QUERY_MS_MAX).contains(&query.timeout_ms) {
        let ms = query.timeout_ms;
        return Err(format!("set a query {ms} ms; from 1 to {QUERY_MS_MAX} are possible"));
    }
    let longest = [&query.id, &query.url, &query.pointer].map(String::len);
    if longest.into_iter().any(|length| length > TEXT_MAX) {
        return Err(format!("gave a query of more than {TEXT_MAX} bytes"));
    }
    Ok(())
}

/// The first address that a policy may not ask, of those that it wants to: most often an
/// operator has typed it.
fn ungranted<'a>(loaded: &Loaded, outcome: &'a wit::Outcome) -> Option<&'a str> {
    let granted = &loaded.plugin.release.granted;
    let urls = outcome.actions.iter().filter_map(|action| match action {
        wit::Action::Observe(query) => Some(query.url.as_str()),
        _ => None,
    });
    urls.into_iter().find(|url| {
        let used = GrantRequest::Observe((*url).to_owned());
        !granted.iter().any(|grant| grant.covers(&used))
    })
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

/// All that an operator can change of a policy: another is another question.
fn settings<'a>(loaded: &Loaded, policy: &'a Policy) -> impl Hash + use<'a> {
    (
        &policy.failure_action,
        (policy.parallelism, policy.delay_ms, policy.monitor_ms),
        policy.max_failure_ratio.to_bits(),
        policy.order == Order::StartFirst,
        own_options(loaded, &policy.options),
    )
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

fn gone(plugin: &str, component: &str) -> UpdateFailure {
    let message = format!("its component {component} is not in the cluster any more");
    UpdateFailure::Broken { plugin: plugin.into(), message }
}
