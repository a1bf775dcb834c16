//! An update policy in shadow is put the questions of the rollouts under way, beside
//! the version in charge of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmw_model::{Difference, Plugin, PluginId, Time};
use swarmw_orchestrator::{Action, Order, StepOutcome, UpdateFailure, UpdatePolicies as _};
use swarmw_plugin_host::{PluginHost, Step, StepCall};
use tokio::sync::mpsc;
use tracing::warn;

/// Calls that wait to be put to a version in shadow; of more the first are kept.
const QUEUE: usize = 1_024;

/// Calls on their way from whoever leads rollouts.
pub(crate) struct Rehearsals {
    /// The plugins with a version in shadow.
    wanted: Arc<Mutex<BTreeSet<PluginId>>>,
    steps: tokio::sync::Mutex<mpsc::Receiver<Step>>,
}

/// What versions in shadow keep of each rollout, by plugin and service.
pub(super) type Parts = BTreeMap<(PluginId, String), Vec<u8>>;

// === impl Rehearsals ===

impl Rehearsals {
    /// Those of this host, from now on.
    pub(crate) fn of(policies: &PluginHost) -> Self {
        let (sender, steps) = mpsc::channel(QUEUE);
        let wanted: Arc<Mutex<BTreeSet<PluginId>>> = Arc::default();
        let of_listener = wanted.clone();
        policies.on_step(move |plugin, step| {
            if locked(&of_listener).contains(&plugin) && sender.try_send(step()).is_err() {
                warn!(%plugin, "a version in shadow is behind: it is not put this call");
            }
        });
        Self { wanted, steps: tokio::sync::Mutex::new(steps) }
    }

    /// From now on calls of these are kept.
    pub(super) fn want(&self, plugins: BTreeSet<PluginId>) {
        *locked(&self.wanted) = plugins;
    }

    /// The calls so far, in order.
    pub(super) async fn take(&self) -> Vec<Step> {
        let mut steps = self.steps.lock().await;
        std::iter::from_fn(|| steps.try_recv().ok()).collect()
    }
}

fn locked(wanted: &Mutex<BTreeSet<PluginId>>) -> MutexGuard<'_, BTreeSet<PluginId>> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a call to the version in shadow, and says how it answered otherwise. It goes on
/// from its own bytes as long as it answered as the one in charge did, and else from
/// that one's, by its `migrate`. Blocks.
pub(super) fn rehearse(
    plugin: &Plugin,
    then: &mut PluginHost,
    step: &Step,
    parts: &mut Parts,
) -> Option<Difference> {
    let digest = plugin.release.blob.digest.as_str();
    let part = (plugin.id, step.rollout.service_id.clone());
    let kept = parts.remove(&part);
    let said = match &step.call {
        StepCall::Begin { targets } => then.begin(digest, &step.rollout, targets, &step.view),
        StepCall::Step { state } => kept
            .map_or_else(|| then.migrate(digest, &step.version, state), Ok)
            .and_then(|own| then.step(digest, &step.rollout, &own, &step.view)),
    };
    if let (Ok(now), Ok(then)) = (&step.outcome, &said)
        && now.actions == then.actions
    {
        parts.insert(part, then.state.clone());
        return None;
    }
    let at = step.view.now;
    Some(Difference {
        service: step.rollout.service_name.clone(),
        text: format!("call {}", step.view.seq),
        node: String::new(),
        now: words(&step.outcome, at),
        then: words(&said, at),
    })
}

/// An answer, for people.
fn words(outcome: &Result<StepOutcome, UpdateFailure>, now: Time) -> String {
    match outcome {
        Err(failure) => format!("fails ({failure})"),
        Ok(outcome) if outcome.actions.is_empty() => "nothing".to_owned(),
        Ok(outcome) => {
            let words: Vec<_> = outcome.actions.iter().map(|action| word(action, now)).collect();
            words.join(", ")
        }
    }
}

fn word(action: &Action, now: Time) -> String {
    let first = |order: &Order| match order {
        Order::StopFirst => "stop-first",
        Order::StartFirst => "start-first",
    };
    match action {
        Action::Replace { targets, order } => format!("replace {targets:?} {}", first(order)),
        Action::ReplaceNext { count, order } => format!("replace-next {count} {}", first(order)),
        Action::WakeAt(at) => format!("wake in {}", at.since(now)),
        Action::Observe { id, .. } => format!("observe {id}"),
        Action::Report(text) => format!("report {text:?}"),
        Action::Pause(text) => format!("pause {text:?}"),
        Action::RollbackTo { version, reason } => match version {
            Some(version) => format!("roll back to {version} ({reason})"),
            None => format!("roll back ({reason})"),
        },
        Action::Complete => "complete".to_owned(),
    }
}
