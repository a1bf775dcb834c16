//! What tests and benchmarks need of the machine: Debian packages, compile targets.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{on_path, root, run_command, run_in};

/// A program or a file, and the Debian package that has it.
type Has = (&'static str, &'static str);

/// Programs that the tests run, and the Debian package that has each.
const PROGRAMS: &[Has] = &[
    ("dockerd", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("openssl", "openssl"),
    ("redis-server", "redis-server"),
    ("prometheus", "prometheus"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("dig", "bind9-dnsutils"),
    ("nsenter", "util-linux"),
    ("mkfs.ext4", "e2fsprogs"),
    ("sshfs", "sshfs"),
    ("sshd", "openssh-server"),
    ("curl", "curl"),
    ("haproxy", "haproxy"),
    ("cc", "gcc"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("ansible-playbook", "ansible"),
    ("docker-compose", "docker-compose"),
    // Their completion scripts are tried in them.
    ("zsh", "zsh"),
    ("fish", "fish"),
];

/// What is no program: modules of Debian's own python3, whatever else the PATH has.
const FILES: &[Has] = &[
    ("/usr/bin/python3", "python3"),
    // Its program stands in the folder of each version of Python.
    ("/usr/share/doc/python3-venv", "python3-venv"),
    ("/usr/lib/python3/dist-packages/docker", "python3-docker"),
    ("/usr/lib/python3/dist-packages/jsondiff", "python3-jsondiff"),
];

/// The same for benchmarks of networks.
const NETWORK_PROGRAMS: &[Has] = &[
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("iperf3", "iperf3"),
    ("nft", "nftables"),
    ("sysctl", "procps"),
];

/// The same for images of swarmw, which are made of them.
const IMAGE_PROGRAMS: &[Has] = &[
    ("dockerd", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("strip", "binutils"),
];

/// Folders that a login shell of an ordinary user may leave out of the PATH.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Installs the missing packages as root; otherwise says what is missing.
pub fn prepare() -> Result<()> {
    have(PROGRAMS, FILES, "cargo xtask test")?;
    if !is_root()? {
        bail!(
            "the tests start private Docker engines in namespaces of their own and mount small\n\
             file systems, which needs root.\n\
             Run `cargo xtask test` as root, or the others with \
             `cargo test --workspace -- --skip docker:: --skip clients:: --skip needs_root::`."
        );
    }
    compile_targets()
}

/// The same for benchmarks of networks.
pub fn prepare_networks() -> Result<()> {
    have(NETWORK_PROGRAMS, &[], "cargo xtask bars networks")?;
    if !is_root()? {
        bail!("benchmarks of networks make network namespaces, which needs root");
    }
    Ok(())
}

/// The same for images of swarmw.
pub fn prepare_image() -> Result<()> {
    have(IMAGE_PROGRAMS, &[], "cargo xtask image")?;
    compile_targets()
}

fn have(programs: &[Has], files: &[Has], command: &str) -> Result<()> {
    let missing = missing_packages(programs, files);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root()? {
        bail!(
            "missing Debian packages: {list}\n\
             Install them (`apt-get install {list}`) or run `{command}` as root.\n\
             Tests and benchmarks that make Docker engines and network namespaces need root as well."
        );
    }
    install(&missing)
}

fn missing_packages(programs: &[Has], files: &[Has]) -> Vec<&'static str> {
    let there = |program: &str| {
        on_path(program)
            || SYSTEM_FOLDERS.iter().any(|dir| std::path::Path::new(dir).join(program).is_file())
    };
    let programs = programs.iter().filter(|(program, _)| !there(program));
    let files = files.iter().filter(|(file, _)| !std::path::Path::new(file).exists());
    let mut packages: Vec<_> = programs.chain(files).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        run_command(
            Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

/// Toolchain auto-install may be off, so the targets are asked for by name.
pub fn compile_targets() -> Result<()> {
    run_in(&root(), "rustup", &["target", "add", "wasm32-unknown-unknown", "wasm32-wasip2"])
}

fn is_root() -> Result<bool> {
    let own = std::fs::metadata("/proc/self").context("no /proc: is this Linux?")?;
    Ok(own.uid() == 0)
}
