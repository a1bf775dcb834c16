//! `swarmw volume …`: volumes of this node and of the cluster.

mod create;
mod list;

use serde_json::{Value, json};

use crate::client::{Client, segment};
use crate::docker_config;
use crate::failure::Failure;
use crate::filter::{collect, filter};
use crate::inspect::{self, Look};
use crate::io::Io;
use crate::parse::{Bytes, boolean, bytes};
use crate::shape::VOLUME;

/// What Docker asks before it prunes.
const PRUNE_WARNING: &str = "WARNING! This will remove anonymous local volumes not used by at \
                             least one container.";
/// The same with `--all`.
const PRUNE_ALL_WARNING: &str =
    "WARNING! This will remove all local volumes not used by at least one container.";

/// `volume …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum VolumeCommand {
    /// Create a volume: on this node, or in the cluster where its driver's data are the
    /// same from every node
    #[command(override_usage = "swarmw volume create [OPTIONS] [VOLUME]")]
    Create(create::CreateArgs),
    /// Grow a volume of this node that no task uses, and that its driver can grow
    #[command(override_usage = "swarmw volume expand VOLUME SIZE")]
    Expand(ExpandArgs),
    /// Display detailed information on one or more volumes
    #[command(override_usage = "swarmw volume inspect [OPTIONS] VOLUME [VOLUME...]")]
    Inspect(InspectArgs),
    /// List volumes of this node and of the cluster
    #[command(visible_alias = "list", override_usage = "swarmw volume ls [OPTIONS]")]
    Ls(LsArgs),
    /// Remove unused volumes of this node
    #[command(override_usage = "swarmw volume prune [OPTIONS]")]
    Prune(PruneArgs),
    /// Remove one or more volumes and their data
    #[command(
        visible_alias = "remove",
        override_usage = "swarmw volume rm [OPTIONS] VOLUME [VOLUME...]"
    )]
    Rm(RmArgs),
}

/// `volume expand`
#[derive(clap::Args, Clone, Debug)]
pub struct ExpandArgs {
    /// Its name
    #[arg(value_name = "VOLUME")]
    volume: String,
    /// How large it is to be, in bytes or as 20G
    #[arg(value_name = "SIZE", value_parser = bytes)]
    size: Bytes,
}

/// `volume inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    /// Format output using a custom template: json, or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Names
    #[arg(value_name = "VOLUME", required = true, num_args(1..))]
    volumes: Vec<String>,
}

/// `volume ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    /// Display only cluster volumes, and use cluster volume list formatting
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    cluster: bool,
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    quiet: bool,
}

/// `volume prune`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct PruneArgs {
    /// Remove all unused volumes of this node, not just anonymous ones
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
}

/// `volume rm`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RmArgs {
    /// Remove it even if its data cannot be reached, which stay where they are
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Names
    #[arg(value_name = "VOLUME", required = true, num_args(1..))]
    volumes: Vec<String>,
}

pub(crate) async fn run(
    client: &Client,
    command: VolumeCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        VolumeCommand::Create(args) => create::run(client, args, io).await,
        VolumeCommand::Expand(args) => {
            let path = format!("/swarmw/volumes/{}/expand", segment(&args.volume));
            let size = args.size.0;
            client.post(path).json(&json!({"Size": size}))?.fetch().await?;
            io.line(&args.volume)?;
            Ok(())
        }
        VolumeCommand::Inspect(args) => {
            let objects = args.volumes.iter().map(|volume| (volume.clone(), path(volume)));
            let format = args.format.as_deref();
            let look = Look::typed(&VOLUME);
            inspect::raw(client, objects, format, look, io, |_, error| error.into()).await
        }
        VolumeCommand::Ls(args) => ls(client, args, io).await,
        VolumeCommand::Prune(args) => prune(client, args, io).await,
        VolumeCommand::Rm(args) => rm(client, args, io).await,
    }
}

async fn ls(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let filters = collect(&args.filter);
    let mut call = client.get("/volumes");
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    let told: Value = call.read().await?;
    let volumes = told["Volumes"].as_array().cloned().unwrap_or_default();
    let format = match args.quiet || args.cluster {
        true => args.format,
        false => docker_config::format(args.format.as_deref(), "volumesFormat")?,
    };
    io.text(&list::show(volumes, args.cluster, format.as_deref(), args.quiet)?)?;
    Ok(())
}

async fn prune(client: &Client, args: PruneArgs, io: &mut Io) -> Result<(), Failure> {
    let warning = if args.all { PRUNE_ALL_WARNING } else { PRUNE_WARNING };
    if !args.force {
        let question = format!("{warning}\nAre you sure you want to continue?");
        match io.confirm(&question)? {
            Some(true) => {}
            Some(false) => return Ok(()),
            None => {
                return Err(Failure::new("nobody can be asked here: use --force to prune volumes"));
            }
        }
    }
    let mut filters = collect(&args.filter);
    if args.all {
        filters.add("all", "true");
    }
    let mut call = client.post("/volumes/prune");
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    let told: Value = call.read().await?;
    let gone = told["VolumesDeleted"].as_array().cloned().unwrap_or_default();
    if !gone.is_empty() {
        io.line("Deleted Volumes:")?;
        for name in gone.iter().filter_map(Value::as_str) {
            io.line(name)?;
        }
        io.line("")?;
    }
    let freed = told["SpaceReclaimed"].as_u64().unwrap_or_default();
    io.line(format!("Total reclaimed space: {}", list::decimal_size(freed)))?;
    Ok(())
}

async fn rm(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for volume in &args.volumes {
        let mut call = client.delete(path(volume));
        if args.force {
            call = call.query("force", 1);
        }
        match call.fetch().await {
            Ok(_) => io.line(volume)?,
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

fn path(volume: &str) -> String {
    format!("/volumes/{}", segment(volume))
}
