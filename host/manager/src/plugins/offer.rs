//! A component that an operator offers: what it is, which powers it gets, whether it
//! serves at once, and what it would mean.

use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use swarmw_model::{
    Before, Blob, CandidateState, ConsentError, Plugin, PluginId, PluginKind, PluginOffer,
    PluginReport, Powers, Refusal, RefusalKind, RequestId, Time,
};
use swarmw_plugin_host::{COMPONENT, Inspected, LARGE_COMPONENT};
use swarmw_state::{Change, Outcome, State, Transaction};
use tracing::info;

use super::act::Ways;
use super::{compare, inspect, record, settled, sync};
use crate::blobs::digest_of;
use crate::manager::Inner;
use crate::replicate;

/// The publisher of what comes with the binary.
const OWN_PUBLISHER: &str = "swarmw/";

/// An offer that was looked at.
struct Judged {
    /// The plugin as it would stand.
    plugin: Plugin,
    /// The plugin as it stands.
    present: Option<Arc<Plugin>>,
    powers: Powers,
    /// What would be written.
    change: Change,
}

/// Takes a component into the cluster: checked, stored on a majority of managers,
/// named in the log, and serving when this returns.
pub(super) async fn add(
    inner: &Arc<Inner>,
    request: Option<RequestId>,
    component: Bytes,
    offer: &PluginOffer,
) -> Result<Plugin, Refusal> {
    let inspected = look_at(inner, &component, offer).await?;
    let (id, blob) = (new_id(inner), blob_of(&component));
    let judged = || -> Result<Judged, Refusal> {
        let state = inner.log.raft.state();
        let judged = judge(id, &state, inspected.clone(), blob.clone(), offer)?;
        if judged.present.is_none() && !judged.powers.wanted.is_empty() {
            return Err(unconsented(&judged));
        }
        try_out(&state, &judged.change)?;
        Ok(judged)
    };
    // What will be refused anyway is refused before it is stored.
    judged()?;
    let state = inner.log.raft.state();
    replicate::store(&inner.blobs, &inner.channels, &state, inner.node, component).await?;
    // Meanwhile services may have come that use what it claims.
    let judged = judged()?;
    let id = judged.plugin.id;
    let made = inner.log.write(request, judged.change).await?;
    sync(inner).await;
    settled(inner, Some(&judged.plugin.name)).await;
    Ok(stored(inner, made.map_or(id, |id| PluginId::from_bits(id.bits())), judged.plugin))
}

/// What would become of a component, and with `plan` what it would mean for tasks.
pub(super) async fn report(
    inner: &Arc<Inner>,
    component: Bytes,
    offer: &PluginOffer,
    plan: bool,
) -> Result<PluginReport, Refusal> {
    let inspected = look_at(inner, &component, offer).await?;
    let state = inner.log.raft.state();
    let judged = judge(new_id(inner), &state, inspected, blob_of(&component), offer)?;
    try_out(&state, &judged.change)?;
    let plan = match plan {
        true => Some(compared(inner, state, &judged.plugin, component).await?),
        false => None,
    };
    Ok(PluginReport {
        plugin: judged.plugin,
        replaces: judged.present.map(Arc::unwrap_or_clone),
        wanted: judged.powers.wanted,
        plan,
    })
}

async fn look_at(
    inner: &Inner,
    component: &Bytes,
    offer: &PluginOffer,
) -> Result<Inspected, Refusal> {
    info!(size = component.len(), "a component is offered: it is compiled and looked at");
    let max = if offer.large { LARGE_COMPONENT } else { COMPONENT };
    let inspected = inspect(&inner.compiler, component.clone(), max).await;
    inspected.map_err(|refusal| {
        let may_help = !offer.large && (COMPONENT..=LARGE_COMPONENT).contains(&component.len());
        let hint = if may_help { "; --allow-large raises that" } else { "" };
        Refusal { message: format!("{}{hint}", refusal.message), ..refusal }
    })
}

fn new_id(inner: &Inner) -> PluginId {
    PluginId::from_bits(inner.log.ambient.chance().random())
}

fn blob_of(component: &Bytes) -> Blob {
    Blob { digest: digest_of(component), size: component.len() as u64 }
}

/// Decides what an offer comes to. Pure.
fn judge(
    id: PluginId,
    state: &State,
    inspected: Inspected,
    blob: Blob,
    offer: &PluginOffer,
) -> Result<Judged, Refusal> {
    let mut plugin = record(id, inspected, blob);
    let present = match offer.upgrades {
        Some(id) => Some(state.plugin(id).ok_or_else(|| Refusal::not_found("plugin", id))?),
        None if offer.shadow => Some(state.plugin_named(&plugin.name).ok_or_else(|| {
            Refusal::plain(
                RefusalKind::NotFound,
                format!(
                    "plugin {} is not in the cluster: there is nothing to shadow; add it without \
                     --shadow",
                    plugin.name
                ),
            )
        })?),
        None => None,
    };
    if let Some(present) = present {
        check_same(present, &plugin)?;
    } else if plugin.name.starts_with(OWN_PUBLISHER) {
        return Err(Refusal::invalid(format!(
            "plugin {}: the publisher swarmw is for what comes with the binary",
            plugin.name
        )));
    }
    plugin.id = present.map_or(id, |p| p.id);
    plugin.status = present.map(|p| p.status.clone()).unwrap_or_default();
    let before = present.map(|p| Before::of(&p.release)).unwrap_or_default();
    let asked = state.asked_by(&plugin);
    let powers = offer.consent.powers(&plugin.name, &asked, before).map_err(said_wrong)?;
    plugin.release.granted.clone_from(&powers.granted);
    plugin.release.source.clone_from(&offer.source);
    plugin.release.signer.clone_from(&offer.signer);
    plugin.release.adopt = adopts(&plugin, offer)?;
    let change = match present {
        None => Change::AddPlugin(Box::new(plugin.clone())),
        Some(present) => {
            let release = std::mem::replace(&mut plugin.release, present.release.clone());
            plugin = Plugin { release: release.clone(), candidate: None, ..(**present).clone() };
            Change::UpgradePlugin {
                id: present.id,
                serving: present.release.blob.digest.clone(),
                release: Box::new(release),
                hold: hold(offer, &powers),
                version: Some(present.version),
            }
        }
    };
    Ok(Judged { plugin, present: present.cloned(), powers, change })
}

/// Whether the release takes over what its plugin has under way, which is updates.
fn adopts(plugin: &Plugin, offer: &PluginOffer) -> Result<bool, Refusal> {
    if offer.adopt && plugin.kind != PluginKind::UpdatePolicy {
        return Err(Refusal::invalid(format!(
            "plugin {} is a {}: only an update policy has updates under way to adopt",
            plugin.name, plugin.kind
        )));
    }
    Ok(offer.adopt)
}

/// What another version waits for.
fn hold(offer: &PluginOffer, powers: &Powers) -> Option<CandidateState> {
    match (offer.shadow, powers.wanted.is_empty()) {
        (true, _) => Some(CandidateState::Shadow),
        (false, false) => Some(CandidateState::Consent),
        (false, true) => None,
    }
}

fn check_same(present: &Plugin, offered: &Plugin) -> Result<(), Refusal> {
    let refuse = |message| Err(Refusal::plain(RefusalKind::FailedPrecondition, message));
    if present.name != offered.name {
        return refuse(format!(
            "the component calls itself {}: it is no version of plugin {}",
            offered.name, present.name
        ));
    }
    if present.kind != offered.kind {
        return refuse(format!(
            "plugin {} is a {}; the component is a {}",
            present.name, present.kind, offered.kind
        ));
    }
    Ok(())
}

/// Refuses what the state would refuse, whenever that is.
fn try_out(state: &State, change: &Change) -> Result<(), Refusal> {
    let transaction = Transaction { at: Time::ZERO, request: None, changes: vec![change.clone()] };
    let tried = state.clone().apply(state.index() + 1, &transaction);
    match tried.outcomes.into_iter().next() {
        Some(Outcome::Refused(why)) => Err(why),
        _ => Ok(()),
    }
}

async fn compared(
    inner: &Inner,
    state: Arc<State>,
    plugin: &Plugin,
    component: Bytes,
) -> Result<swarmw_model::Comparison, Refusal> {
    let (now, then) = (inner.policies.pin(), inner.policies.with(plugin.clone(), component));
    let plugin = plugin.clone();
    tokio::task::spawn_blocking(move || compare::compare(&state, &plugin, now, then))
        .await
        .map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))
}

fn stored(inner: &Inner, id: PluginId, otherwise: Plugin) -> Plugin {
    inner.log.raft.state().plugin(id).map_or(otherwise, |p| Plugin::clone(p))
}

fn unconsented(judged: &Judged) -> Refusal {
    let Judged { plugin, powers, .. } = judged;
    let ways = Ways::of("plugin add {} FILE");
    ways.refusal(&plugin.name, &plugin.release, &powers.wanted, "adding it")
}

pub(super) fn said_wrong(error: ConsentError) -> Refusal {
    Refusal::invalid(error.to_string())
}
