//! The protocol's methods: what an engine says, in our words, to who decides.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use swarmw_model::NetworkId;

use crate::messages::{
    ADDRESS_TYPE, Activated, AddressCapabilities, AddressSpaces, CONNECTED, CreateEndpoint,
    CreateNetwork, CreatedEndpoint, Done, EndpointInfo, GATEWAY, GENERIC, Interface, InterfaceName,
    Join, JoinedInterface, NEXT_HOP, NetworkCapabilities, OfEndpoint, OfNetwork, PoolData,
    ReleaseAddress, ReleasePool, RequestAddress, RequestPool, RequestedAddress, RequestedPool,
    StaticRoute,
};
use crate::serve::{ServeError, Serving};
use crate::{
    AddressRequest, Attach, Endpoint, EndpointId, EngineNetwork, EngineNetworkId, Joined, Memory,
    NETWORK_OPTION, PoolRequest, Purpose, Refused, Route,
};

/// An engine's driver of networks and their addresses.
#[derive(Clone)]
pub struct Driver {
    attach: Arc<dyn Attach>,
    memory: Arc<Memory>,
}

/// What a call comes to.
pub(crate) enum Answer {
    /// It is done; this is the answer, as JSON.
    Done(Vec<u8>),
    /// It is not.
    Refused(Refused),
    /// There is no such method.
    Unknown,
}

/// The one address space: addresses are the cluster's.
const ADDRESS_SPACE: &str = "swarmw";
/// Networks of this driver are this engine's alone: each engine has one of its own for a
/// network of the cluster.
const LOCAL: &str = "local";

// === impl Driver ===

impl Driver {
    /// A driver that decides by `attach` and remembers in `memory`.
    pub fn new(attach: Arc<dyn Attach>, memory: Arc<Memory>) -> Self {
        Self { attach, memory }
    }

    /// Answers engines on a unix socket that only this user may use; it is there when this
    /// returns. The folder is made; a socket that a dead driver left is replaced.
    ///
    /// # Errors
    /// Another driver answers there, the file is something else, or the system refuses.
    pub async fn serve(self, socket: &Path) -> Result<Serving, ServeError> {
        Serving::begin(self, socket).await
    }

    /// One call.
    pub(crate) async fn call(&self, method: &str, body: &[u8]) -> Answer {
        match self.dispatch(method, body).await {
            None => Answer::Unknown,
            Some(Ok(json)) => Answer::Done(json),
            Some(Err(refused)) => Answer::Refused(refused),
        }
    }

    async fn dispatch(&self, method: &str, body: &[u8]) -> Option<Result<Vec<u8>, Refused>> {
        Some(match method {
            "Plugin.Activate" => json(&Activated { implements: ["NetworkDriver", "IpamDriver"] }),
            "NetworkDriver.GetCapabilities" => {
                json(&NetworkCapabilities { scope: LOCAL, connectivity_scope: LOCAL })
            }
            "NetworkDriver.CreateNetwork" => self.create_network(body).await,
            "NetworkDriver.DeleteNetwork" => self.delete_network(body).await,
            "NetworkDriver.CreateEndpoint" => self.create_endpoint(body).await,
            "NetworkDriver.DeleteEndpoint" => self.delete_endpoint(body).await,
            "NetworkDriver.EndpointOperInfo" => endpoint_info(body),
            "NetworkDriver.Join" => self.join(body).await,
            "NetworkDriver.Leave" => self.leave(body).await,
            // Told of nodes of an engine's own cluster, and of ports, which are the
            // cluster's to publish; and what an engine's own cluster would ask.
            "NetworkDriver.DiscoverNew"
            | "NetworkDriver.DiscoverDelete"
            | "NetworkDriver.ProgramExternalConnectivity"
            | "NetworkDriver.RevokeExternalConnectivity" => done(),
            "NetworkDriver.AllocateNetwork" | "NetworkDriver.FreeNetwork" => Err(not_for_swarms()),
            "IpamDriver.GetCapabilities" => json(&AddressCapabilities {
                requires_mac_address: false,
                requires_request_replay: false,
            }),
            "IpamDriver.GetDefaultAddressSpaces" => json(&AddressSpaces {
                local_default_address_space: ADDRESS_SPACE,
                global_default_address_space: ADDRESS_SPACE,
            }),
            "IpamDriver.RequestPool" => self.request_pool(body).await,
            "IpamDriver.ReleasePool" => self.release_pool(body).await,
            "IpamDriver.RequestAddress" => self.request_address(body).await,
            "IpamDriver.ReleaseAddress" => self.release_address(body).await,
            _ => return None,
        })
    }

    async fn create_network(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: CreateNetwork = parse(body)?;
        let generic = asked.options.get(GENERIC).and_then(Value::as_object);
        let option = generic.and_then(|o| o.get(NETWORK_OPTION)).and_then(Value::as_str);
        let network = EngineNetwork {
            id: network_id(&asked.network_id)?,
            network: cluster_network(option.unwrap_or_default())?,
            pools: pools(asked.ipv4_data.iter().chain(&asked.ipv6_data))?,
        };
        // Before it is made: what is remembered too much is forgotten with its removal.
        self.memory.learn_network(&network).map_err(|e| unwritten(&e))?;
        self.attach.network(&network).await?;
        done()
    }

    async fn delete_network(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: OfNetwork = parse(body)?;
        let id = network_id(&asked.network_id)?;
        if let Some(network) = self.memory.network(&id) {
            self.attach.network_gone(&network).await?;
            self.memory.forget_network(&id).map_err(|e| unwritten(&e))?;
        }
        done()
    }

    async fn create_endpoint(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: CreateEndpoint = parse(body)?;
        let network = self.known_network(&asked.network_id)?;
        let interface = asked.interface.unwrap_or_default();
        let mut endpoint = Endpoint {
            id: endpoint_id(&asked.endpoint_id)?,
            on: network.id,
            network: network.network,
            addresses: [&interface.address, &interface.address_ipv6]
                .into_iter()
                .filter(|text| !text.is_empty())
                .map(|text| text.parse().map_err(|_| not_an_address(text)))
                .collect::<Result<_, _>>()?,
            mac: match interface.mac_address.as_str() {
                "" => None,
                text => Some(text.parse()?),
            },
            sandbox: None,
        };
        // Remembered first: it is undone by its id.
        self.memory.learn_endpoint(&endpoint).map_err(|e| unwritten(&e))?;
        let wanted = self.attach.endpoint(&endpoint).await?;
        let settled = if endpoint.mac.is_none() { wanted } else { None };
        if settled.is_some() {
            endpoint.mac = settled;
            self.memory.learn_endpoint(&endpoint).map_err(|e| unwritten(&e))?;
        }
        let news =
            settled.map(|mac| Interface { mac_address: mac.to_string(), ..Default::default() });
        json(&CreatedEndpoint { interface: news })
    }

    async fn delete_endpoint(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: OfEndpoint = parse(body)?;
        if let Some(endpoint) = self.memory.endpoint(&endpoint_id(&asked.endpoint_id)?) {
            // Forgotten before anybody hears of it, and looks what is left.
            self.memory.forget_endpoint(&endpoint.id).map_err(|e| unwritten(&e))?;
            if let Err(refused) = self.attach.endpoint_gone(&endpoint).await {
                self.memory.learn_endpoint(&endpoint).map_err(|e| unwritten(&e))?;
                return Err(refused);
            }
        }
        done()
    }

    async fn join(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: Join = parse(body)?;
        let network = self.known_network(&asked.network_id)?;
        let id = endpoint_id(&asked.endpoint_id)?;
        let unknown = || {
            Refused(format!(
                "this driver does not know endpoint {id}: disconnect the container from the \
                 network and connect it again"
            ))
        };
        let known = self.memory.endpoint(&id).filter(|endpoint| endpoint.on == network.id);
        let mut endpoint = known.ok_or_else(unknown)?;
        let sandbox = PathBuf::from(asked.sandbox_key);
        endpoint.sandbox = Some(sandbox.clone());
        self.memory.learn_endpoint(&endpoint).map_err(|e| unwritten(&e))?;
        let joined = self.attach.join(&endpoint, &sandbox).await;
        if joined.is_err() {
            // The engine deletes the endpoint, but does not say that it left.
            endpoint.sandbox = None;
            self.memory.learn_endpoint(&endpoint).map_err(|e| unwritten(&e))?;
        }
        json(&interface(joined?))
    }

    async fn leave(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: OfEndpoint = parse(body)?;
        if let Some(endpoint) = self.memory.endpoint(&endpoint_id(&asked.endpoint_id)?) {
            // Likewise.
            let left = Endpoint { sandbox: None, ..endpoint.clone() };
            self.memory.learn_endpoint(&left).map_err(|e| unwritten(&e))?;
            if let Err(refused) = self.attach.leave(&endpoint).await {
                self.memory.learn_endpoint(&endpoint).map_err(|e| unwritten(&e))?;
                return Err(refused);
            }
        }
        done()
    }

    async fn request_pool(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: RequestPool = parse(body)?;
        let option = asked.options.get(NETWORK_OPTION);
        let network = cluster_network(option.map(String::as_str).unwrap_or_default())?;
        let request = PoolRequest {
            network,
            wanted: subnet(&asked.pool)?,
            range: subnet(&asked.sub_pool)?,
            v6: asked.v6,
        };
        let offer = self.attach.pool(&request).await?;
        let gateway = offer.gateway.map(|gateway| (GATEWAY, gateway.to_string()));
        json(&RequestedPool {
            pool_id: pool_id(network, offer.subnet),
            pool: offer.subnet.to_string(),
            data: gateway.into_iter().collect(),
        })
    }

    async fn release_pool(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: ReleasePool = parse(body)?;
        let (network, subnet) = parse_pool_id(&asked.pool_id)?;
        self.attach.pool_gone(network, subnet).await?;
        done()
    }

    async fn request_address(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: RequestAddress = parse(body)?;
        let (network, pool) = parse_pool_id(&asked.pool_id)?;
        let for_gateway = asked.options.get(ADDRESS_TYPE).is_some_and(|kind| kind == GATEWAY);
        let request = AddressRequest {
            network,
            pool,
            wanted: match asked.address.as_str() {
                "" => None,
                text => Some(address(text)?),
            },
            purpose: if for_gateway { Purpose::Gateway } else { Purpose::Endpoint },
        };
        let given = self.attach.address(&request).await?;
        json(&RequestedAddress { address: given.to_string(), data: BTreeMap::new() })
    }

    async fn release_address(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let asked: ReleaseAddress = parse(body)?;
        let (network, _) = parse_pool_id(&asked.pool_id)?;
        self.attach.release(network, address(&asked.address)?).await?;
        done()
    }

    fn known_network(&self, id: &str) -> Result<EngineNetwork, Refused> {
        let known = self.memory.network(&network_id(id)?);
        known.ok_or_else(|| {
            Refused(format!(
                "this driver does not know the engine's network {id}: remove it (docker network \
                 rm {id}); it is made again when a container needs it"
            ))
        })
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("memory", &self.memory).finish_non_exhaustive()
    }
}

fn endpoint_info(body: &[u8]) -> Result<Vec<u8>, Refused> {
    let _: OfEndpoint = parse(body)?;
    json(&EndpointInfo { value: BTreeMap::new() })
}

fn interface(joined: Joined) -> JoinedInterface {
    let route = |route: &Route| StaticRoute {
        destination: route.to.to_string(),
        route_type: NEXT_HOP,
        next_hop: route.via.to_string(),
    };
    let on_link = |gateway: IpAddr| StaticRoute {
        destination: IpNet::from(gateway).to_string(),
        route_type: CONNECTED,
        next_hop: String::new(),
    };
    JoinedInterface {
        interface_name: InterfaceName { src_name: joined.interface, dst_prefix: joined.prefix },
        static_routes: covered_gateways(&joined.routes)
            .into_iter()
            .map(on_link)
            .chain(joined.routes.iter().map(route))
            .collect(),
    }
}

/// Gateways of IPv6 that routes by way of them lead to as well. Linux takes no further
/// route by way of such a one (EHOSTUNREACH), unless a narrower one says that it is on the
/// link. Of IPv4 it asks no such thing.
fn covered_gateways(routes: &[Route]) -> BTreeSet<IpAddr> {
    let covered = |gateway: &IpAddr| routes.iter().any(|route| route.to.contains(gateway));
    let gateways = routes.iter().map(|route| route.via);
    gateways.filter(|gateway| gateway.is_ipv6() && covered(gateway)).collect()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused(format!("the engine's request cannot be read: {error}")))
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(answer)
        .map_err(|error| Refused(format!("the answer cannot be written: {error}")))
}

fn done() -> Result<Vec<u8>, Refused> {
    json(&Done {})
}

fn network_id(text: &str) -> Result<EngineNetworkId, Refused> {
    text.parse().map_err(|error: crate::InvalidEngineId| Refused(error.to_string()))
}

fn endpoint_id(text: &str) -> Result<EndpointId, Refused> {
    text.parse().map_err(|error: crate::InvalidEngineId| Refused(error.to_string()))
}

/// The network of the cluster that an option names.
fn cluster_network(option: &str) -> Result<NetworkId, Refused> {
    option.parse().map_err(|_| {
        Refused(format!(
            "driver {:?} serves networks of the cluster ({NETWORK_OPTION} is {option:?}): create \
             one with `docker network create --driver overlay`",
            crate::NAME
        ))
    })
}

fn not_for_swarms() -> Refused {
    Refused(format!(
        "driver {:?} serves networks of one engine: leave Docker's own swarm with `docker swarm \
         leave` on the engine's socket",
        crate::NAME
    ))
}

fn pools<'a>(data: impl Iterator<Item = &'a PoolData>) -> Result<Vec<IpNet>, Refused> {
    data.filter_map(|data| subnet(&data.pool).transpose()).collect()
}

fn subnet(text: &str) -> Result<Option<IpNet>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    let net: IpNet = text.parse().map_err(|_| Refused(format!("not a subnet: {text:?}")))?;
    Ok(Some(net.trunc()))
}

fn address(text: &str) -> Result<IpAddr, Refused> {
    text.parse().map_err(|_| not_an_address(text))
}

fn not_an_address(text: &str) -> Refused {
    Refused(format!("not an address: {text:?}"))
}

/// What the engine calls a pool: all that its later calls say of it.
fn pool_id(network: NetworkId, subnet: IpNet) -> String {
    format!("{network}/{subnet}")
}

fn parse_pool_id(text: &str) -> Result<(NetworkId, IpNet), Refused> {
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(id, net)| Some((id.parse().ok()?, net.parse().ok()?)));
    parsed.ok_or_else(|| Refused(format!("not a pool of this driver: {text:?}")))
}

fn unwritten(error: &io::Error) -> Refused {
    Refused(format!("this node cannot write down what the engine says: {error}"))
}
