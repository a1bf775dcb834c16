//! `stack deploy`: networks, then secrets and configs, then services, each behind those
//! that it depends on. What is there already is updated, and only where it must be.

use std::collections::BTreeSet;

use serde_json::Value;
use swarmw_compose::{Loaded, NetworkRequest, Stack};
use swarmw_model::DataSpec;

use super::files::{self, FileFlags};
use super::services::{Deployer, Resolve};
use super::{check_name, of_stack, remove};
use crate::client::{Client, segment};
use crate::config::CONFIG;
use crate::data::Kind;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;
use crate::progress;
use crate::secret::SECRET;

pub(super) const NOT_A_MANAGER: &str = "this node is not a swarm manager. Use \"swarmw swarm init\" or \
     \"swarmw swarm join\" to connect this node to swarm and try again";
const DETACHED: &str = "Since --detach=false was not specified, tasks will be created in the background.\n\
     In a future release, --detach=false will become the default.";

/// `stack deploy`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct DeployArgs {
    #[command(flatten)]
    files: FileFlags,
    /// Exit immediately instead of waiting for the stack services to converge (default true)
    #[arg(short, long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    detach: Option<bool>,
    /// Prune services that are no longer referenced
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    prune: bool,
    /// Suppress progress output
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    quiet: bool,
    /// Query the registry to resolve image digest and supported platforms ("always",
    /// "changed", "never")
    #[arg(long, value_name = "string", default_value = "always")]
    resolve_image: String,
    /// Send registry authentication details to Swarm agents
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    with_registry_auth: bool,
    /// Its name
    #[arg(value_name = "STACK")]
    stack: String,
}

pub(super) async fn run(client: &Client, args: DeployArgs, io: &mut Io) -> Result<(), Failure> {
    check_name(&args.stack)?;
    let loaded = files::load(&args.files, Some(&args.stack), true)?;
    tell(&loaded, io)?;
    let resolve = Resolve::read(&args.resolve_image)?;
    if args.detach.is_none() {
        io.warn(DETACHED)?;
    }
    if !client.info().await?.swarm.control_available {
        return Err(Failure::new(NOT_A_MANAGER));
    }
    // All that can be wrong with the files is known before anything is changed.
    let stack = Stack::new(&loaded.project, &args.stack, &|path| std::fs::read(path))
        .map_err(|troubles| Failure::new(troubles.to_string()))?;
    if args.prune {
        prune(client, &stack, io).await?;
    }
    make_networks(client, &stack, io).await?;
    for (kind, specs) in [(&SECRET, &stack.secrets), (&CONFIG, &stack.configs)] {
        for spec in specs {
            make_data(client, kind, spec, io).await?;
        }
    }
    let deployer = Deployer { client, resolve, sends_auth: args.with_registry_auth };
    let ids = deployer.deploy(stack, io).await?;
    if args.detach.unwrap_or(true) {
        return Ok(());
    }
    let mut failed = Vec::new();
    for id in ids {
        match progress::wait(client, &id, args.quiet, io).await {
            Err(Failure::Output(error)) => return Err(error.into()),
            Err(error) => failed.push(Failure::new(format!("{id}: {error}"))),
            Ok(()) => {}
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

/// What of the files was read and goes nowhere.
pub(super) fn tell(loaded: &Loaded, io: &mut Io) -> Result<(), Failure> {
    for warning in &loaded.warnings {
        io.warn(warning)?;
    }
    if !loaded.unsupported.is_empty() {
        let names: Vec<_> = loaded.unsupported.iter().map(String::as_str).collect();
        io.warn(format!("Ignoring unsupported options: {}\n", names.join(", ")))?;
    }
    if !loaded.deprecated.is_empty() {
        let lines: Vec<_> =
            loaded.deprecated.iter().map(|(key, why)| format!("{key}: {why}")).collect();
        io.warn(format!("Ignoring deprecated options:\n\n{}\n", lines.join("\n\n")))?;
    }
    Ok(())
}

/// Removes the services that the files no longer have; one that cannot be removed is
/// told of, and does not hold up the others.
async fn prune(client: &Client, stack: &Stack, io: &mut Io) -> Result<(), Failure> {
    let wanted: BTreeSet<&str> =
        stack.services.iter().map(|service| service.spec.name.as_str()).collect();
    let mut services = client.services(&of_stack(&stack.namespace)).await?;
    services.retain(|service| !wanted.contains(service.spec.name.as_str()));
    remove::remove_services(client, services, io).await?;
    Ok(())
}

async fn make_networks(client: &Client, stack: &Stack, io: &mut Io) -> Result<(), Failure> {
    for name in &stack.external_networks {
        check_external(client, name).await?;
    }
    let there = remove::list(client, "/networks", &stack.namespace).await?;
    let is_there = |network: &&NetworkRequest| {
        there.iter().any(|have| have["Name"].as_str() == Some(&network.name))
    };
    for network in stack.networks.iter().filter(|network| !is_there(network)) {
        io.line(format!("Creating network {}", network.name))?;
        client.post("/networks/create").json(&network.body)?.fetch().await.map_err(|error| {
            Failure::new(format!("failed to create network {}: {error}", network.name))
        })?;
    }
    Ok(())
}

/// A network that is not the stack's must be there, and be the cluster's.
pub(super) async fn check_external(client: &Client, name: &str) -> Result<(), Failure> {
    if is_of_engine(name) {
        return Ok(());
    }
    let found: Value = match client.get(format!("/networks/{}", segment(name))).read().await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => {
            return Err(Failure::new(format!(
                "network {name:?} is declared as external, but could not be found. You need to \
                 create a swarm-scoped network before the stack is deployed"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    match found["Scope"].as_str().unwrap_or_default() {
        "swarm" => Ok(()),
        scope => Err(Failure::new(format!(
            "network {name:?} is declared as external, but it is not in the right scope: \
             {scope:?} instead of \"swarm\""
        ))),
    }
}

/// Networks that each node has of its own.
pub(super) fn is_of_engine(name: &str) -> bool {
    matches!(name, "default" | "bridge" | "host" | "none") || name.starts_with("container:")
}

/// Makes a secret or config, or updates its labels: other bytes are refused by the
/// daemon, and want another name.
async fn make_data(
    client: &Client,
    kind: &Kind,
    spec: &DataSpec,
    io: &mut Io,
) -> Result<(), Failure> {
    let (word, name) = (kind.word, &spec.name);
    let path = format!("{}/{}", kind.path, segment(name));
    match client.get(path).read::<Value>().await {
        Ok(found) => {
            let id = found["ID"].as_str().unwrap_or_default();
            client
                .post(format!("{}/{}/update", kind.path, segment(id)))
                .query("version", found["Version"]["Index"].as_u64().unwrap_or_default())
                .json(spec)?
                .fetch()
                .await
                .map_err(|error| {
                    Failure::new(format!("failed to update {word} {name}: {error}"))
                })?;
        }
        Err(error) if error.is_not_found() => {
            io.line(format!("Creating {word} {name}"))?;
            client.post(format!("{}/create", kind.path)).json(spec)?.fetch().await.map_err(
                |error| Failure::new(format!("failed to create {word} {name}: {error}")),
            )?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
