//! What can go wrong, in sentences.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::router::ENODEV;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See [`crate::Overlay::able`].
    #[error(
        "overlay networks need root: this process runs as user {0}; start swarmw as root, or \
         give it CAP_NET_ADMIN and CAP_SYS_ADMIN"
    )]
    NotRoot(u32),
    /// There is no such program.
    #[error("overlay networks need {0:?} of nftables, which is not there: apt install nftables")]
    NoNft(PathBuf),
    /// It did not start, or did not end in time.
    #[error("{program:?} could not be run: {source}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It refused; nothing of that change was made.
    #[error("nftables refused a change: {0}")]
    Nft(String),
    /// A network namespace could not be made, entered or removed.
    #[error("network namespace {path:?} could not be {act}: {source}")]
    Namespace {
        /// Its file.
        path: PathBuf,
        /// `made`, `entered`, …
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{what} could not be {act}: {source}")]
    Kernel {
        /// `route to 10.0.1.7`, `device vx4097`, …
        what: String,
        /// `made`, `removed`, `read`, …
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another program has the port.
    #[error(
        "UDP port {port} of VXLAN is taken on this node: stop the program that has it (see \
         `ss -ulnp`), or make the cluster with another --data-path-port"
    )]
    PortTaken {
        /// The cluster's port for VXLAN.
        port: u16,
    },
    /// Another device has the number.
    #[error(
        "VXLAN number {vni} on port {port} is another device's on this node (a Docker Swarm \
         beside this one?): remove the device (see `ip -d link show type vxlan`), or make the \
         cluster with another --data-path-port"
    )]
    NumberTaken {
        /// The network's number.
        vni: u32,
        /// The cluster's port for VXLAN.
        port: u16,
    },
    /// The address of the node is not on it.
    #[error(
        "the data path address {0} is on no device of this node: give one that is \
         (--data-path-addr)"
    )]
    NoAddress(IpAddr),
    /// A kernel setting could not be written.
    #[error("setting {key} could not be made {value}: {source}")]
    Setting {
        /// `net.ipv4.ip_forward`
        key: String,
        /// What it should be.
        value: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The engine's firewall is one that this room cannot tell what to let through.
    #[error(
        "the engine keeps its firewall in nftables, which drops what comes for published ports: \
         start it without --firewall-backend=nftables for the kernel to serve them"
    )]
    EngineFirewall,
    /// IPv6 is off.
    #[error(
        "IPv6 is off in this node's kernel: overlay networks use it between nodes, also for \
         IPv4 (remove ipv6.disable=1 from its command line)"
    )]
    NoIpv6,
    /// A name that no device can have.
    #[error(
        "{0:?} is no name of a device: 1 to {longest} letters and digits",
        longest = crate::Veth::LONGEST
    )]
    Veth(String),
    /// A name that no bridge of an engine has.
    #[error(
        "{0:?} is no name of an engine's bridge: 1 to 15 letters, digits, dots, dashes and \
         underscores"
    )]
    Bridge(String),
    /// The engine's firewall refused a change.
    #[error("{program:?} refused a change: {said}")]
    Firewall {
        /// `iptables-restore`, …
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// The container has no device with the address.
    #[error("no device of the container in {sandbox:?} has the address {address}")]
    NotInContainer {
        /// Its network namespace.
        sandbox: PathBuf,
        /// Its address, as it should be.
        address: IpAddr,
    },
}

/// Of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

// === impl Error ===

impl Error {
    /// For `map_err`.
    pub(crate) fn kernel(act: &'static str, what: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Kernel { what, act, source }
    }

    /// The device it was about is not there.
    pub(crate) fn is_of_no_device(&self) -> bool {
        self.errno() == Some(ENODEV)
    }

    /// What the kernel answered.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
