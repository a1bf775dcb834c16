//! `swarmw secret …`

use crate::client::Client;
use crate::data::{self, Kind, New};
use crate::failure::Failure;
use crate::flags::{InspectFlags, ListFlags};
use crate::io::Io;
use crate::parse::label;

/// What the daemon calls them.
pub(crate) const SECRET: Kind = Kind {
    word: "secret",
    path: "/secrets",
    has_driver: true,
    shape: &crate::shape::SECRET,
    format: "secretFormat",
};

/// `secret …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum SecretCommand {
    /// Create a secret from a file or STDIN as content
    #[command(override_usage = "swarmw secret create [OPTIONS] SECRET [file|-]")]
    Create(CreateArgs),
    /// Display detailed information on one or more secrets
    #[command(override_usage = "swarmw secret inspect [OPTIONS] SECRET [SECRET...]")]
    Inspect(InspectArgs),
    /// List secrets
    #[command(visible_alias = "list", override_usage = "swarmw secret ls [OPTIONS]")]
    Ls(LsArgs),
    /// Replace the data of a secret by another version, for all services that have it
    #[command(override_usage = "swarmw secret rotate [OPTIONS] SECRET [file|-]")]
    Rotate(data::RotateArgs),
    /// Remove one or more secrets
    #[command(visible_alias = "remove", override_usage = "swarmw secret rm SECRET [SECRET...]")]
    Rm(RmArgs),
}

/// `secret create`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct CreateArgs {
    /// Secret driver
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    driver: String,
    /// Secret labels
    #[arg(short, long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Template driver
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    template_driver: String,
    /// Its name
    #[arg(value_name = "SECRET")]
    name: String,
    /// The file with its data, or - for standard input
    #[arg(value_name = "file|-")]
    file: Option<String>,
}

/// `secret inspect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    #[command(flatten)]
    show: InspectFlags,
    /// Names, ids or unique id prefixes
    #[arg(value_name = "SECRET", required = true, num_args(1..))]
    secrets: Vec<String>,
}

/// `secret ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
}

/// `secret rm`
#[derive(clap::Args, Clone, Debug)]
pub struct RmArgs {
    /// Names, ids or unique id prefixes
    #[arg(value_name = "SECRET", required = true, num_args(1..))]
    secrets: Vec<String>,
}

pub(crate) async fn run(
    client: &Client,
    command: SecretCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    match command {
        SecretCommand::Create(args) => {
            let file = args.file.unwrap_or_default();
            if !args.driver.is_empty() && !file.is_empty() {
                return Err(Failure::new("When using secret driver secret data must be empty"));
            }
            if args.driver.is_empty() && file.is_empty() {
                return Err(Failure::new("secret file is required"));
            }
            let new = New {
                name: args.name,
                labels: args.label,
                driver: args.driver,
                template_driver: args.template_driver,
                file,
            };
            data::create(client, &SECRET, new, io).await
        }
        SecretCommand::Inspect(args) => {
            data::inspect(client, &SECRET, &args.secrets, &args.show, io).await
        }
        SecretCommand::Ls(args) => data::ls(client, &SECRET, &args.list, io).await,
        SecretCommand::Rotate(args) => data::rotate(client, &SECRET, args, io).await,
        SecretCommand::Rm(args) => data::rm(client, &SECRET, &args.secrets, io).await,
    }
}
