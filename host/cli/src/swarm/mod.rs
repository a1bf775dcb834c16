//! `swarmw swarm …`: a cluster's beginning, its members' coming and going, its
//! settings.

mod spec;
mod unlock;

use ipnet::IpNet;
use swarmw_model::Availability;

use crate::client::{Client, InitRequest, JoinRequest, Swarm};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{address_pool, boolean, node_address, uint32};
pub use spec::SpecFlags;
pub use unlock::UnlockKeyArgs;

/// `swarm …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum SwarmCommand {
    /// Initialize a swarm
    #[command(override_usage = "swarmw swarm init [OPTIONS]")]
    Init(InitArgs),
    /// Join a swarm as a node and/or manager
    #[command(override_usage = "swarmw swarm join [OPTIONS] HOST:PORT")]
    Join(JoinArgs),
    /// Manage join tokens
    #[command(override_usage = "swarmw swarm join-token [OPTIONS] (worker|manager)")]
    JoinToken(JoinTokenArgs),
    /// Leave the swarm
    #[command(override_usage = "swarmw swarm leave [OPTIONS]")]
    Leave(LeaveArgs),
    /// Unlock swarm
    #[command(override_usage = "swarmw swarm unlock")]
    Unlock,
    /// Manage the unlock key
    #[command(override_usage = "swarmw swarm unlock-key [OPTIONS]")]
    UnlockKey(UnlockKeyArgs),
    /// Update the swarm
    #[command(override_usage = "swarmw swarm update [OPTIONS]")]
    Update(UpdateArgs),
}

/// Addresses and availability of a node that begins or joins.
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct MemberFlags {
    /// Advertised address (format: "<ip|interface>[:port]")
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Listen address (format: "<ip|interface>[:port]")
    #[arg(long, value_name = "node-addr", default_value = "0.0.0.0:2377",
        value_parser = node_address)]
    listen_addr: String,
    /// Address or interface to use for data path traffic (format: "<ip|interface>")
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    data_path_addr: String,
    /// Availability of the node ("active", "pause", "drain")
    #[arg(long, value_name = "string", default_value = "active")]
    availability: String,
}

/// `swarm init`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InitArgs {
    #[command(flatten)]
    member: MemberFlags,
    /// Enable manager autolocking (requiring an unlock key to start a stopped manager)
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    autolock: bool,
    /// Port number to use for data path traffic (1024 - 49151). If no value is set or is set to
    /// 0, the default port (4789) is used.
    #[arg(long, value_name = "uint32", value_parser = uint32, default_value = "0",
        hide_default_value = true)]
    data_path_port: u32,
    /// default address pool in CIDR format
    #[arg(long, value_name = "ipNetSlice", value_delimiter = ',', value_parser = address_pool)]
    default_addr_pool: Vec<IpNet>,
    /// default address pool subnet mask length
    #[arg(long, value_name = "uint32", value_parser = uint32, default_value = "24")]
    default_addr_pool_mask_length: u32,
    /// Force create a new cluster from current state
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force_new_cluster: bool,
    #[command(flatten)]
    spec: SpecFlags,
}

/// `swarm update`
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(args_override_self = true)]
pub struct UpdateArgs {
    /// Change manager autolocking setting (true|false)
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    autolock: Option<bool>,
    #[command(flatten)]
    spec: SpecFlags,
}

/// `swarm join`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct JoinArgs {
    #[command(flatten)]
    member: MemberFlags,
    /// Token for entry into the swarm
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    token: String,
    /// A manager's address
    #[arg(value_name = "HOST:PORT")]
    remote: String,
}

/// `swarm join-token`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct JoinTokenArgs {
    /// Rotate join token
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    rotate: bool,
    /// Only display token
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    quiet: bool,
    /// Role of the nodes that join with it
    #[arg(value_name = "worker|manager")]
    role: String,
}

/// `swarm leave`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LeaveArgs {
    /// Force this node to leave the swarm, ignoring warnings
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
}

pub(crate) async fn run(
    client: &Client,
    command: SwarmCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        SwarmCommand::Init(args) => init(client, args, io).await,
        SwarmCommand::Join(args) => join(client, args, io).await,
        SwarmCommand::JoinToken(args) => join_token(client, args, io).await,
        SwarmCommand::Leave(args) => leave(client, args, io).await,
        SwarmCommand::Unlock => unlock::unlock(client, io).await,
        SwarmCommand::UnlockKey(args) => unlock::unlock_key(client, &args, io).await,
        SwarmCommand::Update(args) => update(client, &args, io).await,
    }
}

async fn init(client: &Client, args: InitArgs, io: &mut Io) -> Result<(), Failure> {
    let request = InitRequest {
        listen_addr: args.member.listen_addr.clone(),
        advertise_addr: args.member.advertise_addr.clone(),
        data_path_addr: args.member.data_path_addr.clone(),
        data_path_port: args.data_path_port,
        default_addr_pool: args.default_addr_pool,
        subnet_size: args.default_addr_pool_mask_length,
        availability: args.member.availability()?,
        force_new_cluster: args.force_new_cluster,
        auto_lock_managers: args.autolock,
        spec: args.spec.to_json(),
    };
    let id: String = client.post("/swarm/init").json(&request)?.read().await.map_err(with_hint)?;
    io.line(format!("Swarm initialized: current node ({id}) is now a manager.\n"))?;
    join_command(client, &client.swarm().await?, &id, "worker", io).await?;
    io.line(
        "To add a manager to this swarm, run 'swarmw swarm join-token manager' and follow the instructions.",
    )?;
    match args.autolock {
        true => unlock::show(client, io).await,
        false => Ok(()),
    }
}

/// Several addresses and none chosen: says which flag chooses.
fn with_hint(error: crate::ClientError) -> Failure {
    let text = error.to_string();
    if text.contains("could not choose an IP address to advertise")
        || text.contains("could not find the system's IP address")
    {
        return Failure::new(format!("{text} - specify one with --advertise-addr"));
    }
    error.into()
}

async fn join(client: &Client, args: JoinArgs, io: &mut Io) -> Result<(), Failure> {
    let request = JoinRequest {
        listen_addr: args.member.listen_addr.clone(),
        advertise_addr: args.member.advertise_addr.clone(),
        data_path_addr: args.member.data_path_addr.clone(),
        availability: args.member.availability()?,
        remote_addrs: vec![args.remote],
        join_token: args.token,
    };
    client.post("/swarm/join").json(&request)?.fetch().await?;
    let role = match client.info().await?.swarm.control_available {
        true => "manager",
        false => "worker",
    };
    io.line(format!("This node joined a swarm as a {role}."))?;
    Ok(())
}

async fn join_token(client: &Client, args: JoinTokenArgs, io: &mut Io) -> Result<(), Failure> {
    let rotation = match args.role.as_str() {
        "worker" => "rotateWorkerToken",
        "manager" => "rotateManagerToken",
        role => return Err(Failure::new(format!("unknown role {role}"))),
    };
    if args.rotate {
        let swarm = client.swarm().await?;
        client
            .post("/swarm/update")
            .query("version", swarm.version.index)
            .query(rotation, true)
            .json(&swarm.spec)?
            .fetch()
            .await?;
        if !args.quiet {
            io.line(format!("Successfully rotated {} join token.\n", args.role))?;
        }
    }
    let swarm = client.swarm().await?;
    if args.quiet {
        io.line(token(&swarm, &args.role))?;
        return Ok(());
    }
    let own = client.own_id().await?;
    join_command(client, &swarm, &own, &args.role, io).await
}

fn token<'s>(swarm: &'s Swarm, role: &str) -> &'s str {
    match role {
        "worker" => &swarm.join_tokens.worker,
        _ => &swarm.join_tokens.manager,
    }
}

/// What to run on another machine to join it.
async fn join_command(
    client: &Client,
    swarm: &Swarm,
    node: &str,
    role: &str,
    io: &mut Io,
) -> Result<(), Failure> {
    let node = client.node(node).await?;
    if let Some(manager) = node.manager_status {
        io.line(format!(
            "To add a {role} to this swarm, run the following command:\n\n    \
             swarmw swarm join --token {} {}\n",
            token(swarm, role),
            manager.addr
        ))?;
    }
    Ok(())
}

async fn leave(client: &Client, args: LeaveArgs, io: &mut Io) -> Result<(), Failure> {
    let mut call = client.post("/swarm/leave");
    if args.force {
        call = call.query("force", 1);
    }
    call.fetch().await?;
    io.line("Node left the swarm.")?;
    Ok(())
}

async fn update(client: &Client, args: &UpdateArgs, io: &mut Io) -> Result<(), Failure> {
    if *args == UpdateArgs::default() {
        let mut root = crate::command();
        let help = root
            .find_subcommand_mut("swarm")
            .and_then(|swarm| swarm.find_subcommand_mut("update"))
            .map(|update| update.render_help().to_string())
            .unwrap_or_default();
        io.text(&help)?;
        return Ok(());
    }
    let mut swarm = client.swarm().await?;
    let was_locking = swarm.spec.encryption.auto_lock_managers;
    if let Some(autolock) = args.autolock {
        swarm.spec.encryption.auto_lock_managers = autolock;
    }
    args.spec.apply(&mut swarm.spec);
    client
        .post("/swarm/update")
        .query("version", swarm.version.index)
        .json(&swarm.spec)?
        .fetch()
        .await?;
    io.line("Swarm updated.")?;
    match swarm.spec.encryption.auto_lock_managers && !was_locking {
        true => unlock::show(client, io).await,
        false => Ok(()),
    }
}

// === impl MemberFlags ===

impl MemberFlags {
    fn availability(&self) -> Result<String, Failure> {
        let word = self.availability.to_lowercase();
        let known = [Availability::Active, Availability::Pause, Availability::Drain];
        if known.iter().any(|known| known.as_str() == word) {
            Ok(word)
        } else {
            Err(Failure::new(format!(
                "invalid availability {:?}, only active, pause and drain are supported",
                self.availability
            )))
        }
    }
}
