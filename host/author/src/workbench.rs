//! Where components are compiled and hosted.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use swarmw_model::{Plugin, PluginId, Time};
use swarmw_plugin_host::{COMPONENT, Compiler, Inspected, PluginHost, builtin, inspect};

use crate::Built;
use crate::project::Project;

/// The key of the cache's MACs: an author trusts the folder of the own plugin.
const KEY: [u8; 32] = [0; 32];

/// How this process compiles components: in a child of its own binary, under the
/// limits of a cluster's nodes.
#[derive(Clone, Debug)]
pub struct Workbench {
    exe: PathBuf,
    before: Vec<OsString>,
}

impl Workbench {
    /// Compiles by running `exe BEFORE… compile-component …`.
    pub fn new(exe: PathBuf, before: Vec<OsString>) -> Self {
        Self { exe, before }
    }

    /// A compiler that keeps its results in the plugin's folder.
    pub(crate) fn compiler(&self, project: &Project) -> Compiler {
        let cache = project.scratch().join("compiled");
        Compiler::with_arguments(self.exe.clone(), self.before.clone(), cache, KEY)
    }

    /// A host with the built-in plugins and this one.
    pub(crate) fn host(&self, project: &Project, built: &Built) -> Result<PluginHost> {
        let compiler = self.compiler(project);
        let host = PluginHost::new(compiler.clone());
        let mut plugins = vec![(record(&built.inspected, &built.bytes)?, built.bytes.clone())];
        for component in builtin() {
            let inspected = inspect(component.bytes, COMPONENT, &compiler)?;
            let record = record(&inspected, component.bytes)?;
            // A plugin may take over what a built-in one does.
            if record.name != built.inspected.name {
                plugins.push((record, Bytes::from_static(component.bytes)));
            }
        }
        host_of(&host, plugins)?;
        Ok(host)
    }

    /// A host with this plugin alone, and a fresh instance of it.
    pub(crate) fn host_alone(&self, project: &Project, built: &Built) -> Result<PluginHost> {
        let host = PluginHost::new(self.compiler(project));
        host_of(&host, vec![(record(&built.inspected, &built.bytes)?, built.bytes.clone())])?;
        Ok(host)
    }
}

fn host_of(host: &PluginHost, plugins: Vec<(Plugin, Bytes)>) -> Result<()> {
    match host.set_plugins(plugins).into_iter().next() {
        Some((plugin, why)) => bail!("{plugin} does not load: {why}"),
        None => Ok(()),
    }
}

/// What a cluster's state would hold of a component whose every power was granted.
fn record(inspected: &Inspected, bytes: &[u8]) -> Result<Plugin> {
    let digest = digest_of(bytes);
    let id = u128::from_str_radix(&digest["sha256:".len()..][..24], 16)?;
    let record = json!({
        "ID": PluginId::from_bits(id), "Version": {"Index": 1},
        "CreatedAt": Time::ZERO, "UpdatedAt": Time::ZERO,
        "Name": inspected.name, "Kind": inspected.kind,
        "Blob": {"Digest": digest, "Size": bytes.len()},
        "Metadata": inspected.metadata, "Interface": inspected.interface,
        "Granted": inspected.metadata.grants.iter().map(|g| &g.request).collect::<Vec<_>>(),
    });
    Ok(serde_json::from_value(record)?)
}

/// `sha256:` and the digits.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
