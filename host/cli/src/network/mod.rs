//! `swarmw network …`: networks of the cluster and of this node.

mod connect;
mod create;
mod list;
mod subnets;

use serde_json::Value;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::filter::{collect, filter};
use crate::flags::ListFlags;
use crate::inspect::{self, Look};
use crate::io::Io;
use crate::parse::boolean;
use crate::shape::NETWORK;

/// What Docker asks before it prunes.
const PRUNE_WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.\n\
     Are you sure you want to continue?";
/// What Docker asks before the routing mesh goes.
const INGRESS_WARNING: &str = "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm \
     run the same docker engine version. Otherwise, removal may not be effective and \
     functionality of newly create ingress networks will be impaired.\n\
     Are you sure you want to continue?";

/// `network …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum NetworkCommand {
    /// Connect a container to a network
    #[command(override_usage = "swarmw network connect [OPTIONS] NETWORK CONTAINER")]
    Connect(connect::ConnectArgs),
    /// Create a network: an overlay in the cluster, another one on this node
    #[command(override_usage = "swarmw network create [OPTIONS] NETWORK")]
    Create(create::CreateArgs),
    /// Disconnect a container from a network
    #[command(override_usage = "swarmw network disconnect [OPTIONS] NETWORK CONTAINER")]
    Disconnect(connect::DisconnectArgs),
    /// Display detailed information on one or more networks
    #[command(override_usage = "swarmw network inspect [OPTIONS] NETWORK [NETWORK...]")]
    Inspect(InspectArgs),
    /// List networks
    #[command(visible_alias = "list", override_usage = "swarmw network ls [OPTIONS]")]
    Ls(LsArgs),
    /// Remove all unused networks
    #[command(override_usage = "swarmw network prune [OPTIONS]")]
    Prune(PruneArgs),
    /// Remove one or more networks
    #[command(visible_alias = "remove", override_usage = "swarmw network rm NETWORK [NETWORK...]")]
    Rm(RmArgs),
}

/// `network inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    /// Format output using a custom template: json, or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Verbose output for diagnostics: services, tasks and nodes
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    verbose: bool,
    /// Names, ids or unique id prefixes
    #[arg(value_name = "NETWORK", required = true, num_args(1..))]
    networks: Vec<String>,
}

/// `network ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
    /// Do not truncate the output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_trunc: bool,
}

/// `network prune`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct PruneArgs {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
}

/// `network rm`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RmArgs {
    /// Do not error if the network does not exist
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Names, ids or unique id prefixes
    #[arg(value_name = "NETWORK", required = true, num_args(1..))]
    networks: Vec<String>,
}

pub(crate) async fn run(
    client: &Client,
    command: NetworkCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        NetworkCommand::Connect(args) => connect::connect(client, args).await,
        NetworkCommand::Create(args) => create::run(client, args, io).await,
        NetworkCommand::Disconnect(args) => connect::disconnect(client, args).await,
        NetworkCommand::Inspect(args) => {
            let query = if args.verbose { "?verbose=true" } else { "" };
            let path = |network: &String| (network.clone(), format!("{}{query}", path(network)));
            let format = args.format.as_deref();
            let (paths, look) = (args.networks.iter().map(path), Look::typed_or_raw(&NETWORK));
            inspect::raw(client, paths, format, look, io, |_, error| error.into()).await
        }
        NetworkCommand::Ls(args) => ls(client, args, io).await,
        NetworkCommand::Prune(args) => prune(client, args, io).await,
        NetworkCommand::Rm(args) => rm(client, args, io).await,
    }
}

async fn ls(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let filters = collect(&args.list.filter);
    let mut call = client.get("/networks");
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    let networks: Vec<Value> = call.read().await?;
    let format = args.list.format("networksFormat")?;
    let text = list::show(networks, format.as_deref(), args.list.quiet, args.no_trunc)?;
    io.text(&text)?;
    Ok(())
}

async fn prune(client: &Client, args: PruneArgs, io: &mut Io) -> Result<(), Failure> {
    if !args.force && !io.ask(PRUNE_WARNING)? {
        return Ok(());
    }
    let filters = collect(&args.filter);
    let mut call = client.post("/networks/prune");
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    let told: Value = call.read().await?;
    let gone = told["NetworksDeleted"].as_array().cloned().unwrap_or_default();
    if !gone.is_empty() {
        io.line("Deleted Networks:")?;
        for name in gone.iter().filter_map(Value::as_str) {
            io.line(name)?;
        }
        io.line("")?;
    }
    Ok(())
}

async fn rm(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for network in &args.networks {
        let found = client.get(path(network)).read::<Value>().await;
        let is_ingress = found.is_ok_and(|network| network["Ingress"] == true);
        if is_ingress && !io.ask(INGRESS_WARNING)? {
            continue;
        }
        match client.delete(path(network)).fetch().await {
            Ok(_) => io.line(network)?,
            Err(error) if args.force && error.is_not_found() => {}
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

/// The id of a network of the cluster.
pub(crate) async fn resolve(client: &Client, reference: &str) -> Result<String, Failure> {
    let found = of_cluster(client, reference).await?;
    Ok(found["Id"].as_str().unwrap_or_default().to_owned())
}

/// The name of a network of the cluster.
pub(crate) async fn name_of(client: &Client, id: &str) -> Result<String, Failure> {
    let found = of_cluster(client, id).await?;
    Ok(found["Name"].as_str().unwrap_or(id).to_owned())
}

async fn of_cluster(client: &Client, reference: &str) -> Result<Value, Failure> {
    Ok(client.get(path(reference)).query("scope", "swarm").read().await?)
}

fn path(network: &str) -> String {
    format!("/networks/{}", segment(network))
}
