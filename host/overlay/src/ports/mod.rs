//! Published ports in the kernel of one node: what should be there is one value
//! ([`DesiredPorts`]), and [`Ports`] makes it so, in the node's own network namespace.
//!
//! A task that serves published ports has an *ingress address*, which is the same on all
//! nodes, and on its own node the address of its container on the engine's bridge. Whoever
//! connects to any node is translated there, once, to one of both:
//!
//! ```text
//!   client ── entry node ──────────────────────────── docker_gwbridge ── container
//!                 └── swingress ══ VXLAN ══ swingress ── docker_gwbridge ── container
//! ```
//!
//! The client's address is kept. So the answer of a container must go back by the node that
//! its question came by: the serving node notes the entry node as the connection's mark, and
//! a rule and a table for each node lead there.
//!
//! - `plan`: what a `DesiredPorts` means in links, routes, rules; pure.
//! - `table`: the nftables of it, and the smallest change of them; pure.
//! - `part`, `index`: the part of it all that a change touches; pure.
//! - `policy`, `settings`, `firewall`: rules of routing, kernel settings, the engine's firewall.
//! - `state`: what is behind the front door.
//!
//! Two ways are left to whoever listens on the port in user space: `[::1]`, which no packet of
//! IPv6 leaves by, and a container that is a client of a port that it serves itself. With
//! `br_netfilter`, which engines load for bridges whose containers are kept apart, its packets
//! would be sent back to it by the bridge, and a bridge does not do that; if it is told to
//! (`hairpin on`), containers hear their own IPv6 as a duplicate and never finish to look.
//!
//! What it changes of the machine besides: it forwards (`net.ipv4.ip_forward`, with IPv6
//! backends `net.ipv6.conf.all.forwarding`), which stays so, as other software may count on
//! it by then. Devices that live by router advertisements go on to do so (`accept_ra=2`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use imbl::OrdMap;
use swarmw_model::{NodeId, PortProtocol};
use tokio::sync::Mutex;

use crate::beside::sharing;
use crate::drift::{Applied, Drift};
use crate::probe::DataPath;
use crate::{Error, Result};

mod firewall;
mod index;
mod part;
mod plan;
mod policy;
mod settings;
mod state;
mod table;

use state::State;

/// What a node's kernel should have of published ports. What comes of one by a few changes
/// shares the rest with it, and of that nothing is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPorts {
    /// This node: what is in the kernel has its name, by which a later process knows it.
    pub node: NodeId,
    /// This node's number.
    pub number: u16,
    /// Where its VXLAN ends. Connections that must be masked have it as their source.
    pub address: IpAddr,
    /// The UDP port of VXLAN.
    pub port: u16,
    /// The VXLAN network identifier of the ingress network.
    pub vni: u32,
    /// The engine's bridge that containers are reached by: `docker_gwbridge`.
    pub bridge: String,
    /// Other nodes, by number: where their VXLAN ends.
    pub peers: BTreeMap<u16, IpAddr>,
    /// Other addresses that nodes' own connections may come from, besides those of `peers`,
    /// each with its node's number. A node that is led back to itself is only answered if it
    /// is masked.
    pub nodes: BTreeMap<IpAddr, u16>,
    /// Ingress addresses of tasks here, drained ones too.
    pub here: BTreeMap<Ipv4Addr, Local>,
    /// Ingress addresses of tasks elsewhere, drained ones too.
    pub elsewhere: OrdMap<Ipv4Addr, Remote>,
    /// What is published.
    pub ports: OrdMap<(PortProtocol, u16), PublishedEnds>,
}

/// A task here: its container's addresses on the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6: the engine's bridge has it only if it was made so.
    pub v6: Option<Ipv6Addr>,
}

/// A task elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The number of its node.
    pub node: u16,
    /// Its container has an IPv4 address there.
    pub v4: bool,
    /// Its container has an IPv6 address there.
    pub v6: bool,
}

/// Who serves a published port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedEnds {
    /// Ingress addresses of tasks that take new connections, each with the port that its
    /// container listens on. Those that no way leads to are left out.
    pub backends: BTreeSet<(Ipv4Addr, u16)>,
    /// Containers see this node as the client: for what breaks otherwise.
    pub snat: bool,
    /// Without backends, the port is left to whoever listens on it in user space; otherwise it
    /// is refused.
    pub user_space: bool,
}

/// Where a node's published ports are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortsSettings {
    /// The node's own network namespace.
    pub machine: PathBuf,
    /// The program `nft`.
    pub nft: PathBuf,
    /// The program `iptables`, with which the engine keeps its firewall; beside it is
    /// `iptables-restore`. Without it, the engine has none.
    pub iptables: PathBuf,
    /// The same for IPv6.
    pub ip6tables: PathBuf,
}

/// The published ports of a node in its kernel. What it does it does one at a time; dropping
/// it leaves all as it is, for the next one to adopt.
#[derive(Debug)]
pub struct Ports {
    settings: PortsSettings,
    state: Mutex<State>,
}

// === impl DesiredPorts ===

impl DesiredPorts {
    /// Neither ports nor tasks: nothing should be there. Of ports without any task there is the
    /// table that refuses them.
    pub fn is_nothing(&self) -> bool {
        self.ports.is_empty() && !self.has_ends()
    }

    /// The same, which shares with another what is alike: for one that was made anew.
    #[must_use]
    pub fn sharing(self, with: &Self) -> Self {
        let elsewhere = sharing(&self.elsewhere, &with.elsewhere);
        let ports = sharing(&self.ports, &with.ports);
        Self { elsewhere, ports, ..self }
    }

    /// Whether there is any task, here or elsewhere.
    pub(crate) fn has_ends(&self) -> bool {
        !self.here.is_empty() || !self.elsewhere.is_empty()
    }

    /// The bridge's name is part of rules.
    fn checked(self) -> Result<Self> {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if (1..16).contains(&self.bridge.len()) && self.bridge.bytes().all(usual) {
            return Ok(self);
        }
        Err(Error::Bridge(self.bridge))
    }
}

/// The IPv6 address that goes with an ingress address: the same in every cluster, as it never
/// leaves the nodes.
pub fn ingress_v6(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets();
    let half = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfd53, 0x5700, 0, 0, 0, 0, half(a, b), half(c, d))
}

// === impl PortsSettings ===

impl Default for PortsSettings {
    fn default() -> Self {
        Self {
            machine: "/proc/self/ns/net".into(),
            nft: "nft".into(),
            iptables: "iptables".into(),
            ip6tables: "ip6tables".into(),
        }
    }
}

// === impl Ports ===

impl Ports {
    /// Whoever opens it adopts what is there with the first [`Ports::apply`].
    pub async fn open(settings: PortsSettings) -> Result<Self> {
        let state = State::open(&settings).await?;
        Ok(Self { settings, state: Mutex::new(state) })
    }

    /// Makes the kernel so, by what differs from what was applied before; then forgets UDP
    /// flows to backends that went, and connections that those never answered. Without ports
    /// and tasks, nothing is left.
    ///
    /// # Errors
    ///
    /// Says what was refused. The next call reads the kernel and tries again.
    pub async fn apply(&self, desired: DesiredPorts) -> Result<Applied> {
        let desired = desired.checked()?;
        self.state.lock().await.apply(&self.settings, desired).await
    }

    /// Whether the kernel has what a process of this node made, perhaps an earlier one.
    pub async fn are_of(&self, node: NodeId) -> Result<bool> {
        self.state.lock().await.is_of(&self.settings, node).await
    }

    /// What the kernel lacks or has too much against what was applied last.
    pub async fn check(&self) -> Result<Vec<Drift>> {
        self.state.lock().await.check(&self.settings).await
    }

    /// Makes good what [`Ports::check`] would say: that, and what was done.
    pub async fn repair(&self) -> Result<(Vec<Drift>, Applied)> {
        self.state.lock().await.repair(&self.settings).await
    }

    /// Asks the nodes that have tasks of published ports whether packets get there and back by
    /// VXLAN, each up to three times within two seconds.
    ///
    /// # Errors
    ///
    /// This node's own kernel does not let it ask.
    pub async fn try_data_path(&self) -> Result<DataPath> {
        let ready = self.state.lock().await.probe().await?;
        match ready {
            Some((probe, inside)) => probe.ask(&inside).await,
            None => Ok(DataPath::default()),
        }
    }

    /// Removes all of it, if it is what an earlier process of this node made: whether it was.
    /// Another node's beside this one stays.
    pub async fn close_of(self, node: NodeId) -> Result<bool> {
        let is_its = self.are_of(node).await?;
        if is_its {
            self.close().await?;
        }
        Ok(is_its)
    }

    /// Removes all of it. Connections to tasks elsewhere end.
    pub async fn close(self) -> Result<()> {
        self.state.into_inner().close(&self.settings).await.map(|_| ())
    }
}
