//! `swarmw plugin publish`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use swarmw_model::PluginClaim;
use swarmw_registry::{Artifact, Registries};

use crate::project::Project;
use crate::{Workbench, build};

/// `plugin publish`
#[derive(clap::Args, Clone, Debug)]
pub struct PublishArgs {
    /// Speak plain HTTP with this registry; those on loopback are spoken to so anyway
    #[arg(long = "insecure-registry", value_name = "HOST:PORT")]
    insecure: Vec<String>,
    /// Where to, such as ghcr.io/me/spread-az:0.1.0
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn run(args: &PublishArgs, bench: &Workbench, out: &mut dyn Write) -> Result<()> {
    let project = Project::find(&args.folder)?;
    let built = build::build(&project.folder, bench)?;
    writeln!(out, "{}", build::summary(&built))?;
    let credentials = swarmw_registry::Credentials::of_docker(&args.reference)?;
    let artifact = Artifact {
        bytes: built.bytes.clone(),
        exports: exports(&built),
        annotations: annotations(&built),
    };
    let registries = Registries::new(args.insecure.iter().cloned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network")?;
    let pushed = runtime.block_on(registries.push(&args.reference, &artifact, &credentials))?;
    writeln!(out, "pushed to {}\n  swarmw plugin add {}", args.reference, pushed.pinned)?;
    Ok(())
}

/// The interfaces of its kind.
fn exports(built: &build::Built) -> Vec<String> {
    use swarmw_model::PluginKind::*;
    let own = match built.inspected.kind {
        Constraint => "swarmw:constraint/constraint@0.1.0",
        Preference => "swarmw:preference/preference@0.1.0",
        UpdatePolicy => "swarmw:update/update@0.1.0",
        VolumeDriver => "swarmw:volume/volume@0.1.0",
    };
    vec!["swarmw:types/plugin@0.1.0".to_owned(), own.to_owned()]
}

/// What the plugin says of itself, for people and tools that look at a registry.
fn annotations(built: &build::Built) -> BTreeMap<String, String> {
    let inspected = &built.inspected;
    let claims: Vec<String> =
        inspected.metadata.claims.iter().map(PluginClaim::to_string).collect();
    [
        ("org.opencontainers.image.title", inspected.name.clone()),
        ("org.opencontainers.image.version", inspected.metadata.version.clone()),
        ("org.opencontainers.image.description", inspected.metadata.summary.clone()),
        ("dev.swarmw.kind", inspected.kind.to_string()),
        ("dev.swarmw.claims", claims.join(", ")),
        ("dev.swarmw.interface", "0.1".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
