//! The command line of swarmw: Docker Swarm's commands, flags, tables, texts and
//! exit codes, as a thin client of the Docker Engine HTTP API.
//!
//! It knows the model and that API, nothing of the daemon. The binary mounts
//! [`Command`] beside its own subcommands (with [`prepare`] over the whole), asks
//! [`explain`] to word what clap refuses, and [`run`]s what was parsed. Reading
//! starts at [`run`]; each command is a module named after it.

mod client;
mod completion;
mod config;
mod context;
mod data;
mod docker_config;
mod events;
mod explain;
mod failure;
mod filter;
mod flags;
mod info;
mod inspect;
mod io;
mod lines;
mod man;
mod net;
mod network;
mod node;
mod parse;
mod plugin;
mod progress;
mod secret;
mod service;
mod shape;
mod stack;
mod swarm;
mod table;
mod tasks;
mod terminal;
#[cfg(test)]
mod testing;
mod version;
mod volume;
mod watch;

pub use client::{
    CERTIFICATES_VARIABLE, Client, ClientError, HOST_VARIABLE, Host, InvalidHost, TlsFlags,
    default_socket,
};
pub use explain::{Explained, explain, prepare};
pub use failure::{BAD_FLAGS, FAILED, Failure, WOULD_CHANGE};
pub use io::Io;

/// How the daemon is found; stands before the command.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ClientArgs {
    /// Daemon socket to connect to: unix:///PATH or tcp://HOST:PORT
    #[arg(short = 'H', long, value_name = "string")]
    pub host: Option<String>,
    /// For tcp:// with TLS.
    #[command(flatten)]
    pub tls: TlsFlags,
}

/// A command.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// One that a daemon answers
    #[command(flatten)]
    Daemon(Box<DaemonCommand>),
    /// Make the docker client a client of this daemon
    #[command(subcommand, override_usage = "swarmw context COMMAND", arg_required_else_help = true)]
    Context(context::ContextCommand),
    /// Print a script that completes command lines in a shell
    #[command(override_usage = "swarmw completion bash|zsh|fish")]
    Completion(completion::CompletionArgs),
    /// Write the manual: a page for each command
    #[command(override_usage = "swarmw man DIR")]
    Man(man::ManArgs),
    /// Says how a command line may go on; completion scripts ask
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
}

/// A command that a daemon answers.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum DaemonCommand {
    /// Manage Swarm
    #[command(subcommand, override_usage = "swarmw swarm COMMAND", arg_required_else_help = true)]
    Swarm(swarm::SwarmCommand),
    /// Initialize a swarm
    #[command(override_usage = "swarmw init [OPTIONS]")]
    Init(swarm::InitArgs),
    /// Join a swarm as a node and/or manager
    #[command(override_usage = "swarmw join [OPTIONS] HOST:PORT")]
    Join(swarm::JoinArgs),
    /// Leave the swarm
    #[command(override_usage = "swarmw leave [OPTIONS]")]
    Leave(swarm::LeaveArgs),
    /// Get real time events of the cluster and of this node
    #[command(override_usage = "swarmw events [OPTIONS]")]
    Events(events::EventsArgs),
    /// Display what this node is and its part in the swarm
    #[command(override_usage = "swarmw info [OPTIONS]")]
    Info(info::InfoArgs),
    /// Look after the networks between nodes
    #[command(subcommand, override_usage = "swarmw net COMMAND", arg_required_else_help = true)]
    Net(net::NetCommand),
    /// Manage networks of the cluster and of this node
    #[command(subcommand, override_usage = "swarmw network COMMAND", arg_required_else_help = true)]
    Network(network::NetworkCommand),
    /// Manage Swarm nodes
    #[command(subcommand, override_usage = "swarmw node COMMAND", arg_required_else_help = true)]
    Node(node::NodeCommand),
    /// Manage Swarm services
    #[command(subcommand, override_usage = "swarmw service COMMAND", arg_required_else_help = true)]
    Service(Box<service::ServiceCommand>),
    /// Manage Swarm configs
    #[command(subcommand, override_usage = "swarmw config COMMAND", arg_required_else_help = true)]
    Config(config::ConfigCommand),
    /// Manage Swarm secrets
    #[command(subcommand, override_usage = "swarmw secret COMMAND", arg_required_else_help = true)]
    Secret(secret::SecretCommand),
    /// Manage Swarm stacks
    #[command(subcommand, override_usage = "swarmw stack COMMAND", arg_required_else_help = true)]
    Stack(stack::StackCommand),
    /// Manage plugins: placement, update policies, volume drivers
    #[command(subcommand, override_usage = "swarmw plugin COMMAND", arg_required_else_help = true)]
    Plugin(plugin::PluginCommand),
    /// Show the versions of this program and of the daemon
    #[command(override_usage = "swarmw version [OPTIONS]")]
    Version(version::VersionArgs),
    /// Manage volumes of this node and of the cluster
    #[command(subcommand, override_usage = "swarmw volume COMMAND", arg_required_else_help = true)]
    Volume(volume::VolumeCommand),
    /// Watch the cluster's objects change, from a revision on
    #[command(override_usage = "swarmw watch [OPTIONS]")]
    Watch(watch::WatchArgs),
}

/// Clap's description of all commands here, for a binary that mounts nothing else.
pub fn command() -> clap::Command {
    use clap::{Args as _, Subcommand as _};
    let root = ClientArgs::augment_args(clap::Command::new("swarmw"))
        .about("A container orchestrator that speaks Docker Swarm")
        .override_usage("swarmw [OPTIONS] COMMAND")
        .subcommand_required(true)
        .arg_required_else_help(true);
    prepare(Command::augment_subcommands(root))
}

/// Runs one command against the daemon that `args` names, writes its results and
/// errors to `io`, and gives the exit code: 0, 1 where it failed, or 2 where a plan that was
/// asked to say so has changes. `root` is the command that all others are below.
pub async fn run(args: &ClientArgs, command: Command, root: &clap::Command, io: &mut Io) -> i32 {
    match dispatch(args, command, root, io).await {
        Ok(()) => 0,
        Err(Failure::WouldChange) => WOULD_CHANGE,
        Err(failure) => {
            if !failure.is_broken_pipe() {
                // Nobody is left to be told where even this cannot be written.
                let _ = io.warn(&failure);
            }
            FAILED
        }
    }
}

fn client(args: &ClientArgs) -> Result<Client, Failure> {
    let host = Host::find(args.host.as_deref()).map_err(|e| Failure::new(e.to_string()))?;
    let folder = std::env::var_os(CERTIFICATES_VARIABLE).filter(|folder| !folder.is_empty());
    let tls = match host {
        Host::Tcp(_) => args.tls.config(folder.map(Into::into))?,
        Host::Unix(_) => None,
    };
    Ok(Client::new(host).with_tls(tls))
}

/// Parses `arguments`, the program's name first, and runs what they ask for.
pub async fn run_arguments<I>(arguments: I, io: &mut Io) -> i32
where
    I: IntoIterator<Item = std::ffi::OsString>,
{
    use clap::FromArgMatches as _;
    let arguments: Vec<_> = arguments.into_iter().collect();
    let mut root = command();
    let parsed = root.try_get_matches_from_mut(&arguments).and_then(|matches| {
        Ok((ClientArgs::from_arg_matches(&matches)?, Command::from_arg_matches(&matches)?))
    });
    match parsed {
        Ok((args, command)) => run(&args, command, &root, io).await,
        Err(error) => explain(&error, &root, &arguments).tell(io),
    }
}

async fn dispatch(
    args: &ClientArgs,
    command: Command,
    root: &clap::Command,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        Command::Completion(args) => completion::script(&args, io),
        Command::Complete(words) => completion::complete(args, &words, root, io).await,
        Command::Context(command) => context::run(args, command, io),
        Command::Man(args) => man::run(&args, root, io),
        Command::Daemon(command) => ask(&client(args)?, *command, io).await,
    }
}

async fn ask(client: &Client, command: DaemonCommand, io: &mut Io) -> Result<(), Failure> {
    match command {
        DaemonCommand::Swarm(command) => swarm::run(client, command, io).await,
        DaemonCommand::Init(args) => swarm::run(client, swarm::SwarmCommand::Init(args), io).await,
        DaemonCommand::Join(args) => swarm::run(client, swarm::SwarmCommand::Join(args), io).await,
        DaemonCommand::Leave(args) => {
            swarm::run(client, swarm::SwarmCommand::Leave(args), io).await
        }
        DaemonCommand::Events(args) => events::run(client, args, io).await,
        DaemonCommand::Info(args) => info::run(client, &args, io).await,
        DaemonCommand::Version(args) => version::run(client, &args, io).await,
        DaemonCommand::Watch(args) => watch::run(client, args, io).await,
        DaemonCommand::Net(command) => net::run(client, command, io).await,
        DaemonCommand::Network(command) => network::run(client, command, io).await,
        DaemonCommand::Node(command) => node::run(client, command, io).await,
        DaemonCommand::Service(command) => service::run(client, *command, io).await,
        DaemonCommand::Config(command) => config::run(client, command, io).await,
        DaemonCommand::Secret(command) => secret::run(client, command, io).await,
        DaemonCommand::Stack(command) => stack::run(client, command, io).await,
        DaemonCommand::Plugin(command) => plugin::run(client, command, io).await,
        DaemonCommand::Volume(command) => volume::run(client, command, io).await,
    }
}
