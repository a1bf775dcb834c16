//! Hosts with plugins in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use swarmw_model::{Blob, Plugin, PluginId, PluginRelease};
use swarmw_plugin_host::{COMPONENT, Compiler, Inspected, PluginHost, builtin, inspect};

/// A folder that lives as long as the build's own.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Compiles in a child, as a daemon does. The cache outlives the test, so each
/// component is compiled once.
pub fn compiler() -> Compiler {
    let exe = std::env::current_exe().expect("the test's own binary");
    let before = ["--exact", "child::compiling_child"].map(Into::into).to_vec();
    Compiler::with_arguments(exe, before, scratch("compiled"), [1; 32])
}

/// Options of no plugin.
pub fn no_options() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// What the cluster's state holds of a component that was added.
pub fn added(bytes: &[u8]) -> (Plugin, Bytes) {
    let inspected = inspect(bytes, COMPONENT, &compiler()).expect("a plugin");
    let Inspected { kind, name, metadata, interface } = inspected;
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    let id = PluginId::from_bits(u128::from_str_radix(&hex[..24], 16).expect("digits"));
    let blob = Blob { digest: format!("sha256:{hex}"), size: bytes.len() as u64 };
    let granted = metadata.grants.iter().map(|grant| grant.request.clone()).collect();
    let release = PluginRelease { interface, granted, ..PluginRelease::new(blob, metadata) };
    let plugin = Plugin::new(id, name, kind, release);
    (plugin, Bytes::copy_from_slice(bytes))
}

/// A host with the built-in plugins and these guests.
pub fn host_with(guests: &[&str]) -> PluginHost {
    let host = PluginHost::new(compiler());
    let mut plugins: Vec<_> = builtin().iter().map(|b| added(b.bytes)).collect();
    plugins.extend(guests.iter().map(|name| added(&guest(name))));
    assert_eq!(host.set_plugins(plugins), []);
    host
}

/// A host with the built-in plugins.
pub fn host() -> PluginHost {
    host_with(&[])
}

/// A component of `tests/guests`.
pub fn guest(name: &str) -> Vec<u8> {
    std::fs::read(guest_path(name)).expect("a component")
}

/// The core module that the component of `tests/guests` was made of.
pub fn guest_module(name: &str) -> Vec<u8> {
    let path = guest_path(name).with_extension("").with_extension("wasm");
    std::fs::read(path).expect("a module")
}

fn guest_path(name: &str) -> PathBuf {
    static GUESTS: OnceLock<Vec<swarmw_guest_build::Guest>> = OnceLock::new();
    let guests = GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
        swarmw_guest_build::build_components(&workspace, &scratch("guests"))
    });
    guests.iter().find(|g| g.name == name).expect(name).path.clone()
}
