//! `swarmw plugin build`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use swarmw_model::PluginClaim;
use swarmw_plugin_host::{COMPONENT, Inspected, inspect};

use crate::project::{Builder, Project};
use crate::{Workbench, component, javascript, toolchain};

/// `plugin build`
#[derive(clap::Args, Clone, Debug)]
pub struct BuildArgs {
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
}

/// A component that a cluster would take.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where it was written.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Bytes,
    /// What the host says of it.
    pub inspected: Inspected,
}

pub(crate) fn run(args: &BuildArgs, bench: &Workbench, out: &mut dyn Write) -> Result<()> {
    let started = Instant::now();
    let project = Project::find(&args.folder)?;
    let built = build(&project.folder, bench)?;
    writeln!(out, "{}", summary(&built))?;
    let Inspected { metadata, .. } = &built.inspected;
    let claims: Vec<String> = metadata.claims.iter().map(PluginClaim::to_string).collect();
    writeln!(out, "  claims   {}", claims.join(", "))?;
    for option in &metadata.options {
        let default = match &option.default {
            Some(text) => format!("default {text}"),
            None if option.required => "required".to_owned(),
            None => "may be left out".to_owned(),
        };
        writeln!(out, "  option   {}: {} ({default})", option.name, option.help)?;
    }
    for grant in &metadata.grants {
        writeln!(out, "  asks     {:?}: {}", grant.request, grant.reason)?;
    }
    writeln!(out, "  imports  swarmw:types/host alone")?;
    writeln!(out, "  digest   {}", crate::workbench::digest_of(&built.bytes))?;
    writeln!(out, "built in {:.1} s", started.elapsed().as_secs_f64())?;
    Ok(())
}

/// `FILE  58 KB  constraint me/near 0.1.0`.
pub(crate) fn summary(built: &Built) -> String {
    let name = built.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let Inspected { kind, name: plugin, metadata, .. } = &built.inspected;
    let size = built.bytes.len().div_ceil(1_000);
    format!("{name}  {size} KB  {kind} {plugin} {}", metadata.version)
}

/// Builds the plugin of a folder: `NAME.wasm` beside its Cargo.toml.
///
/// # Errors
/// It does not build, or no cluster would take it; with what to do.
pub fn build(folder: &Path, bench: &Workbench) -> Result<Built> {
    let project = Project::find(folder)?;
    if project.builder() == Builder::Jco {
        let path = javascript::component(&project)?;
        return take(&project, &path, bench);
    }
    let module = toolchain::module(&project)?;
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let bytes = component::encode(&bytes)?;
    let name = module.file_name().context("a module has a name")?;
    let built = checked(&project, project.folder.join(name), bytes, bench)?;
    let shown = built.path.display();
    fs::write(&built.path, &built.bytes).with_context(|| format!("cannot write {shown}"))?;
    Ok(built)
}

/// A component that was built by other means.
pub(crate) fn take(project: &Project, file: &Path, bench: &Workbench) -> Result<Built> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    checked(project, file.to_owned(), bytes, bench)
}

/// Looks at a component as `plugin add` does.
fn checked(project: &Project, path: PathBuf, bytes: Vec<u8>, bench: &Workbench) -> Result<Built> {
    let inspected = inspect(&bytes, COMPONENT, &bench.compiler(project))
        .map_err(|error| anyhow!(component::refused(&error)))?;
    Ok(Built { path, bytes: bytes.into(), inspected })
}
