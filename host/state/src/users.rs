//! Which services need a plugin.

use std::sync::Arc;

use swarmw_model::{
    MountKind, Plugin, PluginClaim, PluginKind, Routing, Service, ServiceSpec, answers_to,
};

use crate::State;

impl State {
    /// The services that need a plugin, by name: those whose constraints, preferences,
    /// failure actions or volumes are routed to it, or that set one of its options.
    pub fn users_of_plugin(&self, plugin: &Plugin) -> Vec<Arc<Service>> {
        let constraints: Vec<&Plugin> =
            self.plugins().map(|p| &**p).filter(|p| p.kind == PluginKind::Constraint).collect();
        let routing = Routing::of(constraints.iter().map(|p| claims(p)));
        let routed = |spec: &ServiceSpec| {
            spec.task_template.constraints().iter().any(|text| {
                let found = routing.constraint(&constraints, |p| claims(p), text);
                found.is_some_and(|p| p.id == plugin.id)
            })
        };
        let needs = |spec: &ServiceSpec| {
            let by_kind = match plugin.kind {
                PluginKind::Constraint => routed(spec),
                kind => names(kind, spec).iter().any(|name| claims_name(plugin, name)),
            };
            by_kind || sets_option_of(plugin, spec)
        };
        let mut users: Vec<_> = self.services().filter(|s| needs(&s.spec)).cloned().collect();
        users.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        users
    }
}

fn claims(plugin: &Plugin) -> &[PluginClaim] {
    &plugin.release.metadata.claims
}

fn claims_name(plugin: &Plugin, name: &str) -> bool {
    claims(plugin)
        .iter()
        .any(|claim| matches!(claim, PluginClaim::Name(claimed) if claimed == name))
}

fn sets_option_of(plugin: &Plugin, spec: &ServiceSpec) -> bool {
    spec.policy_options().keys().any(|path| {
        path.rsplit_once('.')
            .is_some_and(|(word, _)| answers_to(&plugin.name, claims(plugin), word))
    })
}

/// The names of plugins of a kind that a spec has.
fn names(kind: PluginKind, spec: &ServiceSpec) -> Vec<String> {
    match kind {
        PluginKind::Constraint => Vec::new(),
        PluginKind::Preference => spec.preferences().into_iter().map(|p| p.name).collect(),
        PluginKind::UpdatePolicy => [&spec.update_config, &spec.rollback_config]
            .into_iter()
            .flatten()
            .map(|config| config.failure_action.clone())
            .collect(),
        PluginKind::VolumeDriver => spec
            .container()
            .into_iter()
            .flat_map(|c| &c.mounts)
            .filter(|m| m.kind == MountKind::Volume)
            .filter_map(|m| m.volume_options.as_ref()?.driver_config.as_ref())
            .map(|driver| driver.name.clone())
            .collect(),
    }
}
