//! Plugins: added, upgraded, promoted, switched on and off, removed.

use std::sync::Arc;

use swarmw_model::{
    CandidateState, GrantRequest, Id, Plugin, PluginCandidate, PluginId, PluginKind, PluginRelease,
    PluginState, PluginStatus, PluginTrouble, Refusal, RefusalKind, Service,
};

use super::{Context, Step, Stop};
use crate::{Dropped, Event, State};

/// Services named in a refusal; of more their number is told.
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
            return Err(exists(format!(
                "plugin {} runs this very component already ({})",
                old.name, release.blob.digest
            ))
            .into());
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
                return Err(exists(format!(
                    "plugin {} claims {claim}, which plugin {} claims already",
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
        match listed(self.users_of_plugin(plugin)) {
            None => Ok(()),
            Some((of, names)) => Err(refuse(format!(
                "plugin {} is in use by the following {of}: {names}; end that with `swarmw service \
                 update {}`{more}",
                plugin.name,
                way_out(plugin.kind)
            ))
            .into()),
        }
    }
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
    let more = services.len().saturating_sub(USERS_NAMED);
    let named = services.iter().take(USERS_NAMED).map(|s| s.spec.name.clone());
    let names: Vec<_> = named.chain((more > 0).then(|| format!("and {more} more"))).collect();
    Some((of, names.join(", ")))
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
