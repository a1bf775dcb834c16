//! `swarmw plugin publish`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use swarmw_model::{ImageReference, PluginClaim};
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
    check_reference(&args.reference)?;
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

/// A name without a host would go to Docker's hub, which nobody means.
fn check_reference(text: &str) -> Result<()> {
    let reference = ImageReference::parse(text);
    let (host, rest) = text.split_once('/').unwrap_or((text, ""));
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let why = if rest.is_empty() || !is_host {
        "it names no registry"
    } else if !reference.is_valid() {
        "it is not in small letters, digits and ._-/, with a tag after the colon"
    } else if reference.digest.is_some() {
        "a digest comes with what is pushed, and cannot be asked for"
    } else {
        return Ok(());
    };
    bail!("cannot publish to '{text}': {why}; try ghcr.io/acme/spread-az:0.1.0")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_a_registry_is_published_to() {
        for (text, told) in [
            ("ghcr.io/acme/near:0.1.0", ""),
            ("localhost:5000/near", ""),
            ("nonsense", "it names no registry"),
            ("acme/near:0.1.0", "it names no registry"),
            ("ghcr.io/", "it names no registry"),
            ("ghcr.io/Acme/near:0.1.0", "small letters"),
            ("ghcr.io/acme/near:0.1.0 ", "small letters"),
        ] {
            match (check_reference(text), told) {
                (Ok(()), "") => {}
                (Err(error), told) if !told.is_empty() => {
                    let error = error.to_string();
                    assert!(error.contains(told) && error.contains("try ghcr.io/"), "{error}");
                }
                (checked, _) => panic!("{text}: {checked:?}"),
            }
        }
    }
}
