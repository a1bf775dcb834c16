//! `swarmw net …`: networks between the machines.

mod doctor;

use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;

/// `net …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum NetCommand {
    /// Compare what each node's kernel has of networks and published ports with what it should
    #[command(
        override_usage = "swarmw net doctor [OPTIONS]",
        after_help = "Nodes look at themselves and mend nothing by it. The exit code is 1 where \
                      something differs or a node does not answer."
    )]
    Doctor(doctor::DoctorArgs),
}

pub(crate) async fn run(client: &Client, command: NetCommand, io: &mut Io) -> Result<(), Failure> {
    match command {
        NetCommand::Doctor(args) => doctor::run(client, args, io).await,
    }
}
