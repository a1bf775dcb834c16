//! `swarmw service …`: what the cluster shall run.

mod create;
mod data;
mod flags;
pub(crate) mod image;
pub(crate) mod list;
mod logs;
mod networks;
mod placement;
mod pretty;
mod scale;
mod since;
mod update;

use std::sync::Arc;

use swarmw_model::ServiceSpec;

use crate::client::api::service_path;
use crate::client::{Client, Service};
use crate::failure::Failure;
use crate::filter::{collect, collect_tasks};
use crate::flags::{InspectFlags, ListFlags};
use crate::inspect;
use crate::io::Io;
use crate::network;
use crate::tasks::{self, TaskListFlags};

/// `service …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum ServiceCommand {
    /// Create a new service
    #[command(override_usage = "swarmw service create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Create(Box<create::CreateArgs>),
    /// Display detailed information on one or more services
    #[command(override_usage = "swarmw service inspect [OPTIONS] SERVICE [SERVICE...]")]
    Inspect(InspectArgs),
    /// Fetch the logs of a service or task
    #[command(override_usage = "swarmw service logs [OPTIONS] SERVICE|TASK")]
    Logs(logs::LogsArgs),
    /// List services
    #[command(visible_alias = "list", override_usage = "swarmw service ls [OPTIONS]")]
    Ls(LsArgs),
    /// List the tasks of one or more services
    #[command(override_usage = "swarmw service ps [OPTIONS] SERVICE [SERVICE...]")]
    Ps(PsArgs),
    /// Remove one or more services
    #[command(visible_alias = "remove", override_usage = "swarmw service rm SERVICE [SERVICE...]")]
    Rm(scale::RmArgs),
    /// Revert changes to a service's configuration
    #[command(override_usage = "swarmw service rollback [OPTIONS] SERVICE")]
    Rollback(scale::RollbackArgs),
    /// Scale one or multiple replicated services
    #[command(override_usage = "swarmw service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]")]
    Scale(scale::ScaleArgs),
    /// Update a service
    #[command(override_usage = "swarmw service update [OPTIONS] SERVICE")]
    Update(Box<update::UpdateArgs>),
}

/// Adds and removes security options, each where a spec has its place for it.
fn secure(spec: &mut ServiceSpec, add: &[String], remove: &[String]) -> Result<(), Failure> {
    let mut options = spec.swarmw.clone().unwrap_or_default();
    let container = Arc::make_mut(&mut spec.task_template).container_spec.get_or_insert_default();
    flags::confine(container, &mut options.container, add, remove)?;
    placement::change_options(spec, |own| *own = options);
    Ok(())
}

/// `service inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    #[command(flatten)]
    show: InspectFlags,
    /// Names, ids or unique id prefixes
    #[arg(value_name = "SERVICE", required = true, num_args(1..))]
    services: Vec<String>,
}

/// `service ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
}

/// `service ps`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct PsArgs {
    #[command(flatten)]
    list: TaskListFlags,
    /// Names, ids or unique id prefixes
    #[arg(value_name = "SERVICE", required = true, num_args(1..))]
    services: Vec<String>,
}

pub(crate) async fn run(
    client: &Client,
    command: ServiceCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        ServiceCommand::Create(args) => create::run(client, *args, io).await,
        ServiceCommand::Inspect(args) => inspect(client, args, io).await,
        ServiceCommand::Logs(args) => logs::run(client, args, io).await,
        ServiceCommand::Ls(args) => ls(client, args, io).await,
        ServiceCommand::Ps(args) => ps(client, args, io).await,
        ServiceCommand::Rm(args) => scale::rm(client, args, io).await,
        ServiceCommand::Rollback(args) => scale::rollback(client, args, io).await,
        ServiceCommand::Scale(args) => scale::scale(client, args, io).await,
        ServiceCommand::Update(args) => update::run(client, *args, io).await,
    }
}

async fn ls(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let services = client.services(&collect(&args.list.filter)).await?;
    io.text(&list::show(services, args.list.format.as_deref(), args.list.quiet)?)?;
    Ok(())
}

async fn ps(client: &Client, mut args: PsArgs, io: &mut Io) -> Result<(), Failure> {
    // As Docker: whole ids here, short ones of `node ps -q`.
    args.list.no_trunc |= args.list.quiet;
    let mut filters = collect_tasks(client, &args.list.filter).await?;
    let mut missed = Vec::new();
    for reference in &args.services {
        match client.service(reference).await {
            Ok(service) => filters.add("service", service.id),
            Err(error) if error.is_not_found() => missed.push(no_such_service(reference)),
            Err(error) => return Err(error.into()),
        }
    }
    if missed.len() < args.services.len() {
        let tasks = client.tasks(&filters).await?;
        tasks::print(client, tasks, &args.list, io).await?;
    }
    Failure::join(missed).map_or(Ok(()), Err)
}

async fn inspect(client: &Client, args: InspectArgs, io: &mut Io) -> Result<(), Failure> {
    let path = |reference: &String| format!("{}?insertDefaults=true", service_path(reference));
    if !args.show.pretty {
        let objects = args.services.iter().map(|s| (s.clone(), path(s)));
        let format = args.show.format.as_deref();
        return inspect::raw(client, objects, format, io, |reference, _| {
            Failure::new(format!("Error: no such service: {reference}"))
        })
        .await;
    }
    if args.show.format.is_some() {
        return Err(Failure::new("--format is incompatible with human friendly format"));
    }
    let mut missed = Vec::new();
    for reference in &args.services {
        match client.get(path(reference)).read().await {
            Ok(service) => {
                let service: Service = service;
                let mut networks = Vec::new();
                for network in service.spec.networks_wanted() {
                    networks.push(network::name_of(client, &network.target).await?);
                }
                io.text(&pretty::service(&service, &networks))?;
            }
            Err(error) if error.is_not_found() => {
                missed.push(Failure::new(format!("Error: no such service: {reference}")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Failure::join(missed).map_or(Ok(()), Err)
}

fn no_such_service(reference: &str) -> Failure {
    Failure::new(format!("no such service: {reference}"))
}
