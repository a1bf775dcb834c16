//! What is done with a plugin that is there, and with the operator's word about its
//! powers: its candidate takes its place, it is enabled, it gets other powers.

use std::sync::Arc;

use swarmw_model::{
    Before, Consent, GrantRequest, Plugin, PluginAct, PluginGrant, PluginId, PluginRelease,
    PluginState, Refusal, RefusalKind, RequestId,
};
use swarmw_state::{Change, State};

use super::offer::said_wrong;
use super::{settled, sync};
use crate::manager::Inner;

/// Does it, and returns the plugin as it is then.
pub(super) async fn act(
    inner: &Arc<Inner>,
    request: Option<RequestId>,
    id: PluginId,
    act: PluginAct,
    consent: &Consent,
) -> Result<Plugin, Refusal> {
    let state = inner.log.raft.state();
    let plugin = state.plugin(id).ok_or_else(|| Refusal::not_found("plugin", id))?;
    let mut changes = match act {
        PluginAct::Promote => vec![promotion(&state, plugin, consent)?],
        PluginAct::Enable => enabling(&state, plugin, consent)?,
        PluginAct::Grant => vec![granting(&state, plugin, consent)?],
    };
    // A retry is known by the last one, which the others only prepare.
    let last = changes.pop();
    for change in changes {
        inner.log.write(None, change).await?;
    }
    if let Some(last) = last {
        inner.log.write(request, last).await?;
    }
    sync(inner).await;
    settled(inner, Some(&plugin.name)).await;
    let now = inner.log.raft.state();
    Ok(Plugin::clone(now.plugin(id).unwrap_or(plugin)))
}

fn promotion(state: &State, plugin: &Plugin, consent: &Consent) -> Result<Change, Refusal> {
    let (Some(candidate), Some(powers)) =
        (&plugin.candidate, state.candidate_powers(plugin, consent))
    else {
        return Err(Refusal::plain(
            RefusalKind::FailedPrecondition,
            format!("plugin {} has no other version that waits or runs in shadow", plugin.name),
        ));
    };
    let powers = powers.map_err(said_wrong)?;
    if !powers.wanted.is_empty() {
        let ways = Ways::of(&format!("plugin promote {} {}", "{}", plugin.name));
        return Err(ways.refusal(&plugin.name, &candidate.release, &powers.wanted, "promotion"));
    }
    Ok(Change::PromotePlugin {
        id: plugin.id,
        candidate: candidate.release.blob.digest.clone(),
        granted: powers.granted,
        version: Some(plugin.version),
    })
}

/// A plugin that was disabled may take what services have come to use since.
fn enabling(state: &State, plugin: &Plugin, consent: &Consent) -> Result<Vec<Change>, Refusal> {
    let mut asked = state.asked_by(plugin);
    asked.taken = state.taken_by(plugin);
    let before = Before::of(&plugin.release);
    let powers = consent.powers(&plugin.name, &asked, before).map_err(said_wrong)?;
    if !powers.wanted.is_empty() {
        let ways = Ways::of(&format!("plugin enable {} {}", "{}", plugin.name));
        return Err(ways.refusal(&plugin.name, &plugin.release, &powers.wanted, "enabling it"));
    }
    let enable = Change::SetPluginState {
        id: plugin.id,
        state: PluginState::Enabled,
        message: String::new(),
        force: false,
    };
    let regrant =
        (!same(&powers.granted, &plugin.release.granted)).then(|| regrant(plugin, powers.granted));
    Ok(regrant.into_iter().chain([enable]).collect())
}

fn granting(state: &State, plugin: &Plugin, consent: &Consent) -> Result<Change, Refusal> {
    if *consent == Consent::Unsaid {
        return Err(Refusal::invalid(format!(
            "plugin {}: name a power to grant or to revoke",
            plugin.name
        )));
    }
    let (asked, before) = (state.asked_by(plugin), Before::of(&plugin.release));
    let powers = consent.powers(&plugin.name, &asked, before).map_err(said_wrong)?;
    if same(&powers.granted, &plugin.release.granted) {
        let has: Vec<_> = powers.granted.iter().map(ToString::to_string).collect();
        let has = if has.is_empty() { "no powers".to_owned() } else { has.join(", ") };
        return Err(Refusal::plain(
            RefusalKind::AlreadyExists,
            format!("plugin {} has {has} already, and nothing else", plugin.name),
        ));
    }
    Ok(regrant(plugin, powers.granted))
}

fn same(some: &[GrantRequest], others: &[GrantRequest]) -> bool {
    some.len() == others.len() && some.iter().all(|power| others.contains(power))
}

/// The component that serves, with other powers.
fn regrant(plugin: &Plugin, granted: Vec<GrantRequest>) -> Change {
    Change::UpgradePlugin {
        id: plugin.id,
        serving: plugin.release.blob.digest.clone(),
        release: Box::new(PluginRelease { granted, ..plugin.release.clone() }),
        hold: None,
        version: Some(plugin.version),
    }
}

/// The commands by which an operator gives powers.
pub(super) struct Ways {
    /// All that is asked for.
    all: String,
    /// Some of it.
    some: String,
}

// === impl Ways ===

impl Ways {
    /// This command; `{}` stands for what is said of powers.
    pub(super) fn of(command: &str) -> Self {
        let with = |said: &str| format!("swarmw {}", command.replace("{}", said));
        Self { all: with("--yes"), some: with("--grant KIND=PATTERN") }
    }

    /// What a release wants the operator's word for, and how to give it.
    pub(super) fn refusal(
        &self,
        name: &str,
        release: &PluginRelease,
        wanted: &[PluginGrant],
        what: &str,
    ) -> Refusal {
        let Self { all, some } = self;
        let wanted: Vec<_> =
            wanted.iter().map(|g| format!("\n  {} ({})", g.request, g.reason)).collect();
        Refusal::plain(
            RefusalKind::PermissionDenied,
            format!(
                "plugin {name} {} asks for powers that {what} would give it:{}\n\
                 grant all with `{all}`, or each with `{some}`",
                release.metadata.version,
                wanted.concat()
            ),
        )
    }
}
