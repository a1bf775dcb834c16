//! The docker clients that `tests/it/docker/walk.rs` walks with.

#[path = "../../tests/it/support/docker_cli.rs"]
mod docker_cli;

use anyhow::{Error, Result};

use docker_cli::{DockerCli, NAMED};

/// What Debian's package adds to Docker's version.
const DEBIANS: &str = "+dfsg";

/// The clients of this machine; an error where the user names one that is none.
pub fn found() -> Result<Vec<DockerCli>> {
    DockerCli::all().map_err(Error::msg)
}

/// Names the clients that walked every command, and those that were not there to do it.
pub fn say_which_walked(clients: &[DockerCli]) {
    for client in clients {
        eprintln!("docker client walked: {} ({})", client.version, client.program.display());
    }
    let is_debians = |client: &&DockerCli| client.version.contains(DEBIANS);
    let debians = clients.iter().filter(is_debians).count();
    if debians == 0 {
        eprintln!("not run: Debian's docker client (apt-get install docker.io).");
    }
    if debians == clients.len() {
        eprintln!("not run: a docker client other than Debian's; none is on the PATH.");
    }
    eprintln!("{NAMED} may name one more.");
}
