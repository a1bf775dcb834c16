//! What was done, and what is not as it should be.

use std::fmt;

use swarmw_model::NetworkId;

use crate::Veth;
use crate::difference::Step;
use crate::netfilter::Forgotten;

/// One thing that the kernel lacks or has too much, against what was applied last. It
/// prints as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    sentence: String,
    repairable: bool,
    link: Option<Veth>,
}

/// What was done to the kernel: how many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The router's namespace was made, or given its name back.
    pub namespaces: usize,
    /// Kernel settings written.
    pub settings: usize,
    /// Devices made, removed or set.
    pub devices: usize,
    /// Addresses of the router.
    pub addresses: usize,
    /// Routes.
    pub routes: usize,
    /// Neighbours.
    pub neighbours: usize,
    /// Entries of forwarding tables: where other nodes' VXLAN ends.
    pub ends: usize,
    /// The nftables table was written as a whole.
    pub tables: usize,
    /// Chains of virtual addresses written.
    pub chains: usize,
    /// Elements of nftables' sets and maps written or removed.
    pub elements: usize,
    /// Rules of routing.
    pub rules: usize,
    /// Lines of the engine's firewall.
    pub firewall: usize,
    /// Bytes that `nft` was told, for published ports.
    pub bytes: usize,
    /// UDP flows forgotten, and connections that nobody had answered: their backend went.
    pub flows: usize,
    /// Entries of the connection table that the kernel said, to find those.
    pub flows_read: usize,
    /// What could not be done, without keeping the rest from it: the link of a container
    /// that is gone, a node of another address family.
    pub lost: Vec<Drift>,
    /// What the kernel refused, without keeping the rest from it: the next call reads the
    /// kernel and tries again.
    pub failed: Vec<Failure>,
}

/// What the kernel refused for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The network; none: of a device that is no network's.
    pub network: Option<NetworkId>,
    /// The container's link that it was about; none: it is about all on the network.
    pub veth: Option<Veth>,
    /// The error, in a sentence.
    pub why: String,
}

// === impl Drift ===

impl Drift {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), repairable: true, link: None }
    }

    pub(crate) fn lost(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), repairable: false, link: None }
    }

    pub(crate) fn lost_link(veth: &str) -> Self {
        let sentence = format!("the link {veth} of a container is missing");
        Self { link: Some(Veth(veth.to_owned())), ..Self::lost(sentence) }
    }

    /// Whether [`crate::Overlay::repair`] helps.
    pub fn is_repairable(&self) -> bool {
        self.repairable
    }

    /// The container's link that is missing: [`crate::Overlay::relink`] helps, while the
    /// container is there.
    pub fn link(&self) -> Option<&Veth> {
        self.link.as_ref()
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

// === impl Applied ===

impl Applied {
    /// Whether the kernel was left as it was.
    pub fn is_nothing(&self) -> bool {
        let (lost, failed) = (self.lost.clone(), self.failed.clone());
        let nothing = Self { flows_read: self.flows_read, lost, failed, ..Self::default() };
        *self == nothing
    }

    /// Why a network, or a container's link to it, is not as it should be.
    pub fn failure_of(&self, network: NetworkId, veth: &Veth) -> Option<&str> {
        let concerns = |failure: &&Failure| {
            failure.network == Some(network)
                && failure.veth.as_ref().is_none_or(|failed| failed == veth)
        };
        self.failed.iter().find(concerns).map(|failure| failure.why.as_str())
    }

    pub(crate) fn forgot(&mut self, forgotten: Forgotten) {
        self.flows += forgotten.flows;
        self.flows_read += forgotten.read;
    }

    pub(crate) fn count(&mut self, step: &Step) {
        let counter = match step {
            Step::RemoveDevice { .. } | Step::AddTunnel { .. } | Step::SetDevice { .. } => {
                &mut self.devices
            }
            Step::RemoveRoute { .. } | Step::SetRoute { .. } => &mut self.routes,
            Step::RemoveNeighbour { .. } | Step::SetNeighbour { .. } => &mut self.neighbours,
            Step::RemoveEnd { .. } | Step::SetEnd { .. } => &mut self.ends,
            Step::RemoveAddress { .. } | Step::AddAddress { .. } => &mut self.addresses,
        };
        *counter += 1;
    }
}
