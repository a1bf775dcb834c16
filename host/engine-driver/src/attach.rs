//! Who decides what an engine asks.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures::future::BoxFuture;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use swarmw_model::NetworkId;

/// Decides what an engine asks of its network driver.
///
/// Every method may be called again with what it was called with before: an engine calls
/// again when an answer got lost, and undoes what it is not sure to have done. So doing
/// something twice does nothing the second time, and undoing what is not there succeeds.
///
/// A call that takes longer than [`crate::CALL_DEADLINE`] is dropped where it waits and the
/// engine is told so; it then undoes the step.
pub trait Attach: Send + Sync + 'static {
    /// The engine makes a network and wants a range of addresses for it.
    fn pool<'a>(&'a self, asked: &'a PoolRequest) -> BoxFuture<'a, Result<PoolOffer, Refused>>;

    /// A network's range is wanted no longer.
    fn pool_gone(&self, network: NetworkId, subnet: IpNet) -> BoxFuture<'_, Result<(), Refused>>;

    /// The engine wants an address. The answer has the length of the prefix that the
    /// container's interface gets, which may be another one than the pool's.
    fn address<'a>(&'a self, asked: &'a AddressRequest) -> BoxFuture<'a, Result<IpNet, Refused>>;

    /// An address is wanted no longer: a container's, or the one that a [`PoolOffer`] or
    /// [`Purpose::Gateway`] gave to the network itself.
    fn release(&self, network: NetworkId, address: IpAddr) -> BoxFuture<'_, Result<(), Refused>>;

    /// The engine has made a network.
    fn network<'a>(&'a self, network: &'a EngineNetwork) -> BoxFuture<'a, Result<(), Refused>>;

    /// The engine has removed it.
    fn network_gone<'a>(&'a self, network: &'a EngineNetwork)
    -> BoxFuture<'a, Result<(), Refused>>;

    /// A container will join, with these addresses. The hardware address that its interface
    /// should have; `None`: any. Not asked for where the endpoint has one already.
    fn endpoint<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, Result<Option<MacAddress>, Refused>>;

    /// It will not, or has left for good. It is forgotten already.
    fn endpoint_gone<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>>;

    /// The container starts: an interface for it, in the namespace of the engine, which
    /// moves it into the container's, at `sandbox`, and gives it its addresses.
    fn join<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        sandbox: &'a Path,
    ) -> BoxFuture<'a, Result<Joined, Refused>>;

    /// The container ends. Its interface is back where it came from, or gone; what is
    /// remembered of it has no sandbox any more, the endpoint here has.
    fn leave<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>>;
}

/// Why not, as the user of the engine will read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A range of addresses that the engine wants for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRequest {
    /// The network of the cluster.
    pub network: NetworkId,
    /// The subnet that it must be, if somebody said so.
    pub wanted: Option<IpNet>,
    /// The part of it that addresses are to come from, if somebody said so.
    pub range: Option<IpNet>,
    /// Whether addresses of IPv6 are wanted.
    pub v6: bool,
}

/// A range of addresses for a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOffer {
    /// The subnet.
    pub subnet: IpNet,
    /// The network's own address in it; `None`: the engine asks for one.
    pub gateway: Option<IpNet>,
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The network itself.
    Gateway,
    /// A container.
    Endpoint,
}

/// An address that the engine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRequest {
    /// The network of the cluster.
    pub network: NetworkId,
    /// The pool that it should be from, as [`Attach::pool`] gave it.
    pub pool: IpNet,
    /// The address that it must be, if somebody said so.
    pub wanted: Option<IpAddr>,
    /// What for.
    pub purpose: Purpose,
}

/// The engine's id of something: letters and digits, so that it may name a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct EngineId(String);

/// The engine's own id of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EngineNetworkId(EngineId);

/// The engine's id of a container's place on a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId(EngineId);

/// The text is no id of an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of an engine: {0:?}: want 1 to {ENGINE_ID_MAX} letters and digits")]
pub struct InvalidEngineId(String);

/// The most characters of an engine's id; engines use 64.
const ENGINE_ID_MAX: usize = 128;

/// A network of the engine that stands for one of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineNetwork {
    /// The engine's id of it.
    pub id: EngineNetworkId,
    /// The network of the cluster.
    pub network: NetworkId,
    /// Its pools, as the engine knows them.
    pub pools: Vec<IpNet>,
}

/// A container's place on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The engine's id of it.
    pub id: EndpointId,
    /// The engine's id of the network.
    pub on: EngineNetworkId,
    /// The network of the cluster.
    pub network: NetworkId,
    /// Its addresses: one, or one of each family.
    pub addresses: Vec<IpNet>,
    /// The hardware address, where it is settled.
    pub mac: Option<MacAddress>,
    /// The network namespace of the container, while it runs.
    pub sandbox: Option<PathBuf>,
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// How a container is joined to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The interface, as it is called in the engine's namespace.
    pub interface: String,
    /// What it is called in the container: this and a number.
    pub prefix: String,
    /// Routes by way of it, beyond that to its own subnet.
    pub routes: Vec<Route>,
}

/// Where a container finds other addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// These.
    pub to: IpNet,
    /// By way of this one.
    pub via: IpAddr,
}

// === impl Refused ===

impl Refused {
    /// Refuses with these words.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

// === impl EngineNetworkId, EndpointId ===

impl TryFrom<String> for EngineId {
    type Error = InvalidEngineId;

    fn try_from(text: String) -> Result<Self, InvalidEngineId> {
        let right = (1..=ENGINE_ID_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if right { Ok(Self(text)) } else { Err(InvalidEngineId(text)) }
    }
}

impl From<EngineId> for String {
    fn from(id: EngineId) -> Self {
        id.0
    }
}

impl FromStr for EngineNetworkId {
    type Err = InvalidEngineId;

    fn from_str(text: &str) -> Result<Self, InvalidEngineId> {
        text.to_owned().try_into().map(Self)
    }
}

impl fmt::Display for EngineNetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0)
    }
}

impl FromStr for EndpointId {
    type Err = InvalidEngineId;

    fn from_str(text: &str) -> Result<Self, InvalidEngineId> {
        text.to_owned().try_into().map(Self)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0)
    }
}

// === impl MacAddress ===

impl FromStr for MacAddress {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let wrong = || Refused(format!("not a hardware address: {text:?}"));
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for MacAddress {
    type Error = Refused;

    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}
