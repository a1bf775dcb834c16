//! What a task asks of a node, besides what policies say.

use swarmw_model::{
    EngineDescription, ImageKind, ImageReference, MountKind, Platform, PluginClaim, PluginKind,
    TaskSpec,
};
use swarmw_state::State;

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
/// through one set of masks and queues, whatever their services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Need {
    pub(crate) reserved: Reserved,
    /// Kind and name of engine plugins.
    pub(crate) engine_plugins: Vec<(&'static str, String)>,
    /// Empty for anything.
    pub(crate) platforms: Vec<Platform>,
    /// Whether the image is an uploaded component, which Wasm nodes alone run.
    pub(crate) component: bool,
    pub(crate) ports: Vec<Port>,
    /// The most tasks of a service on one node; 0 for no limit.
    pub(crate) max_replicas: u64,
}

/// Kinds of engine plugins, in the engine's words.
const VOLUME: &str = "Volume";
const LOG: &str = "Log";

// === impl Need ===

impl Need {
    /// What a task of `spec` asks, with `ports` on its node.
    pub(crate) fn of(spec: &TaskSpec, ports: impl Iterator<Item = Port>, state: &State) -> Self {
        let (cpu, memory) = spec.reserved();
        let placement = spec.placement.as_ref();
        Self {
            reserved: Reserved { cpu, memory },
            engine_plugins: engine_plugins(spec, state),
            platforms: placement.map_or_else(Vec::new, |p| p.platforms.clone()),
            component: ImageReference::parse(spec.image()).kind() == ImageKind::UploadedComponent,
            ports: ports.collect(),
            max_replicas: placement.map_or(0, |p| p.max_replicas),
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
        let silent = engine.engine_version.is_empty() && engine.plugins.is_empty();
        silent
            || self.engine_plugins.iter().all(|(kind, name)| {
                let mut of_kind = engine.plugins.iter().filter(|p| p.kind == *kind).peekable();
                (*kind == LOG && of_kind.peek().is_none())
                    || of_kind.any(|p| p.name == *name || p.name == format!("{name}:latest"))
            })
    }

    /// Whether the row has the CPU and memory.
    pub(crate) fn has_resources(&self, usage: &Usage, row: Row) -> bool {
        let Reserved { cpu, memory } = self.reserved;
        (cpu == 0 || usage.free_cpu[row as usize] >= cpu)
            && (memory == 0 || usage.free_memory[row as usize] >= memory)
    }

    /// Whether the row's host ports are free.
    pub(crate) fn has_ports(&self, usage: &Usage, row: Row) -> bool {
        self.ports.is_empty() || !usage.ports[row as usize].iter().any(|p| self.ports.contains(p))
    }

    /// Whether the row, which has `count` tasks of the service, may have one more.
    pub(crate) fn has_place(&self, count: u32) -> bool {
        self.max_replicas == 0 || u64::from(count) < self.max_replicas
    }

    /// How many more tasks the row takes, of a service that has `count` there.
    pub(crate) fn room(&self, usage: &Usage, row: Row, count: u32) -> u32 {
        let each = |free: i64, one: i64| match one {
            0 => u64::MAX,
            _ => (free.max(0) / one) as u64,
        };
        let mut room = each(usage.free_cpu[row as usize], self.reserved.cpu)
            .min(each(usage.free_memory[row as usize], self.reserved.memory));
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
        self.reserved == Reserved::default() && self.ports.is_empty() && self.max_replicas == 0
    }
}

/// Plugins that the node's engine must have: drivers of volumes that no component
/// of the cluster drives, and the log driver.
fn engine_plugins(spec: &TaskSpec, state: &State) -> Vec<(&'static str, String)> {
    let mut needed = Vec::new();
    for mount in spec.container_spec.iter().flat_map(|c| &c.mounts) {
        let driver = mount.volume_options.as_ref().and_then(|v| v.driver_config.as_ref());
        if let Some(driver) = driver.filter(|_| mount.kind == MountKind::Volume)
            && !matches!(driver.name.as_str(), "" | "local")
            && !is_component(state, &driver.name)
        {
            needed.push((VOLUME, driver.name.clone()));
        }
    }
    if let Some(log) = &spec.log_driver
        && !matches!(log.name.as_str(), "" | "none")
    {
        needed.push((LOG, log.name.clone()));
    }
    needed.sort();
    needed.dedup();
    needed
}

/// Whether a volume driver of the cluster's plugins claims the name.
fn is_component(state: &State, driver: &str) -> bool {
    let names = |claim: &PluginClaim| matches!(claim, PluginClaim::Name(name) if name == driver);
    state
        .plugins()
        .filter(|p| p.kind == PluginKind::VolumeDriver)
        .any(|p| p.release.metadata.claims.iter().any(names))
}
