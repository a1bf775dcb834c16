//! What the engine asks of the driver of its networks.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use swarmw_engine_driver::{
    AddressRequest, Attach, Endpoint, EngineNetwork, Joined, MacAddress, PoolOffer, PoolRequest,
    Purpose, Refused, Route,
};
use swarmw_model::{Network, NetworkId};
use swarmw_overlay::routes_of;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Networks;
use super::desire::{Here, network_of, veth};
use super::sandboxes::is_namespace;

/// What a container calls its interfaces, with a number.
pub(super) const INTERFACE: &str = "eth";
/// How long an engine may take to make a sandbox…
const SANDBOX_PATIENCE: Duration = Duration::from_secs(60);
/// …which is looked for so often for a while: names should be there before the process…
const LOOK_FOR_SANDBOX: Duration = Duration::from_millis(2);
const HURRY: Duration = Duration::from_secs(10);
/// …and then so often.
const LOOK_LATER: Duration = Duration::from_millis(50);
/// Shown where the gateway is not known.
const UNKNOWN_V4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 1), 0));
const UNKNOWN_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 0));
/// How long a container that joins waits for the leader to tell of its network; the engine
/// waits longer than this for its driver.
const PATIENCE: Duration = Duration::from_secs(15);

impl Networks {
    /// A network, as soon as the leader has told of it.
    async fn network_known(&self, id: NetworkId) -> Result<Network, Refused> {
        let mut known = self.0.heard.follow();
        let told = known.wait_for(|known| known.networks.contains_key(&id));
        let told = tokio::time::timeout(PATIENCE, told).await;
        let network = match told {
            Ok(Ok(known)) => known.networks.get(&id).cloned(),
            _ => None,
        };
        network.ok_or_else(|| {
            Refused::new(format!(
                "network {id} of the cluster is not known on this node: no manager has told of it \
                 within {PATIENCE:?}"
            ))
        })
    }

    /// What the engine shows as the network's gateway; containers do not hear of it. An
    /// engine that starts asks before any manager was heard of.
    fn gateway(&self, network: NetworkId, v6: bool) -> IpNet {
        let known = self.0.heard.known();
        let pools = known.networks.get(&network).map_or(&[][..], |network| &network.pools);
        let pool = pools.iter().find(|pool| pool.gateway.is_ipv6() == v6);
        let shown = pool.and_then(|pool| IpNet::new(pool.gateway, pool.subnet.prefix_len()).ok());
        shown.unwrap_or(if v6 { UNKNOWN_V6 } else { UNKNOWN_V4 })
    }

    /// The link of an endpoint, made if it is not there; what its other end is called.
    async fn link(&self, endpoint: &Endpoint, network: &Network) -> Result<String, Refused> {
        let joined = self.0.memory.endpoints();
        let ended = self.0.ended.borrow().clone();
        let here = Here { node: self.0.node, joined: &joined, ended: &ended };
        let known = self.0.heard.known();
        let (desired, address) = network_of(network, &known, &here).ok_or_else(|| {
            Refused::new("no manager has told yet what this node is to the others: try again")
        })?;
        let overlay = self.0.overlay.read().await;
        let overlay =
            overlay.as_ref().ok_or_else(|| Refused::new("this node leaves its cluster"))?;
        overlay.link(&veth(&endpoint.id), &desired, address).await.map_err(refused)
    }

    /// Removes the link of an endpoint.
    pub(super) async fn unlink(&self, endpoint: &Endpoint) {
        if let Some(overlay) = &*self.0.overlay.read().await
            && let Err(error) = overlay.unlink(&veth(&endpoint.id)).await
        {
            warn!(%error, "a container's link is left");
        }
    }

    /// A container is not on the network of an endpoint any more, which is forgotten or has
    /// no sandbox in what is remembered: its names are those of the others.
    pub(super) async fn left(&self, endpoint: &Endpoint) {
        let Some(sandbox) = &endpoint.sandbox else { return };
        if let Err(error) = self.settle_names(sandbox).await {
            // One that goes with its container takes everything along.
            info!(%error, "a sandbox was gone before its container left its network");
        }
    }

    /// Has the names of a sandbox's networks resolved in it, as it is on them when its turn
    /// has come.
    pub(super) async fn settle_names(&self, sandbox: &Path) -> Result<(), Refused> {
        let networks = || {
            let all = self.0.memory.endpoints();
            let there = all.iter().filter(|e| e.sandbox.as_deref() == Some(sandbox));
            let networks: BTreeSet<_> = there.map(|endpoint| endpoint.network).collect();
            networks.into_iter().collect()
        };
        match self.0.sandboxes.settle(sandbox, networks).await {
            Ok(true) => {
                let sandbox = sandbox.display();
                self.0.said.mended.add(format!(
                    "the rules that lead questions for names in {sandbox} were missing"
                ));
                warn!(%sandbox, "somebody took away a container's names of the cluster: they are back");
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => Err(Refused::new(error.to_string())),
        }
    }

    /// As [`Self::settle_names`], as soon as the sandbox is there. The engine asks its driver
    /// before it makes one; then it moves the links, starts its own resolver, and only then
    /// the container's process: ours takes a tenth of that.
    fn settle_names_soon(&self, sandbox: PathBuf) {
        let networks = self.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            while !is_namespace(&sandbox) {
                let waited = begun.elapsed();
                if waited > SANDBOX_PATIENCE {
                    return warn!(sandbox = %sandbox.display(), "no sandbox was made");
                }
                let pause = if waited < HURRY { LOOK_FOR_SANDBOX } else { LOOK_LATER };
                tokio::time::sleep(pause).await;
            }
            if let Err(error) = networks.settle_names(&sandbox).await {
                // And they are tried again.
                warn!(%error, "a container has no names of the cluster");
            }
        });
    }

    async fn do_join(&self, endpoint: &Endpoint, sandbox: &Path) -> Result<Joined, Refused> {
        let network = self.network_known(endpoint.network).await?;
        let interface = self.link(endpoint, &network).await?;
        // Whoever starts with the first packet finds the way.
        self.settled(endpoint).await?;
        self.settle_names_soon(sandbox.to_owned());
        self.name_later(endpoint.clone());
        let own: Vec<_> = endpoint.addresses.iter().map(IpNet::addr).collect();
        self.routed().insert(endpoint.id.clone(), network.pools.clone());
        let routes = routes_of(&network.pools, &own).into_iter();
        // That a gateway is on the link the driver says itself, where it has to be said.
        let routes = routes.filter_map(|route| Some(Route { to: route.to, via: route.via? }));
        Ok(Joined { interface, prefix: INTERFACE.to_owned(), routes: routes.collect() })
    }
}

fn refused(error: swarmw_overlay::Error) -> Refused {
    Refused::new(error.to_string())
}

impl Attach for Networks {
    fn pool<'a>(&'a self, asked: &'a PoolRequest) -> BoxFuture<'a, Result<PoolOffer, Refused>> {
        async move {
            // The shadow has room for all pools that the network has or will have.
            let subnet = asked.wanted.ok_or_else(|| {
                Refused::new(
                    "networks with driver swarmw are made by swarmw itself: make one with \
                     `docker network create --driver overlay` against its API",
                )
            })?;
            let gateway = self.gateway(asked.network, asked.v6);
            Ok(PoolOffer { subnet, gateway: Some(gateway) })
        }
        .boxed()
    }

    fn pool_gone(&self, _: NetworkId, _: IpNet) -> BoxFuture<'_, Result<(), Refused>> {
        async { Ok(()) }.boxed()
    }

    fn address<'a>(&'a self, asked: &'a AddressRequest) -> BoxFuture<'a, Result<IpNet, Refused>> {
        async move {
            if asked.purpose == Purpose::Endpoint {
                return self.address_for_container(asked).await;
            }
            Ok(self.gateway(asked.network, asked.pool.addr().is_ipv6()))
        }
        .boxed()
    }

    fn release(&self, network: NetworkId, address: IpAddr) -> BoxFuture<'_, Result<(), Refused>> {
        async move {
            self.give_back(network, address).await;
            Ok(())
        }
        .boxed()
    }

    fn network<'a>(&'a self, _: &'a EngineNetwork) -> BoxFuture<'a, Result<(), Refused>> {
        async { Ok(()) }.boxed()
    }

    fn network_gone<'a>(&'a self, _: &'a EngineNetwork) -> BoxFuture<'a, Result<(), Refused>> {
        async { Ok(()) }.boxed()
    }

    fn endpoint<'a>(
        &'a self,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Result<Option<MacAddress>, Refused>> {
        // The engine chooses: nobody but the router sees it.
        async { Ok(None) }.boxed()
    }

    fn endpoint_gone<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>> {
        async move {
            self.unlink(endpoint).await;
            self.changed();
            Ok(())
        }
        .boxed()
    }

    fn join<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        sandbox: &'a Path,
    ) -> BoxFuture<'a, Result<Joined, Refused>> {
        self.do_join(endpoint, sandbox).boxed()
    }

    fn leave<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>> {
        async move {
            self.left(endpoint).await;
            Ok(())
        }
        .boxed()
    }
}
