//! Which services need a plugin.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{
    MountKind, NodeId, Plugin, PluginClaim, PluginKind, Routing, Service, ServiceSpec, Task,
    TaskSpec, VolumeSpec, answers_to, option_path,
};

use crate::State;

impl State {
    /// The services that need a plugin, by name: those whose constraints, preferences,
    /// failure actions or volumes are routed to it, or that set one of its options.
    pub fn users_of_plugin(&self, plugin: &Plugin) -> Vec<Arc<Service>> {
        let constraints = self.constraint_plugins();
        let routing = Routing::of(constraints.iter().copied());
        let routed = |spec: &ServiceSpec| {
            spec.task_template.constraints().iter().any(|text| {
                let found = routing.constraint(&constraints, |p| p, text);
                found.is_some_and(|p| p.id == plugin.id)
            })
        };
        let needs = |spec: &ServiceSpec| {
            let by_kind = match plugin.kind {
                PluginKind::Constraint => routed(spec),
                kind => names(kind, spec).iter().any(|name| plugin.claims_name(name)),
            };
            by_kind || self.sets_option_of(plugin, spec)
        };
        let mut users: Vec<_> = self.services().filter(|s| needs(&s.spec)).cloned().collect();
        users.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        users
    }

    /// Whether a spec has an option that means this plugin, and can mean no other.
    pub(crate) fn sets_option_of(&self, plugin: &Plugin, spec: &ServiceSpec) -> bool {
        let is_meant = |p: &Plugin, word: &str| answers_to(&p.name, claims(p), word);
        spec.policy_options().keys().any(|path| {
            let Some((word, _)) = option_path(path) else { return false };
            let others = || self.plugins().filter(|p| p.id != plugin.id);
            word == plugin.name
                || is_meant(plugin, word) && !others().any(|other| is_meant(other, word))
        })
    }
}

impl State {
    /// Who uses a volume of the cluster, by name: services whose mounts name it, or may
    /// by a template, and tasks that have not ended of services that did.
    pub fn users_of_volume(&self, volume: &VolumeSpec) -> Vec<String> {
        let by = |spec: &TaskSpec| mounts(spec, volume);
        let services = self.services().filter(|s| by(&s.spec.task_template));
        let mut users: Vec<_> = services.map(|s| s.spec.name.clone()).collect();
        users.sort();
        let lives = |task: &&Arc<Task>| !task.status.state.is_terminal() && task.node_id.is_some();
        let gone =
            self.tasks().filter(lives).filter(|t| by(&t.spec)).map(|t| t.service.name.clone());
        let gone: BTreeSet<_> = gone.filter(|name| users.binary_search(name).is_err()).collect();
        users.extend(gone);
        users
    }
}

impl State {
    /// The nodes where tasks have a volume of the cluster, or are about to.
    pub fn nodes_with_volume(&self, volume: &VolumeSpec) -> BTreeSet<NodeId> {
        let by = |spec: &TaskSpec| mounts(spec, volume);
        let lives = |task: &&Arc<Task>| !task.status.state.is_terminal();
        self.tasks().filter(lives).filter(|t| by(&t.spec)).filter_map(|t| t.node_id).collect()
    }
}

/// Whether tasks of a spec mount a volume of the cluster, or may.
fn mounts(spec: &TaskSpec, volume: &VolumeSpec) -> bool {
    let mut mounts = spec.container_spec.iter().flat_map(|c| &c.mounts);
    mounts.any(|m| may_be(&m.source, &volume.name) && volume.is_mounted_by(m, &volume.name))
}

/// Whether a source that may have templates in it can become this name.
fn may_be(source: &str, name: &str) -> bool {
    match (source.split_once("{{"), source.rsplit_once("}}")) {
        (Some((head, _)), Some((_, tail))) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        _ => source == name,
    }
}

fn claims(plugin: &Plugin) -> &[PluginClaim] {
    &plugin.release.metadata.claims
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
        PluginKind::VolumeDriver => drivers(spec).map(str::to_owned).collect(),
    }
}

/// The drivers of a spec's volumes.
pub(crate) fn drivers(spec: &ServiceSpec) -> impl Iterator<Item = &str> {
    spec.container()
        .into_iter()
        .flat_map(|c| &c.mounts)
        .filter(|m| m.kind == MountKind::Volume)
        .filter_map(|m| m.volume_options.as_ref()?.driver_config.as_ref())
        .map(|driver| driver.name.as_str())
}
