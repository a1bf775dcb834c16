//! The flags of `swarmw daemon`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use swarmw_model::{GenericResource, parse_generic_resources};
use swarmw_registry::{CredentialHelper, CredentialHelpers};

/// Runs a node.
#[derive(Args, Clone, Debug)]
pub struct DaemonArgs {
    /// Where the node keeps its state [default: /var/lib/swarmw as root, else the XDG state folder]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where to serve the API: unix://PATH, or tcp://IP:PORT with TLS or on loopback;
    /// repeatable [default: unix:///run/swarmw.sock as root, else in the XDG runtime folder]
    #[arg(short = 'H', long = "host", value_name = "ADDRESS")]
    pub hosts: Vec<ApiAddress>,

    /// The node's Docker engine: unix://PATH, or none to refuse one
    /// [default: unix:///var/run/docker.sock if an engine answers there]
    #[arg(long, value_name = "ADDRESS")]
    pub engine: Option<EngineChoice>,

    /// What containers get that mount the engine's socket, such as /var/run/docker.sock: the
    /// API of this daemon, so that what looks after a swarm finds one; the engine's own; or
    /// nothing, they are refused
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = SocketChoice::Api)]
    pub engine_socket_in_containers: SocketChoice,

    /// The node's name in the cluster [default: the machine's host name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub node_name: Option<String>,

    /// A label of the engine, for constraints on engine.labels.KEY; repeatable
    #[arg(long = "engine-label", value_name = "KEY=VALUE", value_parser = label)]
    pub engine_labels: Vec<(String, String)>,

    /// What the node has beside CPU and memory, so many of a kind or each by its name
    /// (gpu=2, or gpu=UUID1 and gpu=UUID2), beside what its engine says; repeatable
    #[arg(long = "node-generic-resource", value_name = "KIND=VALUE")]
    pub generic_resources: Vec<String>,

    /// A registry to speak to over plain HTTP; those on loopback are anyway; repeatable
    #[arg(long = "insecure-registry", value_name = "HOST:PORT")]
    pub insecure_registries: Vec<String>,

    /// A program to ask for a registry's credentials whenever this node pulls an image from
    /// it, before those of the service: one of Docker's credential helpers, by its path, or
    /// NAME for docker-credential-NAME on the PATH (123.dkr.ecr.eu-west-1.amazonaws.com=ecr-login,
    /// docker.io=pass); repeatable
    #[arg(long = "credential-helper", value_name = "REGISTRY=PROGRAM")]
    pub credential_helpers: Vec<CredentialHelper>,

    /// Public key of whoever may sign plugins, in PEM, as cosign has it; repeatable. With
    /// one, this node as leader takes no plugin that none of them signed
    #[arg(long = "plugin-key", value_name = "FILE")]
    pub plugin_keys: Vec<PathBuf>,

    /// A program that volume drivers may run on this node if they are granted it, such as
    /// sshfs=/usr/bin/sshfs; repeatable
    #[arg(long = "volume-helper", value_name = "NAME=PATH", value_parser = helper)]
    pub volume_helpers: Vec<(String, PathBuf)>,

    /// The address that published ports listen on; 0.0.0.0 stands for all, of IPv6 too
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub publish_addr: IpAddr,

    /// How the daemon logs, to standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Certificate authority of API clients, for tcp:// beyond loopback
    #[arg(long, value_name = "FILE", requires_all = ["tlscert", "tlskey"])]
    pub tlscacert: Option<PathBuf>,

    /// Certificate of the API, for tcp:// beyond loopback
    #[arg(long, value_name = "FILE", requires_all = ["tlscacert", "tlskey"])]
    pub tlscert: Option<PathBuf>,

    /// Key of the API's certificate
    #[arg(long, value_name = "FILE", requires_all = ["tlscacert", "tlscert"])]
    pub tlskey: Option<PathBuf>,
}

/// Where the API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

/// Which Docker engine the node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    /// None, even if there is one.
    None,
    /// The engine behind this socket.
    Unix(PathBuf),
}

/// What containers get for the engine's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SocketChoice {
    /// The API of this daemon in its place.
    Api,
    /// The engine's own socket, as with Docker.
    Engine,
    /// Nothing: a container that mounts it is refused.
    Refuse,
}

/// How the daemon logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("want KEY=VALUE, got {text:?}")),
    }
}

fn helper(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && path.starts_with('/') => {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err(format!("want NAME=/PATH, got {text:?}")),
    }
}

// === impl DaemonArgs ===

impl DaemonArgs {
    /// The node's generic resources.
    ///
    /// # Errors
    /// Swarm's words for what is wrong.
    pub fn generic_resources(&self) -> Result<Vec<GenericResource>, String> {
        parse_generic_resources(self.generic_resources.iter().map(String::as_str))
    }

    /// The programs that have credentials for registries.
    ///
    /// # Errors
    /// A registry has two.
    pub fn credential_helpers(&self) -> Result<CredentialHelpers, String> {
        CredentialHelpers::new(self.credential_helpers.iter().cloned())
    }

    /// The engine labels as a map; the last of a key wins.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.engine_labels.iter().cloned().collect()
    }
}

// === impl ApiAddress ===

impl FromStr for ApiAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            return match path {
                "" => Err("unix:// wants a path, as in unix:///run/swarmw.sock".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        match text.strip_prefix("tcp://").map(str::parse) {
            Some(Ok(address)) => Ok(Self::Tcp(address)),
            Some(Err(_)) => Err(format!("tcp:// wants IP:PORT, got {text:?}")),
            None => Err(format!("want unix://PATH or tcp://IP:PORT, got {text:?}")),
        }
    }
}

// === impl EngineChoice ===

impl FromStr for EngineChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("unix://")) {
            ("none", _) => Ok(Self::None),
            (_, Some(path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => Err(format!("want unix://PATH or none, got {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: DaemonArgs,
    }

    fn refused(flags: &str) -> String {
        use clap::Parser as _;
        let words = std::iter::once("swarmw").chain(flags.split(' '));
        Command::try_parse_from(words).expect_err(flags).to_string()
    }

    #[test]
    fn generic_resources_are_read_together() {
        use clap::Parser as _;
        let read = |values: &[&str]| {
            let flags = values.iter().flat_map(|value| ["--node-generic-resource", value]);
            let words = std::iter::once("swarmw").chain(flags);
            Command::try_parse_from(words).expect("flags").args.generic_resources()
        };
        assert_eq!(read(&["gpu=a", "ssd=2", "gpu=b"]).map(|all| all.len()), Ok(3));
        let why = read(&["gpu=1", "gpu=a"]).expect_err("mixed");
        assert!(why.contains("mixed discrete and named resources"), "{why}");
    }

    #[test]
    fn a_registry_has_one_credential_helper() {
        use clap::Parser as _;
        let read = |values: &[&str]| {
            let flags = values.iter().flat_map(|value| ["--credential-helper", value]);
            let words = std::iter::once("swarmw").chain(flags);
            let helpers = Command::try_parse_from(words).expect("flags").args.credential_helpers();
            helpers.map(|helpers| helpers.missing().len())
        };
        assert_eq!(read(&[]), Ok(0));
        let away = ["reg.example:5000=/nonexistent/helper", "docker.io=of-this-test"];
        assert_eq!(read(&away), Ok(2), "both are taken, and missed");
        let two = read(&["docker.io=pass", "docker.io=secretservice"]).expect_err("two");
        assert!(two.starts_with("docker.io has two credential helpers, "), "{two}");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for (flags, want) in [
            ("--engine-label foo", "want KEY=VALUE, got \"foo\""),
            ("--engine-label =x", "want KEY=VALUE, got \"=x\""),
            ("--volume-helper sshfs", "want NAME=/PATH, got \"sshfs\""),
            ("--volume-helper sshfs=sshfs", "want NAME=/PATH"),
            ("--credential-helper reg.example", "want REGISTRY=/PATH, or REGISTRY=NAME"),
            ("--credential-helper https://reg.example=pass", "want a registry as images name it"),
            ("--node-name ", "a value is required for '--node-name <NAME>'"),
            ("--engine tcp://1.2.3.4:5", "want unix://PATH or none"),
            ("-H unix://", "unix:// wants a path"),
            ("-H tcp://localhost:1", "tcp:// wants IP:PORT"),
            ("--tlscacert ca.pem", "--tlscert <FILE>"),
        ] {
            assert!(refused(flags).contains(want), "{flags}: {}", refused(flags));
        }
    }
}
