//! `swarmw stack …`: Compose files in the cluster.

mod deploy;
mod files;
mod list;
mod plan;
mod remove;
mod services;
#[cfg(test)]
mod tests;
mod wait;

use swarmw_compose::NAMESPACE_LABEL;
use swarmw_model::Filters;

use crate::client::Client;
use crate::failure::Failure;
use crate::filter::{collect, collect_tasks};
use crate::flags::ListFlags;
use crate::io::Io;
use crate::parse::boolean;
use crate::service;
use crate::tasks::{self, TaskListFlags};

/// `stack …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum StackCommand {
    /// Outputs the final config file, after doing merges and interpolations
    #[command(override_usage = "swarmw stack config [OPTIONS]")]
    Config(ConfigArgs),
    /// Deploy a new stack or update an existing stack
    #[command(visible_alias = "up", override_usage = "swarmw stack deploy [OPTIONS] STACK")]
    Deploy(deploy::DeployArgs),
    /// List stacks
    #[command(visible_alias = "list", override_usage = "swarmw stack ls [OPTIONS]")]
    Ls(list::LsArgs),
    /// Show what a deployment would do, with its tasks, and do nothing
    #[command(override_usage = "swarmw stack plan [OPTIONS] STACK")]
    Plan(plan::PlanArgs),
    /// List the tasks in the stack
    #[command(override_usage = "swarmw stack ps [OPTIONS] STACK")]
    Ps(PsArgs),
    /// Remove one or more stacks
    #[command(
        visible_aliases = ["remove", "down"],
        override_usage = "swarmw stack rm [OPTIONS] STACK [STACK...]"
    )]
    Rm(remove::RmArgs),
    /// List the services in the stack
    #[command(override_usage = "swarmw stack services [OPTIONS] STACK")]
    Services(ServicesArgs),
}

/// `stack config`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct ConfigArgs {
    #[command(flatten)]
    files: files::FileFlags,
    /// Skip interpolation and output only merged config
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    skip_interpolation: bool,
}

/// `stack ps`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct PsArgs {
    #[command(flatten)]
    list: TaskListFlags,
    /// Its name
    #[arg(value_name = "STACK")]
    stack: String,
}

/// `stack services`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct ServicesArgs {
    #[command(flatten)]
    list: ListFlags,
    /// Its name
    #[arg(value_name = "STACK")]
    stack: String,
}

pub(crate) async fn run(
    client: &Client,
    command: StackCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        StackCommand::Config(args) => config(args, io),
        StackCommand::Deploy(args) => deploy::run(client, args, io).await,
        StackCommand::Ls(args) => list::run(client, args, io).await,
        StackCommand::Plan(args) => plan::run(client, args, io).await,
        StackCommand::Ps(args) => ps(client, args, io).await,
        StackCommand::Rm(args) => remove::run(client, args, io).await,
        StackCommand::Services(args) => services(client, args, io).await,
    }
}

fn config(args: ConfigArgs, io: &mut Io) -> Result<(), Failure> {
    let loaded = files::load(&args.files, None, !args.skip_interpolation)?;
    for warning in &loaded.warnings {
        io.warn(warning)?;
    }
    io.text(&loaded.project.to_yaml())?;
    Ok(())
}

async fn ps(client: &Client, args: PsArgs, io: &mut Io) -> Result<(), Failure> {
    check_name(&args.stack)?;
    let mut filters = collect_tasks(client, &args.list.filter).await?;
    filters.add("label", label_of(&args.stack));
    let tasks = client.tasks(&filters).await?;
    if tasks.is_empty() {
        return Err(Failure::new(format!("nothing found in stack: {}", args.stack)));
    }
    tasks::print(client, tasks, &args.list, io).await
}

async fn services(client: &Client, args: ServicesArgs, io: &mut Io) -> Result<(), Failure> {
    check_name(&args.stack)?;
    let mut filters = collect(&args.list.filter);
    filters.add("label", label_of(&args.stack));
    let services = client.services(&filters).await?;
    if services.is_empty() {
        io.warn(format!("Nothing found in stack: {}", args.stack))?;
        return Ok(());
    }
    let format = args.list.format("servicesFormat")?;
    io.text(&service::list::show(services, format.as_deref(), args.list.quiet)?)?;
    Ok(())
}

/// Any name will do that is not blank.
fn check_name(name: &str) -> Result<(), Failure> {
    match name.trim().is_empty() {
        true => Err(Failure::new(format!("invalid stack name: {name:?}"))),
        false => Ok(()),
    }
}

/// What the objects of a stack are found by.
fn of_stack(name: &str) -> Filters {
    let mut filters = Filters::default();
    filters.add("label", label_of(name));
    filters
}

fn label_of(name: &str) -> String {
    format!("{NAMESPACE_LABEL}={name}")
}
