//! What the engine asks of the driver of its networks.

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
use swarmw_model::{
    Attachment, AttachmentId, EndpointId, Network, NetworkEndpoint, NetworkId,
};
use swarmw_overlay::routes_of;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Networks;
use super::desire::{Here, network_of, veth};

/// What a container calls its interfaces, with a number.
const INTERFACE: &str = "eth";
/// How long an engine may take to make a sandbox…
const SANDBOX_PATIENCE: Duration = Duration::from_secs(60);
/// …which is looked for so often at first.
const LOOK_FOR_SANDBOX: Duration = Duration::from_millis(1);
/// The type of the file system that namespaces are in: see statfs(2).
const NSFS_MAGIC: i64 = 0x6e73_6673;
/// Shown where the gateway is not known.
const UNKNOWN_V4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 1), 0));
const UNKNOWN_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 0));
/// How long a container that joins waits for the leader to tell of its network; the engine
/// waits longer than this for its driver.
const PATIENCE: Duration = Duration::from_secs(15);

impl Networks {
    /// A network, as soon as the leader has told of it.
    async fn network_known(&self, id: NetworkId) -> Result<Network, Refused> {
        let mut known = self.0.known.subscribe();
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
        let known = self.0.known.borrow();
        let pools = known.networks.get(&network).map_or(&[][..], |network| &network.pools);
        let pool = pools.iter().find(|pool| pool.gateway.is_ipv6() == v6);
        let shown = pool.and_then(|pool| IpNet::new(pool.gateway, pool.subnet.prefix_len()).ok());
        shown.unwrap_or(if v6 { UNKNOWN_V6 } else { UNKNOWN_V4 })
    }

    /// Who has an address, where it is somebody of this node.
    fn holder(&self, network: NetworkId, address: IpAddr) -> Option<(EndpointId, IpNet)> {
        let known = self.0.known.borrow();
        let mut own = known.endpoints.values().filter(|e| e.node == self.0.node);
        own.find_map(|endpoint| Some((endpoint.id, address_of(endpoint, network, address)?)))
    }

    async fn address_for_container(&self, asked: &AddressRequest) -> Result<IpNet, Refused> {
        // A task's own, which the leader gave with the node, or one that is asked for again.
        if let Some(wanted) = asked.wanted
            && let Some((_, address)) = self.holder(asked.network, wanted)
        {
            return Ok(address);
        }
        let v6 = asked.pool.addr().is_ipv6();
        let attached = self.0.leader.attach(asked.network, asked.wanted, v6).await;
        let attachment = attached.map_err(Refused::new)?;
        let address = attachment.on.addresses.first().copied();
        let address = address.ok_or_else(|| Refused::new("the leader gave no address"))?;
        self.0.known.send_modify(|known| {
            std::sync::Arc::make_mut(known).expect(self.0.node, &attachment);
        });
        Ok(address)
    }

    async fn give_back(&self, network: NetworkId, address: IpAddr) {
        if let Some((EndpointId::Attachment(id), _)) = self.holder(network, address) {
            self.detach(id).await;
        }
    }

    async fn detach(&self, id: AttachmentId) {
        match self.0.leader.detach(id).await {
            // The leader's next word may be late; nobody else is to find it meanwhile.
            Ok(()) => self.take_in(swarmw_model::NetworkNews {
                remove_endpoints: vec![EndpointId::Attachment(id)],
                ..Default::default()
            }),
            Err(error) => info!(%error, "an address will be given back later"),
        }
    }

    /// Containers that left while no manager could be told.
    pub(super) async fn give_up_lost_attachments(&self) {
        let here: Vec<_> = self
            .0
            .memory
            .endpoints()
            .into_iter()
            .flat_map(|e| e.addresses.into_iter().map(move |a| (e.network, a.addr())))
            .collect();
        let known = self.0.known.borrow().clone();
        for endpoint in known.endpoints.values().filter(|e| e.node == self.0.node) {
            let EndpointId::Attachment(id) = endpoint.id else { continue };
            let is_here = endpoint.on.iter().any(|on| {
                on.addresses.iter().any(|a| here.contains(&(on.network, a.addr())))
            });
            // One that was asked for a moment ago joins in a moment.
            if !is_here && !known.is_expected(id) {
                self.detach(id).await;
            }
        }
        self.0.known.send_modify(|known| std::sync::Arc::make_mut(known).forget_expected());
    }

    /// The link of an endpoint, made if it is not there; what its other end is called.
    async fn link(&self, endpoint: &Endpoint, network: &Network) -> Result<String, Refused> {
        let joined = self.0.memory.endpoints();
        let ended = self.0.ended.borrow().clone();
        let here = Here { node: self.0.node, joined: &joined, ended: &ended };
        let known = self.0.known.borrow().clone();
        let (desired, address) = network_of(network, &known, &here).ok_or_else(|| {
            Refused::new("no manager has told yet what this node is to the others: try again")
        })?;
        let overlay = self.0.overlay.read().await;
        let overlay = overlay.as_ref().ok_or_else(|| Refused::new("this node leaves its cluster"))?;
        overlay.link(&veth(&endpoint.id), &desired, address).await.map_err(refused)
    }

    /// The networks of a sandbox, as its resolver should know them.
    pub(super) async fn serve_names(&self, sandbox: &Path) -> Result<(), Refused> {
        let all = self.0.memory.endpoints();
        let there = all.iter().filter(|e| e.sandbox.as_deref() == Some(sandbox));
        let mut networks: Vec<_> = there.map(|e| e.network).collect();
        networks.sort_unstable();
        networks.dedup();
        if networks.is_empty() {
            let withdrawn = self.0.sandboxes.withdraw(sandbox).await;
            return withdrawn.map_err(|error| Refused::new(error.to_string()));
        }
        let served = self.0.sandboxes.serve(sandbox, networks).await;
        served.map_err(|error| Refused::new(error.to_string()))
    }

    /// As [`Self::serve_names`], as soon as the sandbox is there. The engine asks its driver
    /// before it makes one; then it moves the links, starts its own resolver, and only then
    /// the container's process: ours takes a tenth of that.
    fn serve_names_soon(&self, sandbox: PathBuf) {
        let networks = self.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            while !is_namespace(&sandbox) {
                let waited = begun.elapsed();
                if waited > SANDBOX_PATIENCE {
                    return warn!(sandbox = %sandbox.display(), "no sandbox was made");
                }
                tokio::time::sleep((waited / 16).max(LOOK_FOR_SANDBOX)).await;
            }
            if let Err(error) = networks.serve_names(&sandbox).await {
                warn!(%error, "a container has no names of the cluster");
            }
        });
    }

    async fn do_join(&self, endpoint: &Endpoint, sandbox: &Path) -> Result<Joined, Refused> {
        let network = self.network_known(endpoint.network).await?;
        let interface = self.link(endpoint, &network).await?;
        // Whoever starts with the first packet finds the way.
        self.settled().await;
        self.serve_names_soon(sandbox.to_owned());
        self.name_later(endpoint.clone());
        let own: Vec<_> = endpoint.addresses.iter().map(IpNet::addr).collect();
        let routes = routes_of(&network.pools, &own).into_iter();
        // That a gateway is on the link the driver says itself, where it has to be said.
        let routes = routes.filter_map(|route| Some(Route { to: route.to, via: route.via? }));
        Ok(Joined { interface, prefix: INTERFACE.to_owned(), routes: routes.collect() })
    }
}

/// Whether a file is a namespace by now, and not only the place for one.
fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|system| system.f_type == NSFS_MAGIC)
}

fn refused(error: swarmw_overlay::Error) -> Refused {
    Refused::new(error.to_string())
}

/// An endpoint's address on a network, with its prefix, if it has it.
fn address_of(endpoint: &NetworkEndpoint, network: NetworkId, address: IpAddr) -> Option<IpNet> {
    let on = endpoint.on.iter().filter(|on| on.network == network);
    on.flat_map(|on| &on.addresses).find(|has| has.addr() == address).copied()
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
            if let Some(overlay) = &*self.0.overlay.read().await
                && let Err(error) = overlay.unlink(&veth(&endpoint.id)).await
            {
                warn!(%error, "a container's link is left");
            }
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
            let Some(sandbox) = &endpoint.sandbox else { return Ok(()) };
            let rest = self.0.memory.endpoints().into_iter().any(|other| {
                other.id != endpoint.id && other.sandbox.as_deref() == Some(&**sandbox)
            });
            // A sandbox that goes with its container takes everything along.
            let done = match rest {
                true => self.serve_names(sandbox).await,
                false => self.0.sandboxes.withdraw(sandbox).await.map_err(|e| Refused::new(e.to_string())),
            };
            if let Err(error) = done {
                info!(%error, "a sandbox was gone before its container left its network");
            }
            Ok(())
        }
        .boxed()
    }
}

impl super::Known {
    /// A container that the leader has just given an address: it is known at once.
    fn expect(&mut self, node: swarmw_model::NodeId, attachment: &Attachment) {
        let id = EndpointId::Attachment(attachment.id);
        self.endpoints.entry(id).or_insert_with(|| NetworkEndpoint {
            id,
            service: None,
            names: attachment.names.clone(),
            node,
            on: vec![attachment.on.clone()],
            serves: true,
        });
        self.expected.insert(attachment.id);
    }
}
