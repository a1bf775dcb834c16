//! Clients that nobody here wrote: docker-py, python-on-whales, Ansible, docker-compose; what
//! Traefik, the visualizer and Portainer ask; and a proxy that configures itself. On real
//! engines, and where both can be asked, beside Docker's own swarm on one of them.

mod alone;
mod beside;
mod kept;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Machine, Node, Output, RootFs};

/// Debian's, which sees Debian's packages; not one that a user put before it in the PATH.
const PYTHON: &str = "/usr/bin/python3";
/// Where Debian's packages are for it.
const PACKAGES: &str = "/usr/lib/python3/dist-packages";

/// What the clients' programs expect: a server on port 80, of two versions, and a shell.
const SERVES: &[&str] = &[r#"CMD ["httpd", "-f", "-p", "80", "-h", "/www"]"#];
const IMAGES: [&str; 3] = ["web:1", "web:2", "busybox"];

/// Says which of Debian's packages are missing.
fn require_clients() {
    let missing: Vec<_> = [
        (PYTHON, "python3"),
        ("/usr/lib/python3/dist-packages/docker", "python3-docker"),
        ("/usr/lib/python3/dist-packages/jsondiff", "python3-jsondiff"),
        ("/usr/bin/ansible-playbook", "ansible"),
        ("/usr/bin/docker-compose", "docker-compose"),
        ("/usr/sbin/haproxy", "haproxy"),
    ]
    .into_iter()
    .filter(|(path, _)| !Path::new(path).exists())
    .map(|(_, package)| package)
    .collect();
    assert!(missing.is_empty(), "missing: apt-get install {}", missing.join(" "));
}

/// The folder of the clients' programs.
fn programs() -> PathBuf {
    // The package of these tests is that of the binary.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/clients")
}

/// The images on a machine's engine.
fn import(rootfs: &RootFs, machine: &Machine) {
    IMAGES.iter().for_each(|name| rootfs.import(machine, name, SERVES));
}

/// A client's program, with the daemon of this socket for its own.
fn client(program: &str, socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PYTHON);
    command
        .arg(programs().join(program))
        .args(arguments)
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        // Nothing is written beside the programs.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    command
}

/// Runs a client's program, which must succeed, and keeps what it printed in a file.
#[track_caller]
fn walks(mut command: Command, transcript: &Path) {
    let file = File::create(transcript).expect("a file for the transcript");
    let output = command.stdout(file).output().expect("the program starts");
    let printed = std::fs::read_to_string(transcript).unwrap_or_default();
    assert!(output.status.success(), "{command:?}: {}\n{printed}", Output::of(&output));
}

/// Runs a program of a node's user, which must succeed; what it printed.
#[track_caller]
fn must(command: &mut Command, node: &Node) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let output = Output::of(&output);
    assert_eq!(output.code, 0, "{command:?}: {output}\n{}", node.log_end());
    output.stdout
}
