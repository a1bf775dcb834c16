//! Overlay networks in the kernel of one node: what should be there is one value
//! ([`Desired`]), and [`Overlay`] makes it so.
//!
//! All networks of a node meet in one network namespace of its own, the *router*. A
//! container has a veth into it; between nodes each network has a VXLAN device in it.
//! Everything is routed there, nothing is bridged: so a virtual address is translated once,
//! where the connection begins, and the answer comes back the same way with the client's
//! address untouched.
//!
//! ```text
//!   container ──veth── router ──vx4097── (VXLAN, in the node's own namespace) ── other nodes
//!                        │  nftables: virtual addresses, one network apart from another
//! ```
//!
//! - `layout`: what a `Desired` means in devices, addresses, routes, neighbours; pure.
//! - `difference`: from what is there to what should be, step by step; pure.
//! - `table`: the nftables of it, and the smallest change of them; pure.
//! - `part`, `known`: the part of it all that a change touches; pure.
//! - `router`, `reading`, `doing`: the kernel itself, over netlink.
//! - `nft`, `netfilter`, `nf_tables`: its packet filter, by the program and by messages.
//! - `overlay`, `state`: the front door, and what is behind it.
//! - `catch`: connections to tasks that no kernel leads to, for a listener in the router.
//! - `probe`: whether packets get to other nodes and back, for both front doors.
//! - `ports`: the other front door: published ports, in the node's own namespace.
//!
//! This room knows addresses, devices and nodes by number. It does not know services,
//! names, Docker, or who decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use swarmw_model::{NetworkId, Pool};

mod beside;
mod catch;
mod container;
mod device;
mod difference;
mod doing;
mod drift;
mod error;
mod known;
mod layout;
mod namespace;
mod netfilter;
mod netlink;
mod nf_tables;
mod nft;
mod overlay;
mod part;
mod ports;
mod probe;
mod reading;
mod router;
mod seal;
mod settings;
mod state;
mod table;

pub use container::{ContainerEnd, ContainerRoute, extend, routes_of};
pub use drift::{Applied, Drift, Failure};
pub use error::{Error, Result};
pub use netfilter::{forget_flows_here, generation_here};
pub use overlay::{Overlay, Settings};
pub use ports::{DesiredPorts, Local, Ports, PortsSettings, PublishedEnds, Remote, ingress_v6};
pub use probe::{DataPath, Silent};

/// What a node's kernel should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// This node's number.
    pub number: u16,
    /// Where its VXLAN ends.
    pub address: IpAddr,
    /// The UDP port of VXLAN.
    pub port: u16,
    /// Other nodes, by number.
    pub peers: BTreeMap<u16, IpAddr>,
    /// Networks with tasks here. One that is as it was in what was desired before is best the
    /// same one: then nothing of it is looked at.
    pub networks: BTreeMap<NetworkId, Arc<DesiredNetwork>>,
}

/// What a node's kernel should have of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredNetwork {
    /// Its VXLAN network identifier.
    pub vni: u32,
    /// The greatest packet of the machines' own network as the operator says it, where that
    /// is less than it is.
    pub underlay_mtu: Option<u32>,
    /// Its subnets.
    pub pools: Vec<Pool>,
    /// Addresses of containers here, and the veth that leads to each.
    pub here: BTreeMap<IpAddr, Veth>,
    /// Addresses elsewhere, by the number of the node.
    pub elsewhere: BTreeMap<IpAddr, u16>,
    /// Addresses of tasks that no kernel leads to: connections of containers here go to
    /// [`Overlay::listen`].
    pub caught: BTreeSet<IpAddr>,
    /// Virtual addresses, and those that connections to each go to in turn; none: they are
    /// refused.
    pub balanced: BTreeMap<IpAddr, Vec<IpAddr>>,
}

/// The router's end of a container's link: named after the engine's id of the endpoint, in
/// at most [`Veth::LONGEST`] letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Veth(pub String);

// === impl Veth ===

impl Veth {
    /// A device's name has 15 bytes at most, and the container's end has one more.
    pub const LONGEST: usize = 14;

    /// The name of the container's end, while it is in the node's own namespace.
    pub fn other_end(&self) -> String {
        format!("{}c", self.0)
    }

    fn checked(&self) -> Result<&str> {
        let fits = (1..=Self::LONGEST).contains(&self.0.len());
        if fits && self.0.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(&self.0);
        }
        Err(Error::Veth(self.0.clone()))
    }
}

impl fmt::Display for Veth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
