//! What managers and agents ask of volume drivers. They plan; the agent checks
//! each step against the plugin's grants and does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{NOT_YET, PluginKind, Problem};

use crate::bindings::VolumePlugin;
use crate::bindings::volume::exports::swarmw::volume::volume as wit;
use crate::engine::VOLUME_BUDGET;
use crate::host::PluginHost;
use crate::journal::one_line;
use crate::loaded::Call;
use crate::sandbox::Guest;
use crate::{convert, options};

pub use crate::options::size;
pub use wit::{
    Arg, DirectoryStep, EngineStep, HelperStep, ImageStep, Measure, MountStep, Node, Scope, Step,
    Value,
};

/// The most steps of one plan.
const STEPS_MAX: usize = 100;

/// A volume as an operator named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVolume {
    /// The driver, by a name that a plugin claims.
    pub driver: String,
    /// Unique per driver.
    pub name: String,
    /// `volume-opt`, as typed.
    pub options: BTreeMap<String, String>,
}

/// Why a volume driver gave no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeFailure {
    /// No plugin claims the driver's name: the engine's own plugins may.
    #[error("no plugin is called {driver}")]
    Unclaimed {
        /// As typed.
        driver: String,
    },
    /// The driver refuses what the operator typed.
    #[error("{}", problems.first().map_or("refused", |p| p.message.as_str()))]
    Refused {
        /// The plugin.
        plugin: Arc<str>,
        /// At least one.
        problems: Vec<Problem>,
    },
    /// The driver cannot do this.
    #[error("volume driver {plugin} cannot do this")]
    Unsupported {
        /// The plugin.
        plugin: Arc<str>,
    },
    /// Not now: try again.
    #[error("volume driver {plugin} asks to try again in {after_ms} ms")]
    Retry {
        /// The plugin.
        plugin: Arc<str>,
        /// When.
        after_ms: u32,
    },
    /// It failed, and says why.
    #[error("{message}")]
    Failed {
        /// For people.
        message: String,
    },
    /// It trapped, ran out of time or memory, or broke a rule.
    #[error("plugin {plugin}: {message}")]
    Broken {
        /// The plugin.
        plugin: Arc<str>,
        /// What went wrong.
        message: String,
    },
    /// It is not called.
    #[error("plugin {plugin} {why}")]
    NotCalled {
        /// The plugin.
        plugin: Arc<str>,
        /// Why, after its name: `is disabled: …`.
        why: String,
    },
    /// It is being compiled, and will be called then.
    #[error("plugin {plugin} {NOT_YET}")]
    NotYet {
        /// The plugin.
        plugin: Arc<str>,
    },
}

type Plan = Result<Vec<Step>, VolumeFailure>;
type Planned = wasmtime::Result<Result<Vec<Step>, wit::VolumeError>>;

impl PluginHost {
    /// Whether a plugin claims this driver.
    pub fn has_volume_driver(&self, driver: &str) -> bool {
        self.table().routes.name(PluginKind::VolumeDriver, driver).is_some()
    }

    /// Reads the options of a volume.
    ///
    /// # Errors
    /// When no plugin claims the driver, it refuses the options, or it fails.
    pub fn volume_check(&self, volume: &NamedVolume) -> Result<Scope, VolumeFailure> {
        self.volume_call(
            "check",
            volume,
            |plugin, store, vol| plugin.swarmw_volume_volume().call_check(store, vol),
            |_| Ok(()),
            |plugin, answer| {
                answer.map_err(|said| VolumeFailure::Refused {
                    plugin: Arc::clone(plugin),
                    problems: convert::problems(said),
                })
            },
        )
    }

    /// What to do once, before the first mount.
    ///
    /// # Errors
    /// As [`PluginHost::volume_check`], and what the driver says.
    pub fn volume_plan_create(&self, volume: &NamedVolume, node: &Node) -> Plan {
        self.volume_plan("plan-create", volume, |plugin, store, vol| {
            plugin.swarmw_volume_volume().call_plan_create(store, vol, node)
        })
    }

    /// What to do before the first task on the node that uses the volume.
    ///
    /// # Errors
    /// As [`PluginHost::volume_plan_create`].
    pub fn volume_plan_mount(&self, volume: &NamedVolume, node: &Node, read_only: bool) -> Plan {
        self.volume_plan("plan-mount", volume, |plugin, store, vol| {
            plugin.swarmw_volume_volume().call_plan_mount(store, vol, node, read_only)
        })
    }

    /// What to do at `volume rm`.
    ///
    /// # Errors
    /// As [`PluginHost::volume_plan_create`].
    pub fn volume_plan_remove(&self, volume: &NamedVolume, node: &Node) -> Plan {
        self.volume_plan("plan-remove", volume, |plugin, store, vol| {
            plugin.swarmw_volume_volume().call_plan_remove(store, vol, node)
        })
    }

    /// What to do to grow a volume to `size` bytes.
    ///
    /// # Errors
    /// As [`PluginHost::volume_plan_create`].
    pub fn volume_expand(&self, volume: &NamedVolume, node: &Node, size: u64) -> Plan {
        self.volume_plan("expand", volume, |plugin, store, vol| {
            plugin.swarmw_volume_volume().call_expand(store, vol, node, size)
        })
    }

    /// How the bytes used are found.
    ///
    /// # Errors
    /// As [`PluginHost::volume_check`].
    pub fn volume_usage(
        &self,
        volume: &NamedVolume,
        node: &Node,
    ) -> Result<Measure, VolumeFailure> {
        self.volume_call(
            "usage",
            volume,
            |plugin, store, vol| plugin.swarmw_volume_volume().call_usage(store, vol, node),
            |_| Ok(()),
            |_, measure| Ok(measure),
        )
    }

    fn volume_plan(
        &self,
        name: &'static str,
        volume: &NamedVolume,
        call: impl FnOnce(&VolumePlugin, &mut wasmtime::Store<Guest>, &wit::Volume) -> Planned,
    ) -> Plan {
        let check = |answer: &Result<Vec<Step>, _>| match answer {
            Ok(steps) if steps.len() > STEPS_MAX => {
                Err(format!("planned {} steps; at most {STEPS_MAX}", steps.len()))
            }
            _ => Ok(()),
        };
        self.volume_call(name, volume, call, check, |plugin, answer| {
            answer.map_err(|error| failure(plugin, error))
        })
    }

    fn volume_call<A, T>(
        &self,
        name: &'static str,
        volume: &NamedVolume,
        call: impl FnOnce(
            &VolumePlugin,
            &mut wasmtime::Store<Guest>,
            &wit::Volume,
        ) -> wasmtime::Result<A>,
        check: impl FnOnce(&A) -> Result<(), String>,
        read: impl FnOnce(&Arc<str>, A) -> Result<T, VolumeFailure>,
    ) -> Result<T, VolumeFailure> {
        let table = self.table();
        let loaded = table
            .routes
            .name(PluginKind::VolumeDriver, &volume.driver)
            .ok_or_else(|| VolumeFailure::Unclaimed { driver: volume.driver.clone() })?;
        let typed = volume.options.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let options =
            options::parse(&loaded.plugin.release.metadata.options, &typed.collect()).map_err(
                |problems| VolumeFailure::Refused { plugin: Arc::clone(&loaded.name), problems },
            )?;
        let vol = wit::Volume { driver: volume.driver.clone(), name: volume.name.clone(), options };
        let answer = loaded
            .call(
                &self.shared.runtime,
                Call {
                    name,
                    question: self.question((&volume.driver, &volume.name, &volume.options)),
                    budget: VOLUME_BUDGET,
                },
                |plugin, store| call(plugin, store, &vol),
                check,
            )
            .map_err(|why| why.of_volume(&loaded.name))?;
        read(&loaded.name, answer)
    }
}

fn failure(plugin: &Arc<str>, error: wit::VolumeError) -> VolumeFailure {
    let plugin = Arc::clone(plugin);
    match error {
        wit::VolumeError::Invalid(said) => {
            VolumeFailure::Refused { plugin, problems: convert::problems(said) }
        }
        wit::VolumeError::Unsupported => VolumeFailure::Unsupported { plugin },
        wit::VolumeError::Retry(after_ms) => VolumeFailure::Retry { plugin, after_ms },
        wit::VolumeError::Failed(said) => VolumeFailure::Failed { message: one_line(&said) },
    }
}
