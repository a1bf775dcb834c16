//! The versions of our interface that components may be built for, and how each is
//! spoken to. The rest of the host knows the newest alone; what is older has an
//! adapter here, which translates its types.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod v0_0;
mod v0_1;

use std::fmt;
use std::str::FromStr;

use swarmw_model::{PluginKind, PluginMetadata};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

use crate::bindings::constraint::exports::swarmw::constraint::constraint as wit_c;
use crate::bindings::types::{OptionEntry, Problem, Tuples};
use crate::bindings::{self, AnyPlugin, PreferencePlugin, UpdatePlugin, VolumePlugin};
use crate::convert;
use crate::sandbox::{Exports, Guest};

/// A minor version of the interface. Each is kept for at least four more, or for 18
/// months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Minor {
    /// Made up, to prove that an older one goes on working.
    #[cfg(test)]
    V0_0,
    /// The first.
    V0_1,
}

/// The versions that are spoken, newest first.
const SPOKEN: &[Minor] = &[
    Minor::V0_1,
    #[cfg(test)]
    Minor::V0_0,
];

/// The interface that makes a component a plugin of a kind.
const KINDS: [(&str, PluginKind); 4] = [
    ("swarmw:constraint/constraint", PluginKind::Constraint),
    ("swarmw:preference/preference", PluginKind::Preference),
    ("swarmw:update/update", PluginKind::UpdatePolicy),
    ("swarmw:volume/volume", PluginKind::VolumeDriver),
];

/// Interfaces that a plugin may import, of any version that is spoken.
const IMPORTS: [&str; 2] = ["swarmw:types/host", "swarmw:types/types"];

/// What to do with a component that imports WASI.
const FOR_WASI: &str = ": it was built for a WASI target; `swarmw plugin build` builds plugins \
                        without one";

/// Why a component's imports and exports make no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlugin {
    /// It was built for a version of the interface that is not spoken here.
    #[error(
        "the component was built for version {found} of the plugin interface ({name}); \
         this swarmw speaks {}: build it with an SDK of that version, or use a swarmw \
         that speaks {found}",
        spoken()
    )]
    Version {
        /// The interface as it names it.
        name: String,
        /// Its minor version.
        found: String,
    },
    /// It wants more than a plugin may have.
    #[error(
        "the component imports {}; a plugin may import {} only{}",
        imports.join(", "),
        IMPORTS.map(|name| format!("{name}@{}.0", SPOKEN[0])).join(" and "),
        if imports.iter().any(|name| name.starts_with("wasi:")) { FOR_WASI } else { "" }
    )]
    Imports {
        /// What it may not import.
        imports: Vec<String>,
    },
    /// It is none of the four kinds, or several.
    #[error(
        "the component exports {}; a plugin exports swarmw:types/plugin@{}.0 and one of {}",
        if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") },
        SPOKEN[0],
        KINDS.map(|(name, _)| format!("{name}@{}.0", SPOKEN[0])).join(", ")
    )]
    Exports {
        /// What it exports.
        exports: Vec<String>,
    },
}

fn spoken() -> String {
    let versions: Vec<_> = SPOKEN.iter().map(ToString::to_string).collect();
    versions.join(" and ")
}

/// What a component is by its imports and exports alone. One built for several
/// versions is taken by the newest that is spoken.
pub fn recognise(engine: &Engine, component: &Component) -> Result<(PluginKind, Minor), NoPlugin> {
    let ty = component.component_type();
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
    check_authority(&imports)?;
    let found = kind(&exports)?;
    check_versions(&imports)?;
    Ok(found)
}

fn kind(exports: &[String]) -> Result<(PluginKind, Minor), NoPlugin> {
    let mut offered: Vec<(PluginKind, &str, &str)> = Vec::new();
    for export in exports {
        let Some((name, version)) = export.split_once('@') else { continue };
        if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) {
            offered.push((*kind, export, version));
        }
    }
    let several = offered.iter().any(|(kind, ..)| *kind != offered[0].0);
    let Some((kind, name, version)) = offered.first().copied().filter(|_| !several) else {
        return Err(NoPlugin::Exports { exports: exports.to_vec() });
    };
    let minors = offered.iter().filter_map(|(_, _, version)| version.parse().ok());
    match minors.max() {
        Some(minor) => Ok((kind, minor)),
        None => Err(not_spoken(name, version)),
    }
}

/// Whatever else it is, it may not want more than a plugin may have.
fn check_authority(imports: &[String]) -> Result<(), NoPlugin> {
    let ours = |import: &&String| IMPORTS.contains(&versioned(import).0);
    let imports: Vec<_> = imports.iter().filter(|import| !ours(import)).cloned().collect();
    if imports.is_empty() { Ok(()) } else { Err(NoPlugin::Imports { imports }) }
}

fn check_versions(imports: &[String]) -> Result<(), NoPlugin> {
    let other = imports.iter().find(|import| versioned(import).1.parse::<Minor>().is_err());
    other.map_or(Ok(()), |import| Err(not_spoken(import, versioned(import).1)))
}

fn versioned(interface: &str) -> (&str, &str) {
    interface.split_once('@').unwrap_or((interface, ""))
}

fn not_spoken(name: &str, version: &str) -> NoPlugin {
    let minor: Vec<&str> = version.splitn(3, '.').take(2).collect();
    NoPlugin::Version { name: name.to_owned(), found: minor.join(".") }
}

/// A linker with all that plugins of any version may import.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    bindings::host::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    #[cfg(test)]
    v0_0::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// What a component says of itself: its name, and the rest.
pub fn describe(
    minor: Minor,
    store: &mut Store<Guest>,
    component: &Component,
    linker: &Linker<Guest>,
) -> wasmtime::Result<(String, PluginMetadata)> {
    match minor {
        #[cfg(test)]
        Minor::V0_0 => v0_0::describe(store, component, linker),
        Minor::V0_1 => {
            let plugin = AnyPlugin::instantiate(&mut *store, component, linker)?;
            plugin.swarmw_types_plugin().call_describe(store).map(convert::metadata)
        }
    }
}

/// Instantiates a component as a plugin of a kind, behind the newest version's types.
pub fn instantiate(
    kind: PluginKind,
    minor: Minor,
    store: &mut Store<Guest>,
    component: &Component,
    linker: &Linker<Guest>,
) -> wasmtime::Result<Exports> {
    Ok(match (kind, minor) {
        (PluginKind::Constraint, Minor::V0_1) => {
            let plugin = bindings::ConstraintPlugin::instantiate(store, component, linker)?;
            Exports::Constraint(Box::new(plugin))
        }
        (PluginKind::Preference, Minor::V0_1) => {
            Exports::Preference(PreferencePlugin::instantiate(store, component, linker)?)
        }
        (PluginKind::UpdatePolicy, Minor::V0_1) => {
            Exports::Update(UpdatePlugin::instantiate(store, component, linker)?)
        }
        (PluginKind::VolumeDriver, Minor::V0_1) => {
            Exports::Volume(VolumePlugin::instantiate(store, component, linker)?)
        }
        #[cfg(test)]
        (PluginKind::Constraint, Minor::V0_0) => {
            Exports::Constraint(v0_0::constraint(store, component, linker)?)
        }
        #[cfg(test)]
        (kind, Minor::V0_0) => wasmtime::bail!("interface 0.0 has no {kind}"),
    })
}

/// The exports of a constraint, whatever version it was built for.
pub type AnyConstraint = dyn ConstraintCalls;

/// What a constraint is called for; see `wit/deps/constraint`.
pub trait ConstraintCalls: Send {
    /// See `compile` there.
    fn compile(
        &self,
        store: &mut Store<Guest>,
        expression: &str,
        options: &[OptionEntry],
    ) -> wasmtime::Result<Result<wit_c::CompiledInfo, Vec<Problem>>>;

    /// See `test` there.
    fn test(
        &self,
        store: &mut Store<Guest>,
        expression: &str,
        options: &[OptionEntry],
        batch: &Tuples,
    ) -> wasmtime::Result<Vec<bool>>;
}

// === impl Minor ===

/// Of a version in full or in short: `0.1.7` is 0.1.
impl FromStr for Minor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let short = |minor: &&Minor| {
            let name = minor.to_string();
            text == name || text.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
        };
        SPOKEN.iter().find(short).copied().ok_or(())
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(test)]
            Self::V0_0 => "0.0",
            Self::V0_1 => "0.1",
        })
    }
}
