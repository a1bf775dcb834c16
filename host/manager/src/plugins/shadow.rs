//! Plugins in shadow: the leader compares each with the one that serves, whenever
//! something changed that could matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarmw_model::{
    COMPARISON_MAX, CandidateState, Comparison, Difference, Plugin, PluginId, PluginKind,
    ShadowReport, Time,
};
use swarmw_plugin_host::{PluginHost, Step};
use swarmw_raft::Received;
use swarmw_state::{Event, State};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::compile::until_settled;
use super::rehearse::{self, Parts};
use super::{compare, component};
use crate::manager::Inner;

/// Between two comparisons, however much changes.
const PAUSE: Duration = Duration::from_secs(1);

/// What was found of each plugin in shadow.
#[derive(Default)]
pub(crate) struct Shadows(Mutex<BTreeMap<PluginId, ShadowReport>>);

/// A candidate at work: its instance is kept from one comparison to the next.
struct Shadow {
    digest: String,
    host: PluginHost,
    /// Of the plugins that it stands among.
    generation: u64,
}

// === impl Shadows ===

impl Shadows {
    /// What was found of a plugin's candidate.
    pub(crate) fn of(&self, plugin: &Plugin) -> Option<ShadowReport> {
        let digest = &plugin.candidate.as_ref()?.release.blob.digest;
        self.all().get(&plugin.id).filter(|report| report.digest == *digest).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PluginId, ShadowReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those that are no longer in shadow.
    fn keep_only(&self, state: &State) {
        self.all().retain(|id, report| {
            let candidate = state.plugin(*id).and_then(|p| p.candidate.as_ref());
            candidate.is_some_and(|c| c.release.blob.digest == report.digest)
        });
    }

    fn with_report(&self, plugin: &Plugin, now: Time, note: impl FnOnce(&mut ShadowReport)) {
        let digest = &plugin.release.blob.digest;
        let mut all = self.all();
        let report = all.entry(plugin.id).or_default();
        if report.digest != *digest {
            let digest = digest.clone();
            *report = ShadowReport { digest, since: now, ..ShadowReport::default() };
        }
        note(report);
    }

    fn note(&self, plugin: &Plugin, found: Comparison, now: Time) {
        self.with_report(plugin, now, |report| {
            report.comparisons += 1;
            if found.differs() {
                let news = report.last != found;
                report.differing += 1;
                if news {
                    info!(
                        plugin = plugin.name,
                        differing = found.differing,
                        violated = found.violated,
                        "the version in shadow decides otherwise"
                    );
                }
                report.last_differing = Some((now, found.clone()));
            }
            report.last = found;
        });
    }

    /// What a version said to a call of a rollout.
    fn note_step(&self, plugin: &Plugin, difference: Option<Difference>, now: Time) {
        self.with_report(plugin, now, |report| {
            report.steps += 1;
            let Some(difference) = difference else { return };
            let Difference { service, text, .. } = &difference;
            info!(
                plugin = plugin.name,
                service,
                call = text,
                "the version in shadow answers otherwise"
            );
            report.steps_differing += 1;
            if report.step_differences.len() == COMPARISON_MAX {
                report.step_differences.remove(0);
            }
            report.step_differences.push(difference);
        });
    }
}

/// Compares while this manager leads.
pub(crate) async fn keep(inner: &Arc<Inner>, end: CancellationToken) {
    let mut events = inner.log.raft.subscribe();
    let mut at_work = BTreeMap::new();
    let mut parts = Parts::new();
    loop {
        // What is not compiled yet would differ from everything.
        tokio::select! {
            () = end.cancelled() => return,
            () = until_settled(inner, None) => {}
        }
        compare_all(inner, &mut at_work, &mut parts).await;
        let mut due = false;
        while !due {
            let received = tokio::select! {
                () = end.cancelled() => return,
                received = events.next() => received,
            };
            due = match received {
                None => return,
                Some(Received::Lagged) => true,
                Some(Received::Batch(batch)) => batch.events.iter().any(matters),
            };
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        while events.try_next().is_some() {}
    }
}

/// Verdicts depend on nodes and specs alone; tasks matter for what would be violated.
fn matters(event: &Event) -> bool {
    match event {
        Event::Node { .. } | Event::Service { .. } | Event::Plugin { .. } => true,
        Event::Volume { .. }
        | Event::Secret { .. }
        | Event::Config { .. }
        | Event::Network { .. }
        | Event::Attachment { .. } => false,
        Event::Task { old, new } => {
            let place = |t: &Option<Arc<swarmw_model::Task>>| {
                t.as_ref().map(|t| (t.node_id, t.status.state, t.desired_state))
            };
            place(old) != place(new)
        }
        Event::Cluster => false,
    }
}

async fn compare_all(
    inner: &Arc<Inner>,
    at_work: &mut BTreeMap<PluginId, Shadow>,
    parts: &mut Parts,
) {
    let state = inner.log.raft.state();
    inner.shadows.keep_only(&state);
    let in_shadow = |plugin: &&Arc<Plugin>| {
        plugin.candidate.as_ref().is_some_and(|c| c.state == CandidateState::Shadow)
    };
    let plugins: Vec<_> = state.plugins().filter(in_shadow).cloned().collect();
    at_work.retain(|id, _| plugins.iter().any(|p| p.id == *id));
    parts.retain(|(id, _), _| at_work.contains_key(id));
    let policies = plugins.iter().filter(|p| p.kind == PluginKind::UpdatePolicy);
    inner.rehearsals.want(policies.map(|p| p.id).collect::<BTreeSet<_>>());
    let mut steps = inner.rehearsals.take().await;
    for present in plugins {
        let Some(plugin) = present.with_candidate() else { continue };
        let then = match host(inner, &state, &plugin, at_work).await {
            Ok(then) => then,
            Err(status) => {
                warn!(plugin = %plugin.name, %status, "a version in shadow cannot be had");
                continue;
            }
        };
        let (state, subject, present) = (state.clone(), plugin.clone(), inner.policies.pin());
        let (of_it, others) = steps.into_iter().partition(|step| step.plugin == plugin.id);
        steps = others;
        let mut kept = std::mem::take(parts);
        let compared = tokio::task::spawn_blocking(move || {
            let of_it: Vec<Step> = of_it;
            let mut rehearsing = then.clone();
            let rehearse =
                |step: &Step| rehearse::rehearse(&subject, &mut rehearsing, step, &mut kept);
            let rehearsed: Vec<_> = of_it.iter().map(rehearse).collect();
            (compare::compare(&state, &subject, present, then), rehearsed, kept)
        });
        match compared.await {
            Ok((found, rehearsed, kept)) => {
                *parts = kept;
                let now = inner.log.now();
                for difference in rehearsed {
                    inner.shadows.note_step(&plugin, difference, now);
                }
                inner.shadows.note(&plugin, found, now);
            }
            Err(panic) => warn!(plugin = %plugin.name, %panic, "a comparison ended badly"),
        }
    }
}

/// The candidate among the plugins of now.
async fn host(
    inner: &Inner,
    state: &State,
    plugin: &Plugin,
    at_work: &mut BTreeMap<PluginId, Shadow>,
) -> Result<PluginHost, tonic::Status> {
    use swarmw_scheduler::Policies as _;
    let digest = &plugin.release.blob.digest;
    let generation = inner.policies.generation();
    if let Some(shadow) = at_work.get(&plugin.id)
        && (&shadow.digest, shadow.generation) == (digest, generation)
    {
        return Ok(shadow.host.clone());
    }
    let bytes = component(inner, state, digest).await?;
    let host = inner.policies.with(plugin.clone(), bytes);
    let shadow = Shadow { digest: digest.clone(), host: host.clone(), generation };
    at_work.insert(plugin.id, shadow);
    Ok(host)
}
