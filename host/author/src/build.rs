//! `swarmw plugin build`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use swarmw_model::{OptionType, PluginClaim};
use swarmw_plugin_host::{COMPONENT, Inspected, LARGE_COMPONENT, inspect};

use crate::project::Project;
use crate::{Workbench, component, languages};

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
        let words = match &option.ty {
            OptionType::Choice(words) => format!("one of {}; ", words.join(", ")),
            _ => String::new(),
        };
        writeln!(out, "  option   {}: {} ({words}{default})", option.name, option.help)?;
    }
    for grant in &metadata.grants {
        writeln!(out, "  asks     {}: {}", grant.request, grant.reason)?;
    }
    writeln!(out, "  imports  swarmw:types/host alone")?;
    if built.bytes.len() > COMPONENT {
        let most = COMPONENT >> 20;
        writeln!(out, "  size     over {most} MiB: `plugin add` takes it with --allow-large")?;
    }
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

/// Builds the plugin of a folder: `NAME.wasm` in it.
///
/// # Errors
/// It does not build, or no cluster would take it; with what to do.
pub fn build(folder: &Path, bench: &Workbench) -> Result<Built> {
    let project = Project::find(folder)?;
    take(&project, &languages::component(&project)?, bench)
}

/// A component that is built, looked at as `plugin add` does. One that needs
/// `--allow-large` there is none the worse for it.
pub(crate) fn take(project: &Project, file: &Path, bench: &Workbench) -> Result<Built> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let inspected = inspect(&bytes, LARGE_COMPONENT, &bench.compiler(project))
        .map_err(|error| anyhow!(component::refused(&error, project.language())))?;
    Ok(Built { path: file.to_owned(), bytes: bytes.into(), inspected })
}
