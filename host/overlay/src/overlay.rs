//! The front door: opens, applies, checks, repairs, closes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;

use crate::container::ContainerEnd;
use crate::drift::{Applied, Drift};
use crate::probe::DataPath;
use crate::router::Router;
use crate::state::State;
use crate::{Desired, DesiredNetwork, Error, Result, Veth, nft};

/// Where a node's router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its namespace: `swarmw-XXXXXXXXXXXX`.
    pub name: String,
    /// Where namespaces have their names.
    pub folder: PathBuf,
    /// The namespace where VXLAN ends and containers' links begin: the node's own.
    pub machine: PathBuf,
    /// The program `nft`.
    pub nft: PathBuf,
}

/// The networks of a node in its kernel. What it does it does one at a time; dropping it
/// leaves all as it is, for the next one to adopt.
#[derive(Debug)]
pub struct Overlay {
    settings: Settings,
    state: Mutex<State>,
}

// === impl Settings ===

impl Settings {
    /// The usual ones of a node whose router has this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            folder: "/run/netns".into(),
            machine: "/proc/self/ns/net".into(),
            nft: "nft".into(),
        }
    }

    /// The router's namespace.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

// === impl Overlay ===

impl Overlay {
    /// Whether this process can have overlay networks.
    ///
    /// # Errors
    ///
    /// Says what is missing: root, or nftables.
    pub async fn able(settings: &Settings) -> Result<()> {
        let user = rustix::process::geteuid();
        if !user.is_root() {
            return Err(Error::NotRoot(user.as_raw()));
        }
        if !Path::new("/proc/sys/net/ipv6").exists() {
            return Err(Error::NoIpv6);
        }
        nft::there(&settings.nft).await
    }

    /// Adopts the router that is there. One that is not is made with the first network.
    pub async fn open(settings: Settings) -> Result<Self> {
        let router = Router::adopt(&settings).await?;
        Ok(Self { settings, state: Mutex::new(State::of(router)) })
    }

    /// Makes the kernel so, by what differs from what was applied before; then forgets UDP
    /// flows to backends that went. Without networks and links, nothing is left.
    ///
    /// # Errors
    ///
    /// Says what was refused, where that concerns all networks. What concerns one is among
    /// what is [failed](Applied::failed), and the rest is done. The next call reads the
    /// kernel and tries again.
    pub async fn apply(&self, desired: Desired) -> Result<Applied> {
        self.state.lock().await.apply(&self.settings, desired).await
    }

    /// Removes the router and all that is in it, unless a container has a link: for a node
    /// that is on no network and is told of none.
    ///
    /// # Errors
    ///
    /// The kernel refused something.
    pub async fn clear(&self) -> Result<Applied> {
        self.state.lock().await.clear(&self.settings).await
    }

    /// What the kernel lacks or has too much against what was applied last.
    pub async fn check(&self) -> Result<Vec<Drift>> {
        self.state.lock().await.check(&self.settings).await
    }

    /// Checks, and makes good what can be made good. What was wrong, and what was done.
    pub async fn repair(&self) -> Result<(Vec<Drift>, Applied)> {
        self.state.lock().await.repair(&self.settings).await
    }

    /// Makes the link of a container, unless it is there: one end in the router, with the
    /// gateways of the network; the other in the node's own namespace, under the name that
    /// is returned, for the engine to take. `address` is where this node's VXLAN ends.
    pub async fn link(
        &self,
        veth: &Veth,
        network: &DesiredNetwork,
        address: IpAddr,
    ) -> Result<String> {
        self.state.lock().await.link(&self.settings, veth, network, address).await?;
        Ok(veth.other_end())
    }

    /// Makes the link of a container anew that somebody took away: one end in the router, the
    /// other in the container, settled, with the routes of the network. One that is there
    /// stays. [`Self::repair`] leads others to it again.
    pub async fn relink(
        &self,
        veth: &Veth,
        network: &DesiredNetwork,
        address: IpAddr,
        inside: &ContainerEnd<'_>,
    ) -> Result<()> {
        let mut state = self.state.lock().await;
        state.relink(&self.settings, veth, network, address, inside).await
    }

    /// Removes the link of a container, if it is there; with the last one, after the last
    /// network, the router goes as well.
    pub async fn unlink(&self, veth: &Veth) -> Result<()> {
        self.state.lock().await.unlink(&self.settings, veth).await
    }

    /// A socket of TCP in the router: what it connects to are containers here, whom it comes
    /// from the gateway of their network. None while there is no router.
    pub async fn socket(&self, v4: bool) -> Result<Option<TcpSocket>> {
        self.state.lock().await.socket(v4).await
    }

    /// Listeners for the connections that are [caught](crate::DesiredNetwork::caught): each
    /// connection's own address is the one that a container of its network asked for, or
    /// that served a virtual address. None while there is no router.
    pub async fn listen(&self) -> Result<Option<Vec<TcpListener>>> {
        self.state.lock().await.listen().await
    }

    /// Which router there is: another one has none of the sockets of the last.
    pub async fn router(&self) -> Option<u64> {
        self.state.lock().await.router_number()
    }

    /// The MTU of networks on this node.
    pub async fn mtu(&self, address: IpAddr) -> Result<u32> {
        self.state.lock().await.mtu(&self.settings, address).await
    }

    /// Asks the nodes that have containers on networks of this one whether packets get there
    /// and back by VXLAN, each up to three times within two seconds.
    ///
    /// # Errors
    ///
    /// This node's own kernel does not let it ask.
    pub async fn try_data_path(&self) -> Result<DataPath> {
        // Nobody else waits for the answers.
        let ready = self.state.lock().await.probe();
        match ready {
            Some((probe, inside)) => probe.ask(&inside).await,
            None => Ok(DataPath::default()),
        }
    }

    /// Removes the router and all that is in it, containers' links too.
    pub async fn close(self) -> Result<()> {
        self.state.into_inner().close().await.map(|_| ())
    }
}
