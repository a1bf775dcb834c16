//! Plugins: added, upgraded, promoted, switched on and off, removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{
    CandidateState, GrantRequest, Id, Plugin, PluginCandidate, PluginId, PluginKind, PluginRelease,
    PluginState, PluginStatus, PluginTrouble, Refusal, RefusalKind, Service, Version,
};

use super::{Context, Step, Stop};
use crate::left::Heir;
use crate::{Dropped, Event, State};

/// Services or volumes named in a refusal; of more their number is told.
const USERS_NAMED: usize = 10;

impl State {
    pub(super) fn add_plugin(&mut self, plugin: &Plugin, context: &mut Context<'_>) -> Step {
        if let Some(other) = self.plugin_named(&plugin.name) {
            return Err(exists(format!(
                "plugin {} exists already, in version {}: another version comes with `swarmw \
                 plugin upgrade {} FILE|REFERENCE`",
                plugin.name, other.release.metadata.version, plugin.name
            ))
            .into());
        }
        self.check_claims(plugin)?;
        let plugin = Plugin {
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            status: enabled(context),
            ..plugin.clone()
        };
        let id = Id::from_bits(plugin.id.bits());
        self.plugin_names.insert(plugin.name.clone(), plugin.id);
        self.put_plugin(None, plugin, context);
        Ok(Some(id))
    }

    /// Refuses what was decided on another version of a plugin than the one there is: its
    /// powers may be others.
    pub(super) fn plugin_is(&self, id: PluginId, version: Option<Version>) -> Result<(), Stop> {
        let found = self.plugins.get(&id);
        match version.zip(found).is_some_and(|(seen, plugin)| seen != plugin.version) {
            true => Err(Refusal::out_of_sequence().into()),
            false => Ok(()),
        }
    }

    pub(super) fn upgrade_plugin(
        &mut self,
        id: PluginId,
        serving: &str,
        release: &PluginRelease,
        hold: Option<CandidateState>,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.plugin_or_refuse(id)?;
        if old.release.blob.digest != serving {
            return Err(Refusal::out_of_sequence().into());
        }
        if old.release.blob == release.blob {
            return self.regrant(&old, release, hold, context);
        }
        let mut plugin = Plugin { release: release.clone(), candidate: None, ..(*old).clone() };
        self.check_takes_over(&old, &plugin)?;
        match hold {
            Some(state) => {
                let (since, release) = (context.at, release.clone());
                plugin.release = old.release.clone();
                plugin.candidate = Some(PluginCandidate { state, since, release });
            }
            None => plugin.status = renewed(&old.status, context),
        }
        self.put_plugin(Some(old), plugin, context);
        Ok(Some(Id::from_bits(id.bits())))
    }

    /// The component that serves is offered once more: what changes is what it may.
    fn regrant(
        &mut self,
        old: &Arc<Plugin>,
        release: &PluginRelease,
        hold: Option<CandidateState>,
        context: &mut Context<'_>,
    ) -> Step {
        let (had, has) = (&old.release.granted, &release.granted);
        let same = had.iter().all(|power| has.contains(power))
            && has.iter().all(|power| had.contains(power));
        if same || hold.is_some() {
            return Err(exists(format!(
                "plugin {} runs this very component already ({})",
                old.name, release.blob.digest
            ))
            .into());
        }
        let mut plugin = Plugin::clone(old);
        if let Some(candidate) = &mut plugin.candidate {
            take_away(&mut candidate.release.granted, had, has);
        }
        plugin.release.granted.clone_from(has);
        self.put_plugin(Some(old.clone()), plugin, context);
        Ok(Some(Id::from_bits(old.id.bits())))
    }

    pub(super) fn promote_plugin(
        &mut self,
        id: PluginId,
        candidate: &str,
        granted: &[GrantRequest],
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.plugin_or_refuse(id)?;
        let Some(mut plugin) = old.with_candidate() else {
            return Err(no_candidate(&old).into());
        };
        if plugin.release.blob.digest != candidate {
            return Err(Refusal::out_of_sequence().into());
        }
        plugin.release.granted = granted.to_vec();
        plugin.status = renewed(&old.status, context);
        // Plugins and services may have come since it was offered.
        self.check_takes_over(&old, &plugin)?;
        self.put_plugin(Some(old), plugin, context);
        Ok(Some(Id::from_bits(id.bits())))
    }

    pub(super) fn drop_candidate(&mut self, id: PluginId, context: &mut Context<'_>) -> Step {
        let old = self.plugin_or_refuse(id)?;
        if old.candidate.is_none() {
            return Err(no_candidate(&old).into());
        }
        let plugin = Plugin { candidate: None, ..Plugin::clone(&old) };
        self.put_plugin(Some(old), plugin, context);
        Ok(None)
    }

    pub(super) fn set_plugin_state(
        &mut self,
        id: PluginId,
        state: PluginState,
        message: &str,
        force: bool,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.plugin_or_refuse(id)?;
        let is_calm = old.status.state == state && old.status.trouble.is_none();
        if is_calm && state == PluginState::Quarantined {
            return Err(Dropped::Stale.into());
        }
        // Enabling one that is enabled closes its breaker on every manager.
        if old.status.state == state && state == PluginState::Disabled {
            return Err(refuse(format!("plugin {} is disabled already", old.name)).into());
        }
        if state == PluginState::Disabled && old.built_in && !force {
            return Err(refuse(format!(
                "plugin {} is built in: what it answers is Swarm's own, and nothing takes its \
                 place; disable it by --force all the same",
                old.name
            ))
            .into());
        }
        if state == PluginState::Disabled && !force {
            let why = ", or disable it by --force, which fails them as a broken plugin would";
            self.check_unused(&old, why)?;
        }
        let mut plugin = Plugin::clone(&old);
        plugin.status = match state {
            PluginState::Enabled => enabled(context),
            state => PluginStatus { state, message: message.to_owned(), ..old.status.clone() },
        };
        self.put_plugin(Some(old), plugin, context);
        Ok(Some(Id::from_bits(id.bits())))
    }

    pub(super) fn plugin_trouble(
        &mut self,
        id: PluginId,
        digest: &str,
        message: &str,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.plugins.get(&id).cloned().ok_or(Dropped::Gone)?;
        if old.release.blob.digest != digest {
            return Err(Dropped::Changed.into());
        }
        let mut plugin = Plugin::clone(&old);
        plugin.status.trouble = Some(PluginTrouble { at: context.at, message: message.to_owned() });
        self.put_plugin(Some(old), plugin, context);
        Ok(None)
    }

    pub(super) fn remove_plugin(&mut self, id: PluginId, context: &mut Context<'_>) -> Step {
        let plugin = self.plugin_or_refuse(id)?;
        if plugin.built_in {
            return Err(refuse(format!(
                "plugin {} is built in and cannot be removed",
                plugin.name
            ))
            .into());
        }
        self.check_unused(&plugin, "")?;
        self.check_no_volumes(&plugin)?;
        self.plugins.remove(&id);
        self.plugin_names.remove(&plugin.name);
        context.events.push(Event::Plugin { old: Some(plugin), new: None });
        Ok(None)
    }

    fn put_plugin(
        &mut self,
        old: Option<Arc<Plugin>>,
        mut plugin: Plugin,
        context: &mut Context<'_>,
    ) {
        plugin.version = context.version;
        plugin.updated_at = context.at;
        let plugin = Arc::new(plugin);
        self.plugins.insert(plugin.id, plugin.clone());
        context.events.push(Event::Plugin { old, new: Some(plugin) });
    }

    fn plugin_or_refuse(&self, id: PluginId) -> Result<Arc<Plugin>, Stop> {
        let found = self.plugins.get(&id).cloned();
        found.ok_or_else(|| Refusal::not_found("plugin", id).into())
    }

    fn check_claims(&self, plugin: &Plugin) -> Result<(), Stop> {
        for other in self.plugins.values().filter(|p| p.id != plugin.id) {
            if let Some(claim) = plugin.clash(other) {
                let way = match other.built_in {
                    true => "a plugin of your own claims something else".to_owned(),
                    false => format!(
                        "upgrade {} to a version without the claim, or remove it",
                        other.name
                    ),
                };
                return Err(exists(format!(
                    "plugin {} claims {claim}, which plugin {} claims already: {way}",
                    plugin.name, other.name
                ))
                .into());
            }
        }
        Ok(())
    }

    /// What another release claims must be free, and what services name must still be
    /// claimed. Constraints it gives up go to another plugin.
    fn check_takes_over(&self, old: &Plugin, new: &Plugin) -> Result<(), Stop> {
        self.check_claims(new)?;
        if new.kind == PluginKind::Constraint {
            return Ok(());
        }
        let kept = self.users_of_plugin(new);
        let lost = self.users_of_plugin(old).into_iter().filter(|s| !kept.contains(s)).collect();
        match listed(lost) {
            None => Ok(()),
            Some((of, names)) => Err(refuse(format!(
                "plugin {} in version {} no longer claims what the following {of} names: {names}",
                new.name, new.release.metadata.version
            ))
            .into()),
        }
    }

    fn check_unused(&self, plugin: &Plugin, more: &str) -> Result<(), Stop> {
        let left = self.left_without(plugin);
        let heirs: BTreeSet<_> = left.iter().filter_map(|left| left.to.as_ref()).collect();
        let to: String = heirs
            .into_iter()
            .take(USERS_NAMED)
            .map(|Heir { name, claim }| {
                format!(
                    "; some would go to {name}, which takes them with your consent alone: `swarmw \
                     plugin grant --grant 'claim={claim}' {name}`"
                )
            })
            .collect();
        match listed(left.iter().map(|left| left.service.clone()).collect()) {
            None => Ok(()),
            Some((of, names)) => Err(refuse(format!(
                "plugin {} is in use by the following {of}: {names}; end that with `swarmw service \
                 update {}`{more}{to}",
                plugin.name,
                way_out(plugin.kind)
            ))
            .into()),
        }
    }

    /// Without its driver a volume of the cluster cannot be removed.
    fn check_no_volumes(&self, plugin: &Plugin) -> Result<(), Stop> {
        let volumes = self.volumes().filter(|v| plugin.claims_name(&v.spec.driver.name));
        let volumes: Vec<_> = volumes.map(|v| v.spec.name.clone()).collect();
        if plugin.kind != PluginKind::VolumeDriver || volumes.is_empty() {
            return Ok(());
        }
        let s = if volumes.len() == 1 { "" } else { "s" };
        Err(refuse(format!(
            "plugin {} is the driver of the following volume{s}: {}; remove them first with \
             `swarmw volume rm`",
            plugin.name,
            named(volumes)
        ))
        .into())
    }
}

/// Takes from a candidate's powers what the release that serves lost: had these, has those.
fn take_away(granted: &mut Vec<GrantRequest>, had: &[GrantRequest], has: &[GrantRequest]) {
    let within =
        |powers: &[GrantRequest], power: &GrantRequest| powers.iter().any(|p| p.covers(power));
    let lost = |power: &GrantRequest| within(had, power) && !within(has, power);
    // What is left of a power that was narrowed.
    let rest = |wide: &GrantRequest| has.iter().filter(|p| wide.covers(p)).cloned().collect();
    *granted = granted
        .iter()
        .flat_map(|power| if lost(power) { rest(power) } else { vec![power.clone()] })
        .collect();
}

/// The flags by which a service is rid of a plugin.
fn way_out(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Constraint => "--constraint-rm EXPRESSION --policy-opt-rm PLUGIN.OPTION",
        PluginKind::Preference => "--placement-pref-rm NAME=ARGUMENT --policy-opt-rm PLUGIN.OPTION",
        PluginKind::UpdatePolicy => "--update-failure-action pause --policy-opt-rm PLUGIN.OPTION",
        PluginKind::VolumeDriver => "--mount-rm TARGET",
    }
}

/// `service` or `services`, and the first names; `None` of none.
fn listed(services: Vec<Arc<Service>>) -> Option<(&'static str, String)> {
    let of = match services.len() {
        0 => return None,
        1 => "service",
        _ => "services",
    };
    Some((of, named(services.iter().map(|s| s.spec.name.clone()).collect())))
}

/// The first names, and how many more there are.
fn named(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(USERS_NAMED);
    names.truncate(USERS_NAMED);
    names.extend((more > 0).then(|| format!("and {more} more")));
    names.join(", ")
}

/// Enabled anew: what was wrong before is forgiven.
fn enabled(context: &Context<'_>) -> PluginStatus {
    PluginStatus { enabled: context.version.index, ..PluginStatus::default() }
}

/// After another release came: a disabled plugin stays so, all else begins anew.
fn renewed(old: &PluginStatus, context: &Context<'_>) -> PluginStatus {
    match old.state {
        PluginState::Disabled => PluginStatus { trouble: None, ..old.clone() },
        PluginState::Enabled | PluginState::Quarantined => enabled(context),
    }
}

fn exists(message: String) -> Refusal {
    Refusal::plain(RefusalKind::AlreadyExists, message)
}

fn refuse(message: String) -> Refusal {
    Refusal::plain(RefusalKind::FailedPrecondition, message)
}

fn no_candidate(plugin: &Plugin) -> Refusal {
    refuse(format!("plugin {} has no other version that waits or runs in shadow", plugin.name))
}
