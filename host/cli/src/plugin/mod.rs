//! `swarmw plugin …`: the components that decide.

mod list;

use std::path::PathBuf;

use swarmw_model::Plugin;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::filter::filter;
use crate::inspect;
use crate::io::Io;
use crate::parse::boolean;

/// `plugin …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum PluginCommand {
    /// Add a plugin to the cluster from a component's file
    #[command(override_usage = "swarmw plugin add FILE")]
    Add(AddArgs),
    /// Display detailed information on one or more plugins
    #[command(override_usage = "swarmw plugin inspect [OPTIONS] PLUGIN [PLUGIN...]")]
    Inspect(InspectArgs),
    /// List plugins
    #[command(visible_alias = "list", override_usage = "swarmw plugin ls [OPTIONS]")]
    Ls(LsArgs),
    /// Remove one or more plugins
    #[command(visible_alias = "remove", override_usage = "swarmw plugin rm PLUGIN [PLUGIN...]")]
    Rm(RmArgs),
}

/// `plugin add`
#[derive(clap::Args, Clone, Debug)]
pub struct AddArgs {
    /// A WebAssembly component
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// `plugin inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    /// Format output using a custom template: json, or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Names or ids
    #[arg(value_name = "PLUGIN", required = true, num_args(1..))]
    plugins: Vec<String>,
}

/// `plugin ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    /// Filter output based on conditions provided: kind=KIND, name=PREFIX
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_trunc: bool,
    /// Only display IDs
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    quiet: bool,
}

/// `plugin rm`
#[derive(clap::Args, Clone, Debug)]
pub struct RmArgs {
    /// Names or ids
    #[arg(value_name = "PLUGIN", required = true, num_args(1..))]
    plugins: Vec<String>,
}

pub(crate) async fn run(
    client: &Client,
    command: PluginCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        PluginCommand::Add(args) => add(client, args, io).await,
        PluginCommand::Inspect(args) => inspect(client, args, io).await,
        PluginCommand::Ls(args) => ls(client, args, io).await,
        PluginCommand::Rm(args) => rm(client, args, io).await,
    }
}

async fn add(client: &Client, args: AddArgs, io: &mut Io) -> Result<(), Failure> {
    let bytes =
        tokio::fs::read(&args.file).await.map_err(|error| Failure::opening(&args.file, &error))?;
    let plugin: Plugin =
        client.post("/swarmw/plugins").bytes("application/wasm", bytes).read().await?;
    io.text(&list::added(&plugin))?;
    Ok(())
}

async fn inspect(client: &Client, args: InspectArgs, io: &mut Io) -> Result<(), Failure> {
    let objects = args.plugins.iter().map(|p| (p.clone(), path(p)));
    let format = args.format.as_deref();
    inspect::raw(client, objects, format, io, |_, error| error.into()).await
}

async fn ls(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let filters = crate::filter::collect(&args.filter);
    if let Err(refusal) = filters.check(&["kind", "name", "id"]) {
        return Err(Failure::new(refusal.message));
    }
    let mut plugins: Vec<Plugin> = client.get("/swarmw/plugins").read().await?;
    plugins.retain(|plugin| {
        filters.any("kind", |kind| plugin.kind.as_str() == kind)
            && filters.any("name", |name| plugin.name.starts_with(name))
            && filters.any("id", |id| plugin.id.to_string().starts_with(id))
    });
    let text = list::show(plugins, args.format.as_deref(), args.quiet, args.no_trunc)?;
    io.text(&text)?;
    Ok(())
}

async fn rm(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for plugin in &args.plugins {
        match client.delete(path(plugin)).fetch().await {
            Ok(_) => io.line(plugin)?,
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

/// Names have a slash in them, which stays one.
fn path(reference: &str) -> String {
    let parts: Vec<_> = reference.split('/').map(segment).collect();
    format!("/swarmw/plugins/{}", parts.join("/"))
}
