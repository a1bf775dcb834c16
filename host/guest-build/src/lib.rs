//! Builds components from a cargo workspace of guests: a nested cargo, then, for
//! plugins, the step from core module to component, in process.
//!
//! Meant for build scripts and tests: everything that can go wrong panics with
//! what to do about it.

mod cargo;
mod component;

use std::path::{Path, PathBuf};

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its folder's name in the workspace.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
}

/// Interfaces that a plugin may import: the log, and types.
pub const PLUGIN_IMPORTS: [&str; 2] = ["swarmw:types/host@0.1.0", "swarmw:types/types@0.1.0"];

/// Builds every member of a workspace of plugins and makes components of them.
///
/// # Panics
/// When the target is missing and rustup cannot add it, when the build fails, or
/// when a component would import more than [`PLUGIN_IMPORTS`].
pub fn build_plugins(workspace: &Path, target_dir: &Path) -> Vec<Guest> {
    let built = build_components(workspace, target_dir);
    built.iter().for_each(component::check_imports);
    built
}

/// As [`build_plugins`], whatever the components import: for tests of refusals.
///
/// # Panics
/// When the target is missing and rustup cannot add it, or the build fails.
pub fn build_components(workspace: &Path, target_dir: &Path) -> Vec<Guest> {
    let built = cargo::build(workspace, target_dir, "wasm32-unknown-unknown");
    built.into_iter().map(component::encode).collect()
}

/// Makes a component of a core module in memory: for tests that change one.
///
/// # Panics
/// When it is no module of a guest, or names what its world has not.
pub fn component_of(module: &[u8]) -> Vec<u8> {
    component::of(module).unwrap_or_else(|error| panic!("the module is no component: {error}"))
}

/// Builds every member of a workspace of Wasm tasks; `wasm32-wasip2` makes
/// components by itself.
///
/// # Panics
/// As [`build_plugins`].
pub fn build_tasks(workspace: &Path, target_dir: &Path) -> Vec<Guest> {
    cargo::build(workspace, target_dir, "wasm32-wasip2")
}

/// A target folder beside that of the build script which calls: the outer build
/// never waits for the inner one's lock, nor the inner for the outer's.
///
/// # Panics
/// Outside of a build script.
pub fn nested_target_dir() -> PathBuf {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("run by cargo as a build script"));
    // target/PROFILE/build/PACKAGE-HASH/out
    out.ancestors().nth(4).expect("OUT_DIR lies in a target folder").join("guests")
}

/// Tells cargo to run the build script again when a source of the guests changes:
/// manifests, lock files and sources, never build products. Cargo looks into a
/// folder that it is given, so only folders without products are.
///
/// # Panics
/// When a folder cannot be read.
pub fn rerun_if_changed(folders: &[&Path]) {
    for folder in folders {
        watch(folder);
    }
}

fn watch(folder: &Path) {
    if folder.ends_with("src") || folder.ends_with("wit") {
        println!("cargo::rerun-if-changed={}", folder.display());
        return;
    }
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder's entry").path();
        if path.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
        } else if !path.ends_with("target") {
            watch(&path);
        }
    }
}
