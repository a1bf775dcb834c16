//! `swarmw plugin …`: the components that decide.

mod act;
mod compared;
mod list;
mod logs;
mod offer;
mod pretty;

use swarmw_model::{Plugin, PluginView};

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::flags::{InspectFlags, ListFlags};
use crate::inspect::{self, Look};
use crate::io::Io;
use crate::parse::boolean;

/// `plugin …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum PluginCommand {
    /// Add a plugin to the cluster from a component's file or a registry
    #[command(override_usage = "swarmw plugin add [OPTIONS] FILE|REFERENCE")]
    Add(offer::AddArgs),
    /// Disable one or more plugins: what nobody else answers fails as if they were broken
    #[command(override_usage = "swarmw plugin disable [OPTIONS] PLUGIN [PLUGIN...]")]
    Disable(act::DisableArgs),
    /// Enable one or more plugins, and forgive what they did wrong
    #[command(override_usage = "swarmw plugin enable [OPTIONS] PLUGIN [PLUGIN...]")]
    Enable(act::EnableArgs),
    /// Give powers to a plugin, or take them away, without another version of it
    #[command(override_usage = "swarmw plugin grant [OPTIONS] PLUGIN")]
    Grant(act::GrantArgs),
    /// Display detailed information on one or more plugins
    #[command(override_usage = "swarmw plugin inspect [OPTIONS] PLUGIN [PLUGIN...]")]
    Inspect(InspectArgs),
    /// Fetch the log of a plugin, as the leader has it
    #[command(override_usage = "swarmw plugin logs [OPTIONS] PLUGIN")]
    Logs(logs::LogsArgs),
    /// List plugins
    #[command(visible_alias = "list", override_usage = "swarmw plugin ls [OPTIONS]")]
    Ls(LsArgs),
    /// Put the version of a plugin that waits or runs in shadow in its place
    #[command(override_usage = "swarmw plugin promote [OPTIONS] PLUGIN")]
    Promote(act::PromoteArgs),
    /// Remove one or more plugins
    #[command(
        visible_alias = "remove",
        override_usage = "swarmw plugin rm [OPTIONS] PLUGIN [PLUGIN...]"
    )]
    Rm(act::RmArgs),
    /// Replace a plugin by another version of it
    #[command(override_usage = "swarmw plugin upgrade [OPTIONS] PLUGIN FILE|REFERENCE")]
    Upgrade(offer::UpgradeArgs),
}

/// `plugin inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    #[command(flatten)]
    show: InspectFlags,
    /// Names or ids
    #[arg(value_name = "PLUGIN", required = true, num_args(1..))]
    plugins: Vec<String>,
}

/// `plugin ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
    /// Do not truncate output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_trunc: bool,
}

pub(crate) async fn run(
    client: &Client,
    command: PluginCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        PluginCommand::Add(args) => offer::add(client, args, io).await,
        PluginCommand::Disable(args) => act::disable(client, args, io).await,
        PluginCommand::Enable(args) => act::enable(client, args, io).await,
        PluginCommand::Grant(args) => act::grant(client, args, io).await,
        PluginCommand::Inspect(args) => inspect(client, args, io).await,
        PluginCommand::Logs(args) => logs::run(client, args, io).await,
        PluginCommand::Ls(args) => ls(client, args, io).await,
        PluginCommand::Promote(args) => act::promote(client, args, io).await,
        PluginCommand::Rm(args) => act::rm(client, args, io).await,
        PluginCommand::Upgrade(args) => offer::upgrade(client, args, io).await,
    }
}

async fn inspect(client: &Client, args: InspectArgs, io: &mut Io) -> Result<(), Failure> {
    if args.show.is_pretty() {
        args.show.check()?;
        for plugin in &args.plugins {
            let view: PluginView = client.get(path(plugin)).read().await?;
            io.text(&pretty::plugin(&view))?;
        }
        return Ok(());
    }
    let objects = args.plugins.iter().map(|p| (p.clone(), path(p)));
    let format = args.show.format.as_deref();
    inspect::raw(client, objects, format, Look::raw(), io, |_, error| error.into()).await
}

async fn ls(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let filters = crate::filter::collect(&args.list.filter);
    if let Err(refusal) = filters.check(&["kind", "name", "id"]) {
        return Err(Failure::new(refusal.message));
    }
    let mut plugins: Vec<Plugin> = client.get("/swarmw/plugins").read().await?;
    plugins.retain(|plugin| {
        filters.any("kind", |kind| plugin.kind.as_str() == kind)
            && filters.any("name", |name| plugin.name.starts_with(name))
            && filters.any("id", |id| plugin.id.to_string().starts_with(id))
    });
    let text = list::show(plugins, args.list.format.as_deref(), args.list.quiet, args.no_trunc)?;
    io.text(&text)?;
    Ok(())
}

/// Names have a slash in them, which stays one.
fn path(reference: &str) -> String {
    let parts: Vec<_> = reference.split('/').map(segment).collect();
    format!("/swarmw/plugins/{}", parts.join("/"))
}
