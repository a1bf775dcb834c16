//! What a task asks of a node, besides what policies say.

use std::collections::BTreeMap;

use swarmw_model::{
    ContainerOptions, EngineDescription, EnginePlugin, GrantRequest, ImageKind, ImageReference,
    MountKind, NETWORK_PLUGIN, Node, OVERLAY_DRIVER, Platform, Plugin, PluginClaim, PluginKind,
    TaskSpec,
};
use swarmw_state::{HOST_ACCESS_LEVEL, NETWORKS_LEVEL, State};

use crate::generic::Kinds;
use crate::table::Row;
use crate::usage::{Port, Usage};

/// CPU and memory that one task reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reserved {
    /// Nano-CPUs.
    pub(crate) cpu: i64,
    /// Bytes.
    pub(crate) memory: i64,
}

/// What a task asks of a node. Tasks of equal needs and policies are placed
/// through one set of masks, whatever their services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Need {
    pub(crate) reserved: Reserved,
    /// How many of each kind of generic resources one task reserves.
    pub(crate) generic: Kinds,
    /// Kind and name of engine plugins.
    pub(crate) engine_plugins: Vec<(&'static str, String)>,
    /// Programs that drivers of its volumes run, which the node's admin has to allow.
    pub(crate) helpers: Vec<String>,
    /// Empty for anything.
    pub(crate) platforms: Vec<Platform>,
    /// The feature level of a swarmw that knows everything about it; 0 for any.
    pub(crate) level: u32,
    /// Whether the image is an uploaded component, which Wasm nodes alone run.
    pub(crate) component: bool,
    pub(crate) ports: Vec<Port>,
    /// The most tasks of a service on one node; 0 for no limit.
    pub(crate) max_replicas: u64,
    /// Of each volume of the cluster that not all nodes reach, the alternatives of
    /// labels that do.
    pub(crate) volumes: Vec<Vec<BTreeMap<String, String>>>,
}

/// Kinds of engine plugins, in the engine's words.
const VOLUME: &str = "Volume";
const LOG: &str = "Log";
/// Programs that a node's admin allows volume drivers to run.
const VOLUME_HELPER: &str = "VolumeHelper";

// === impl Need ===

impl Need {
    /// What a task of `spec` asks, with `ports` on its node.
    pub(crate) fn of(spec: &TaskSpec, ports: impl Iterator<Item = Port>, state: &State) -> Self {
        let (cpu, memory) = spec.reserved();
        let placement = spec.placement.as_ref();
        let (engine_plugins, helpers) = engine_plugins(spec, state);
        Self {
            reserved: Reserved { cpu, memory },
            generic: spec.reserved_generic(),
            engine_plugins,
            helpers,
            level: level(spec, state),
            platforms: placement.map_or_else(Vec::new, |p| p.platforms.clone()),
            component: ImageReference::parse(spec.image()).kind() == ImageKind::UploadedComponent,
            ports: ports.collect(),
            max_replicas: placement.map_or(0, |p| p.max_replicas),
            volumes: volumes(spec, state),
        }
    }

    /// Whether a node that runs `platforms` runs the image. Of an image that nobody
    /// has looked up all that is known is that it wants a container engine, which a
    /// node that runs Wasm alone does not have.
    pub(crate) fn runs_on(&self, platforms: &[Platform]) -> bool {
        let any = |image: &Platform| platforms.iter().any(|p| p.runs(image));
        if self.component {
            return any(&Platform::wasm());
        }
        match self.platforms.as_slice() {
            [] => platforms.is_empty() || platforms.iter().any(|p| *p != Platform::wasm()),
            built_for => built_for.iter().any(any),
        }
    }

    /// Whether an engine has the plugins. One that says nothing of itself passes,
    /// and so does, for logs, one that lists no log plugin at all.
    pub(crate) fn served_by(&self, engine: &EngineDescription) -> bool {
        is_silent(engine)
            || self.engine_plugins.iter().all(|(kind, name)| {
                let mut of_kind = engine.plugins.iter().filter(|p| p.kind == *kind).peekable();
                (*kind == LOG && of_kind.peek().is_none())
                    || of_kind.any(|p| p.name == *name || p.name == format!("{name}:latest"))
            })
    }

    /// Whether a node lets volume drivers run a program. One that says nothing of itself
    /// passes.
    pub(crate) fn allows(engine: &EngineDescription, helper: &str) -> bool {
        let allowed = |p: &EnginePlugin| p.kind == VOLUME_HELPER && p.name == helper;
        is_silent(engine) || engine.plugins.iter().any(allowed)
    }

    /// Whether the swarmw of a node knows everything about the task.
    pub(crate) fn is_known_to(&self, node: &Node) -> bool {
        node.description.feature_level >= self.level
    }

    /// What an older swarmw does not know of the task.
    pub(crate) fn news(&self) -> &'static str {
        match self.level {
            ..=NETWORKS_LEVEL => "networks",
            _ => "what its containers have of their nodes",
        }
    }

    /// Whether a node with these labels reaches the volumes.
    pub(crate) fn reached_from(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.volumes.iter().all(|any| any.iter().any(|all| all.iter().all(has)))
    }

    /// Whether the row has the CPU, the memory and the generic resources.
    pub(crate) fn has_resources(&self, usage: &Usage, row: Row) -> bool {
        let Reserved { cpu, memory } = self.reserved;
        (cpu == 0 || usage.free_cpu[row as usize] >= cpu)
            && (memory == 0 || usage.free_memory[row as usize] >= memory)
            && self.generic.iter().all(|(kind, count)| usage.free_of(row, kind) >= *count)
    }

    /// Whether the row's host ports are free.
    pub(crate) fn has_ports(&self, usage: &Usage, row: Row) -> bool {
        self.ports.is_empty() || !usage.ports[row as usize].iter().any(|p| self.ports.contains(p))
    }

    /// Whether the row, which has `count` tasks of the service, may have one more.
    pub(crate) fn has_place(&self, count: u32) -> bool {
        self.max_replicas == 0 || u64::from(count) < self.max_replicas
    }

    /// Whether the row, which has `count` tasks of the service, takes one more.
    pub(crate) fn has_room(&self, usage: &Usage, row: Row, count: u32) -> bool {
        self.has_resources(usage, row) && self.has_ports(usage, row) && self.has_place(count)
    }

    /// How many more tasks the row takes, of a service that has `count` there.
    pub(crate) fn room(&self, usage: &Usage, row: Row, count: u32) -> u32 {
        let each = |free: i64, one: i64| match one {
            0 => u64::MAX,
            _ => (free.max(0) / one) as u64,
        };
        let mut room = each(usage.free_cpu[row as usize], self.reserved.cpu)
            .min(each(usage.free_memory[row as usize], self.reserved.memory));
        for (kind, count) in &self.generic {
            room = room.min(each(usage.free_of(row, kind), *count));
        }
        if !self.ports.is_empty() {
            room = room.min(u64::from(self.has_ports(usage, row)));
        }
        if self.max_replicas > 0 {
            room = room.min(self.max_replicas.saturating_sub(u64::from(count)));
        }
        u32::try_from(room).unwrap_or(u32::MAX)
    }

    /// Whether each node takes any number of tasks.
    pub(crate) fn is_boundless(&self) -> bool {
        self.reserved == Reserved::default()
            && self.generic.is_empty()
            && self.ports.is_empty()
            && self.max_replicas == 0
    }
}

fn is_silent(engine: &EngineDescription) -> bool {
    engine.engine_version.is_empty() && engine.plugins.is_empty()
}

/// Of the volumes of the cluster that a spec names, those that not all nodes reach.
/// Names with templates in them are known on their node alone.
fn volumes(spec: &TaskSpec, state: &State) -> Vec<Vec<BTreeMap<String, String>>> {
    let mounts = spec.container_spec.iter().flat_map(|c| &c.mounts);
    let of_cluster = mounts.filter_map(|mount| {
        let volume = &state.volume_named(&mount.source)?.spec;
        let narrowed = !volume.reachable.is_empty() && volume.is_mounted_by(mount, &mount.source);
        narrowed.then(|| volume.reachable.clone())
    });
    of_cluster.collect()
}

/// Plugins that the node's engine must have: drivers of volumes that no component
/// of the cluster drives, and the log driver; and the programs that components which
/// do were granted.
fn engine_plugins(spec: &TaskSpec, state: &State) -> (Vec<(&'static str, String)>, Vec<String>) {
    let (mut needed, mut programs) = (Vec::new(), Vec::new());
    for mount in spec.container_spec.iter().flat_map(|c| &c.mounts) {
        let driver = mount.volume_options.as_ref().and_then(|v| v.driver_config.as_ref());
        if mount.kind != MountKind::Volume {
            continue;
        }
        let named = driver.map_or("", |driver| driver.name.as_str());
        let of_cluster = state.volume_named(&mount.source);
        let of_cluster = of_cluster.filter(|v| v.spec.is_mounted_by(mount, &mount.source));
        let named = of_cluster.map_or(named, |volume| &volume.spec.driver.name);
        match component(state, named) {
            _ if matches!(named, "" | "local") => {}
            None => needed.push((VOLUME, named.to_owned())),
            Some(plugin) => programs.extend(helpers(plugin)),
        }
    }
    if on_overlay(spec, state) {
        needed.push((NETWORK_PLUGIN, OVERLAY_DRIVER.to_owned()));
    }
    if let Some(log) = &spec.log_driver
        && !matches!(log.name.as_str(), "" | "none")
    {
        needed.push((LOG, log.name.clone()));
    }
    needed.sort();
    needed.dedup();
    programs.sort();
    programs.dedup();
    (needed, programs)
}

/// The feature level that a node must have to run a task as it is wanted.
fn level(spec: &TaskSpec, state: &State) -> u32 {
    if spec.options != ContainerOptions::default() {
        return HOST_ACCESS_LEVEL;
    }
    if on_overlay(spec, state) { NETWORKS_LEVEL } else { 0 }
}

/// Whether a task is on a network that the node's own driver joins containers to.
fn on_overlay(spec: &TaskSpec, state: &State) -> bool {
    spec.network_ids().any(|id| state.network(id).is_some_and(|network| network.is_overlay()))
}

/// The programs that a plugin was granted by name.
fn helpers(plugin: &Plugin) -> impl Iterator<Item = String> {
    plugin.release.granted.iter().filter_map(|power| match power {
        GrantRequest::Helper(name) if !name.contains('*') => Some(name.clone()),
        _ => None,
    })
}

/// The cluster's plugin that claims the name of a volume driver.
fn component<'a>(state: &'a State, driver: &str) -> Option<&'a Plugin> {
    let names = |claim: &PluginClaim| matches!(claim, PluginClaim::Name(name) if name == driver);
    state
        .plugins()
        .filter(|p| p.kind == PluginKind::VolumeDriver)
        .find(|p| p.release.metadata.claims.iter().any(names))
        .map(|plugin| &**plugin)
}
