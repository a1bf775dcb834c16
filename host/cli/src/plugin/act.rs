//! `plugin enable`, `disable`, `grant`, `promote` and `rm`.

use swarmw_model::{GrantRequest, Plugin};

use super::offer::{Powers, powers};
use super::{path, pretty};
use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;

/// `plugin enable`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct EnableArgs {
    #[command(flatten)]
    powers: Powers,
    /// Names or ids
    #[arg(value_name = "PLUGIN", required = true, num_args(1..))]
    plugins: Vec<String>,
}

/// `plugin disable`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct DisableArgs {
    /// Even if services need the plugin and nobody else may answer them
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Names or ids
    #[arg(value_name = "PLUGIN", required = true, num_args(1..))]
    plugins: Vec<String>,
}

/// `plugin grant`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct GrantArgs {
    #[command(flatten)]
    powers: Powers,
    /// Take this power away, which it has; repeatable
    #[arg(long, value_name = "KIND=PATTERN", conflicts_with = "yes")]
    revoke: Vec<GrantRequest>,
    /// A name or id
    #[arg(value_name = "PLUGIN")]
    plugin: String,
}

/// `plugin promote`
#[derive(clap::Args, Clone, Debug)]
pub struct PromoteArgs {
    #[command(flatten)]
    powers: Powers,
    /// A name or id
    #[arg(value_name = "PLUGIN")]
    plugin: String,
}

/// `plugin rm`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RmArgs {
    /// Only the version that waits or runs in shadow
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    candidate: bool,
    /// Names or ids
    #[arg(value_name = "PLUGIN", required = true, num_args(1..))]
    plugins: Vec<String>,
}

pub(super) async fn enable(client: &Client, args: EnableArgs, io: &mut Io) -> Result<(), Failure> {
    each(&args.plugins, io, async |plugin| {
        let call = client.post(format!("{}/enable", path(plugin)));
        powers(call, &args.powers).fetch().await.map(drop)
    })
    .await
}

pub(super) async fn grant(client: &Client, args: GrantArgs, io: &mut Io) -> Result<(), Failure> {
    let mut call = powers(client.post(format!("{}/grant", path(&args.plugin))), &args.powers);
    for power in &args.revoke {
        call = call.query("revoke", power);
    }
    let plugin: Plugin = call.read().await?;
    let shown = pretty::release(&plugin, &plugin.release);
    io.text(&format!("Changed the grants of plugin {shown}"))?;
    Ok(())
}

pub(super) async fn disable(
    client: &Client,
    args: DisableArgs,
    io: &mut Io,
) -> Result<(), Failure> {
    each(&args.plugins, io, async |plugin| {
        let mut call = client.post(format!("{}/disable", path(plugin)));
        if args.force {
            call = call.query("force", 1);
        }
        call.fetch().await.map(drop)
    })
    .await
}

pub(super) async fn rm(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    each(&args.plugins, io, async |plugin| match args.candidate {
        true => client.post(format!("{}/discard", path(plugin))).fetch().await.map(drop),
        false => client.delete(path(plugin)).fetch().await.map(drop),
    })
    .await
}

pub(super) async fn promote(
    client: &Client,
    args: PromoteArgs,
    io: &mut Io,
) -> Result<(), Failure> {
    let call = powers(client.post(format!("{}/promote", path(&args.plugin))), &args.powers);
    let plugin: Plugin = call.read().await?;
    io.line(format!("Promoted plugin {} {}", plugin.name, plugin.release.metadata.version))?;
    Ok(())
}

/// Does it with each, prints those with which it went well, and tells the others.
async fn each(
    plugins: &[String],
    io: &mut Io,
    act: impl AsyncFn(&str) -> Result<(), ClientError>,
) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for plugin in plugins {
        match act(plugin).await {
            Ok(()) => io.line(plugin)?,
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}
