//! `service scale`, `service rollback`, `service rm`

use swarmw_model::ServiceMode;

use super::flags::WaitFlags;
use crate::client::Client;
use crate::client::api::{UpdateOptions, service_path};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{boolean, uint};
use crate::progress;

/// `service scale`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct ScaleArgs {
    /// Exit immediately instead of waiting for the service to converge
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    detach: bool,
    /// Services and how many replicas each shall have
    #[arg(value_name = "SERVICE=REPLICAS", required = true, num_args(1..))]
    scales: Vec<String>,
}

/// `service rollback`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RollbackArgs {
    #[command(flatten)]
    wait: WaitFlags,
    /// Name, id or unique id prefix
    #[arg(value_name = "SERVICE")]
    service: String,
}

/// `service rm`
#[derive(clap::Args, Clone, Debug)]
pub struct RmArgs {
    /// Names, ids or unique id prefixes
    #[arg(value_name = "SERVICE", required = true, num_args(1..))]
    services: Vec<String>,
}

pub(super) async fn scale(client: &Client, args: ScaleArgs, io: &mut Io) -> Result<(), Failure> {
    for text in &args.scales {
        if !matches!(text.split_once('='), Some((service, count)) if !service.is_empty() && !count.is_empty())
        {
            return Err(Failure::new(format!(
                "invalid scale specifier '{text}'.\nSee 'swarmw service scale --help'.\n\n\
                 Usage:  swarmw service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\n\
                 Scale one or multiple replicated services"
            )));
        }
    }
    let (mut failed, mut scaled) = (Vec::new(), Vec::new());
    for (service, replicas) in args.scales.iter().filter_map(|text| text.split_once('=')) {
        match scale_one(client, service, replicas, io).await {
            Ok(()) => scaled.push(service),
            Err(Failure::Output(error)) => return Err(error.into()),
            Err(error) => failed.push(Failure::new(format!("{service}: {error}"))),
        }
    }
    if !args.detach {
        for service in scaled {
            if let Err(error) = progress::wait(client, service, false, io).await {
                failed.push(Failure::new(format!("{service}: {error}")));
            }
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

async fn scale_one(
    client: &Client,
    reference: &str,
    replicas: &str,
    io: &mut Io,
) -> Result<(), Failure> {
    let replicas = uint(replicas)
        .map_err(|error| Failure::new(format!("invalid replicas value {replicas}: {error}")))?;
    let mut service = client.service(reference).await?;
    match &mut service.spec.mode {
        ServiceMode::Replicated(mode) => mode.replicas = Some(replicas),
        ServiceMode::ReplicatedJob(mode) => mode.total_completions = Some(replicas),
        ServiceMode::Global(_) | ServiceMode::GlobalJob(_) => {
            return Err(Failure::new(
                "scale can only be used with replicated or replicated-job mode",
            ));
        }
    }
    let updated = client.update_service(&service, &UpdateOptions::default()).await?;
    for warning in updated.warnings.iter().flatten() {
        io.warn(warning)?;
    }
    io.line(format!("{reference} scaled to {replicas}"))?;
    Ok(())
}

pub(super) async fn rollback(
    client: &Client,
    args: RollbackArgs,
    io: &mut Io,
) -> Result<(), Failure> {
    roll_back(client, &args.service, &args.wait, io).await
}

/// Asks the daemon for the spec before.
pub(super) async fn roll_back(
    client: &Client,
    reference: &str,
    wait: &WaitFlags,
    io: &mut Io,
) -> Result<(), Failure> {
    let service = client.service(reference).await?;
    let options = UpdateOptions { rollback: true, auth: None };
    let updated = client.update_service(&service, &options).await?;
    for warning in updated.warnings.iter().flatten() {
        io.warn(warning)?;
    }
    io.line(reference)?;
    if wait.detach {
        return Ok(());
    }
    progress::wait(client, reference, wait.quiet, io).await
}

pub(super) async fn rm(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for service in &args.services {
        match client.delete(service_path(service)).fetch().await {
            Ok(_) => io.line(service)?,
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}
