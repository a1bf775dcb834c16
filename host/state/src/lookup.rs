//! Finding objects by what a user typed: a full id, an exact name, or the
//! beginning of an id, in that order.

use std::sync::Arc;

use swarmw_model::{ClusterVolume, Config, Network, Node, Plugin, Refusal, Secret, Service, Task};

use crate::State;

/// Objects that users name.
pub trait Lookup: Sized {
    /// The word in `KIND REFERENCE not found`.
    const KIND: &'static str;

    /// The objects that `reference` names, by the first of the three ways that
    /// finds any.
    fn candidates(state: &State, reference: &str) -> Vec<Arc<Self>>;

    /// The one object that `reference` names.
    ///
    /// # Errors
    /// 404 where there is none, 400 where there are several.
    fn find(state: &State, reference: &str) -> Result<Arc<Self>, Refusal> {
        let mut found = Self::candidates(state, reference);
        match found.len() {
            0 => Err(Refusal::not_found(Self::KIND, reference)),
            1 => Ok(found.swap_remove(0)),
            n => Err(Refusal::invalid(format!(
                "{} {reference} is ambiguous ({n} matches found)",
                Self::KIND
            ))),
        }
    }
}

macro_rules! lookup {
    ($($type:ident, $id:ident, $kind:literal, $table:ident, $named:expr;)*) => {$(
        impl Lookup for $type {
            const KIND: &'static str = $kind;

            fn candidates(state: &State, reference: &str) -> Vec<Arc<Self>> {
                if reference.is_empty() {
                    return Vec::new();
                }
                if let Some(found) =
                    reference.parse().ok().and_then(|id: swarmw_model::$id| state.$table.get(&id))
                {
                    return vec![found.clone()];
                }
                let named: fn(&State, &str) -> Vec<Arc<Self>> = $named;
                let found = named(state, reference);
                if !found.is_empty() {
                    return found;
                }
                swarmw_model::$id::prefix_range(reference).map_or_else(Vec::new, |(low, high)| {
                    state.$table.range(low..=high).map(|(_, object)| object.clone()).collect()
                })
            }
        }
    )*};
}

lookup! {
    Node, NodeId, "node", nodes, |state, name| {
        state.nodes().filter(|n| n.description.hostname == name).cloned().collect()
    };
    Service, ServiceId, "service", services, |state, name| {
        state.service_named(name).cloned().into_iter().collect()
    };
    Task, TaskId, "task", tasks, |_, _| Vec::new();
    ClusterVolume, VolumeId, "volume", volumes, |state, name| {
        state.volume_named(name).cloned().into_iter().collect()
    };
    Secret, SecretId, "secret", secrets, |state, name| {
        state.secret_named(name).cloned().into_iter().collect()
    };
    Config, ConfigId, "config", configs, |state, name| {
        state.config_named(name).cloned().into_iter().collect()
    };
    Network, NetworkId, "network", networks, |state, name| {
        state.network_named(name).cloned().into_iter().collect()
    };
    Plugin, PluginId, "plugin", plugins, |state, name| {
        let short = |p: &&Arc<Plugin>| p.name.rsplit('/').next() == Some(name);
        match state.plugin_named(name) {
            Some(plugin) => vec![plugin.clone()],
            None => state.plugins().filter(short).cloned().collect(),
        }
    };
}
