//! `swarmw config …`

use crate::client::Client;
use crate::data::{self, Kind, New};
use crate::failure::Failure;
use crate::flags::{InspectFlags, ListFlags};
use crate::io::Io;
use crate::parse::label;

/// What the daemon calls them.
pub(crate) const CONFIG: Kind = Kind {
    word: "config",
    path: "/configs",
    has_driver: false,
    shape: &crate::shape::CONFIG,
    format: "configFormat",
};

/// `config …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum ConfigCommand {
    /// Create a config from a file or STDIN
    #[command(override_usage = "swarmw config create [OPTIONS] CONFIG file|-")]
    Create(CreateArgs),
    /// Display detailed information on one or more configs
    #[command(override_usage = "swarmw config inspect [OPTIONS] CONFIG [CONFIG...]")]
    Inspect(InspectArgs),
    /// List configs
    #[command(visible_alias = "list", override_usage = "swarmw config ls [OPTIONS]")]
    Ls(LsArgs),
    /// Replace the data of a config by another version, for all services that have it
    #[command(override_usage = "swarmw config rotate [OPTIONS] CONFIG [file|-]")]
    Rotate(data::RotateArgs),
    /// Remove one or more configs
    #[command(visible_alias = "remove", override_usage = "swarmw config rm CONFIG [CONFIG...]")]
    Rm(RmArgs),
}

/// `config create`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct CreateArgs {
    /// Config labels
    #[arg(short, long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Template driver
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    template_driver: String,
    /// Its name
    #[arg(value_name = "CONFIG")]
    name: String,
    /// The file with its data, or - for standard input
    #[arg(value_name = "file|-")]
    file: String,
}

/// `config inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    #[command(flatten)]
    show: InspectFlags,
    /// Names, ids or unique id prefixes
    #[arg(value_name = "CONFIG", required = true, num_args(1..))]
    configs: Vec<String>,
}

/// `config ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
}

/// `config rm`
#[derive(clap::Args, Clone, Debug)]
pub struct RmArgs {
    /// Names, ids or unique id prefixes
    #[arg(value_name = "CONFIG", required = true, num_args(1..))]
    configs: Vec<String>,
}

pub(crate) async fn run(
    client: &Client,
    command: ConfigCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Create(args) => {
            let new = New {
                name: args.name,
                labels: args.label,
                driver: String::new(),
                template_driver: args.template_driver,
                file: args.file,
            };
            data::create(client, &CONFIG, new, io).await
        }
        ConfigCommand::Inspect(args) => {
            data::inspect(client, &CONFIG, &args.configs, &args.show, io).await
        }
        ConfigCommand::Ls(args) => data::ls(client, &CONFIG, &args.list, io).await,
        ConfigCommand::Rotate(args) => data::rotate(client, &CONFIG, args, io).await,
        ConfigCommand::Rm(args) => data::rm(client, &CONFIG, &args.configs, io).await,
    }
}
