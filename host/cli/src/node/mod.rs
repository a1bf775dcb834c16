//! `swarmw node …`: the machines of the cluster.

mod list;
mod pretty;
mod update;

use swarmw_model::Filters;

use crate::client::Client;
use crate::client::api::node_path;
use crate::failure::Failure;
use crate::filter::{collect, collect_tasks};
use crate::flags::{InspectFlags, ListFlags};
use crate::inspect::{self, Look};
use crate::io::Io;
use crate::parse::boolean;
use crate::shape::NODE;
use crate::tasks::{self, TaskListFlags};

/// The word for the node that answers.
const SELF: &str = "self";

/// `node …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum NodeCommand {
    /// Demote one or more nodes from manager in the swarm
    #[command(override_usage = "swarmw node demote NODE [NODE...]")]
    Demote(NodesArgs),
    /// Display detailed information on one or more nodes
    #[command(override_usage = "swarmw node inspect [OPTIONS] self|NODE [NODE...]")]
    Inspect(InspectArgs),
    /// List nodes in the swarm
    #[command(visible_alias = "list", override_usage = "swarmw node ls [OPTIONS]")]
    Ls(LsArgs),
    /// Promote one or more nodes to manager in the swarm
    #[command(override_usage = "swarmw node promote NODE [NODE...]")]
    Promote(NodesArgs),
    /// List tasks running on one or more nodes, defaults to current node
    #[command(override_usage = "swarmw node ps [OPTIONS] [NODE...]")]
    Ps(PsArgs),
    /// Remove one or more nodes from the swarm
    #[command(visible_alias = "remove", override_usage = "swarmw node rm [OPTIONS] NODE [NODE...]")]
    Rm(RmArgs),
    /// Update a node
    #[command(override_usage = "swarmw node update [OPTIONS] NODE")]
    Update(update::UpdateArgs),
}

/// One or more nodes.
#[derive(clap::Args, Clone, Debug)]
pub struct NodesArgs {
    /// Ids, host names or unique id prefixes
    #[arg(value_name = "NODE", required = true, num_args(1..))]
    nodes: Vec<String>,
}

/// `node inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    #[command(flatten)]
    show: InspectFlags,
    /// Ids, host names or unique id prefixes; self for the node that answers
    #[arg(value_name = "NODE", required = true, num_args(1..))]
    nodes: Vec<String>,
}

/// `node ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
}

/// `node ps`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct PsArgs {
    #[command(flatten)]
    list: TaskListFlags,
    /// Ids, host names or unique id prefixes; self for the node that answers
    #[arg(value_name = "NODE", num_args(0..))]
    nodes: Vec<String>,
}

/// `node rm`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RmArgs {
    /// Force remove a node from the swarm
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Ids, host names or unique id prefixes
    #[arg(value_name = "NODE", required = true, num_args(1..))]
    nodes: Vec<String>,
}

pub(crate) async fn run(client: &Client, command: NodeCommand, io: &mut Io) -> Result<(), Failure> {
    match command {
        NodeCommand::Ls(args) => ls(client, args, io).await,
        NodeCommand::Inspect(args) => inspect(client, args, io).await,
        NodeCommand::Ps(args) => ps(client, args, io).await,
        NodeCommand::Rm(args) => rm(client, args, io).await,
        NodeCommand::Update(args) => update::run(client, args, io).await,
        NodeCommand::Promote(args) => update::promote(client, &args.nodes, io).await,
        NodeCommand::Demote(args) => update::demote(client, &args.nodes, io).await,
    }
}

async fn ls(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let nodes = client.nodes(&collect(&args.list.filter)).await?;
    let info = match args.list.quiet {
        true => crate::client::Info::default(),
        false => client.info().await?,
    };
    let format = args.list.format("nodesFormat")?;
    let text = list::show(nodes, &info.swarm, format.as_deref(), args.list.quiet)?;
    io.text(&text)?;
    Ok(())
}

/// The reference itself, or the id of the node that answers for `self`.
pub(crate) async fn resolve(client: &Client, reference: &str) -> Result<String, Failure> {
    if reference != SELF {
        return Ok(reference.to_owned());
    }
    let own = client.own_id().await?;
    if own.is_empty() {
        // Not in a swarm: the daemon says so in its own words.
        client.nodes(&Filters::default()).await?;
        return Err(Failure::new("node ID not found in /info"));
    }
    Ok(own)
}

async fn inspect(client: &Client, args: InspectArgs, io: &mut Io) -> Result<(), Failure> {
    let mut references = Vec::new();
    for node in &args.nodes {
        references.push(resolve(client, node).await?);
    }
    if !args.show.is_pretty() {
        let objects = references.iter().map(|node| (node.clone(), node_path(node)));
        let format = args.show.format.as_deref();
        let look = Look::typed(&NODE);
        return inspect::raw(client, objects, format, look, io, |_, error| error.into()).await;
    }
    let mut missed = Vec::new();
    for reference in &references {
        match client.node(reference).await {
            Ok(node) => io.text(&pretty::node(&node))?,
            Err(error) if error.is_not_found() => missed.push(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Failure::join(missed).map_or(Ok(()), Err)
}

async fn ps(client: &Client, args: PsArgs, io: &mut Io) -> Result<(), Failure> {
    let mut nodes = args.nodes;
    if nodes.is_empty() {
        nodes.push(SELF.to_owned());
    }
    let mut tasks = Vec::new();
    let mut missed = Vec::new();
    for reference in &nodes {
        let reference = resolve(client, reference).await?;
        match client.node(&reference).await {
            Ok(node) => {
                let mut filters = collect_tasks(client, &args.list.filter).await?;
                filters.add("node", node.id);
                tasks.extend(client.tasks(&filters).await?);
            }
            Err(error) => missed.push(Failure::from(error)),
        }
    }
    if missed.is_empty() || !tasks.is_empty() {
        tasks::print(client, tasks, &args.list, io).await?;
    }
    Failure::join(missed).map_or(Ok(()), Err)
}

async fn rm(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for node in &args.nodes {
        let mut call = client.delete(node_path(node));
        if args.force {
            call = call.query("force", 1);
        }
        match call.fetch().await {
            Ok(_) => io.line(node)?,
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}
