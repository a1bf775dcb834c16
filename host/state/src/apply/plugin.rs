//! Plugins.

use std::sync::Arc;

use swarmw_model::{Id, Plugin, PluginClaim, PluginId, PluginKind, Refusal, RefusalKind};

use super::{Context, Step};
use crate::{Event, State};

impl State {
    pub(super) fn add_plugin(&mut self, plugin: &Plugin, context: &mut Context<'_>) -> Step {
        let refuse = |message: String| Refusal::plain(RefusalKind::AlreadyExists, message);
        if self.plugin_named(&plugin.name).is_some() {
            return Err(refuse(format!("plugin {} exists already", plugin.name)).into());
        }
        for other in self.plugins.values().filter(|p| p.kind == plugin.kind) {
            if let Some(claim) = clash(plugin, other) {
                return Err(refuse(format!(
                    "plugin {} claims {claim}, which plugin {} claims already",
                    plugin.name, other.name
                ))
                .into());
            }
        }
        let plugin = Arc::new(Plugin {
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            ..plugin.clone()
        });
        self.plugin_names.insert(plugin.name.clone(), plugin.id);
        self.plugins.insert(plugin.id, plugin.clone());
        context.events.push(Event::Plugin { old: None, new: Some(plugin.clone()) });
        Ok(Some(Id::from_bits(plugin.id.bits())))
    }

    pub(super) fn remove_plugin(&mut self, id: PluginId, context: &mut Context<'_>) -> Step {
        let plugin =
            self.plugins.get(&id).cloned().ok_or_else(|| Refusal::not_found("plugin", id))?;
        self.plugins.remove(&id);
        self.plugin_names.remove(&plugin.name);
        context.events.push(Event::Plugin { old: Some(plugin), new: None });
        Ok(None)
    }
}

/// A claim that both plugins make in full. Claims that merely overlap are ranked
/// when an expression is routed; see `claim` in `wit/types.wit`.
fn clash<'a>(new: &'a Plugin, old: &Plugin) -> Option<&'a PluginClaim> {
    let operators = |p: &Plugin| {
        let mut all: Vec<_> = p
            .metadata
            .claims
            .iter()
            .filter(|c| matches!(c, PluginClaim::Operator(_)))
            .cloned()
            .collect();
        all.sort();
        all
    };
    let narrowed_alike = new.kind != PluginKind::Constraint || operators(new) == operators(old);
    new.metadata.claims.iter().find(|claim| match claim {
        PluginClaim::Operator(_) => false,
        PluginClaim::Key(_) | PluginClaim::KeyPrefix(_) => {
            narrowed_alike && old.metadata.claims.contains(claim)
        }
        PluginClaim::Call(_) | PluginClaim::Name(_) => old.metadata.claims.contains(claim),
    })
}
