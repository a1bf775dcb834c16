//! Who decides what an engine asks of its network driver, in tests: two subnets of IPv4 and
//! one of IPv6 per network, and veths whose other end is in the engine's own namespace.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, pending, ready};
use ipnet::IpNet;
use swarmw_engine_driver::{
    AddressRequest, Attach, Endpoint, EngineNetwork, Joined, MacAddress, PoolOffer, PoolRequest,
    Purpose, Refused, Route,
};
use swarmw_model::NetworkId;

/// Subnets of the network of this number: two of IPv4, as if it had grown, and one of IPv6.
pub fn subnets(number: u128) -> [IpNet; 3] {
    [format!("10.{number}.1.0/24"), format!("10.{number}.2.0/24"), format!("fd00:{number}::/64")]
        .map(|text| text.parse().expect("a subnet"))
}

/// Makes veths by `ip`, and writes down what it is asked.
#[derive(Debug, Default)]
pub struct Veths {
    /// The words before a command that make it run where the engine is.
    inside: Vec<String>,
    heard: Mutex<Vec<String>>,
    given: Mutex<BTreeMap<IpAddr, NetworkId>>,
    /// Never gives an address.
    silent: bool,
}

// === impl Veths ===

impl Veths {
    /// Commands run behind these words; see [`crate::TestEngine::inside`].
    pub fn new(inside: Vec<String>) -> Self {
        Self { inside, ..Default::default() }
    }

    /// Does not answer who wants an address.
    pub fn silent() -> Self {
        Self { silent: true, ..Default::default() }
    }

    /// What it was asked since the last time.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock(&self.heard))
    }

    /// Addresses that containers have.
    pub fn given(&self) -> Vec<IpAddr> {
        self.lock(&self.given).keys().copied().collect()
    }

    fn hear(&self, what: String) {
        self.lock(&self.heard).push(what);
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ip(&self, line: &str) -> Result<(), Refused> {
        let mut command = Command::new(&self.inside[0]);
        command.args(&self.inside[1..]).arg("ip").args(line.split(' '));
        let output = command.output().map_err(|error| Refused(error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(Refused(format!("ip {line}: {said}"))) }
    }

    fn give(&self, asked: &AddressRequest) -> Result<IpNet, Refused> {
        let number = asked.network.bits();
        let v6 = asked.pool.network().is_ipv6();
        let mut subnets = subnets(number).into_iter().filter(|net| net.network().is_ipv6() == v6);
        let mut given = self.lock(&self.given);
        let free = |address: &IpAddr| !given.contains_key(address);
        let address = match asked.wanted {
            Some(wanted) if free(&wanted) => Some(wanted),
            Some(wanted) => return Err(Refused(format!("{wanted} is taken on network web"))),
            None => subnets.clone().flat_map(|net| net.hosts().skip(2).take(200)).find(free),
        };
        let address = address.ok_or_else(|| Refused("no address is free".to_owned()))?;
        let subnet = subnets.find(|net| net.contains(&address));
        let subnet = subnet.ok_or_else(|| Refused(format!("{address} is in no subnet")))?;
        if asked.purpose == Purpose::Endpoint {
            given.insert(address, asked.network);
        }
        IpNet::new(address, subnet.prefix_len()).map_err(|error| Refused(error.to_string()))
    }

    /// A link for the endpoint: its other end has the gateways' addresses and a route to
    /// the container.
    fn link(&self, endpoint: &Endpoint) -> Result<Joined, Refused> {
        let (outer, inner) = names(endpoint);
        self.unlink(endpoint);
        self.ip(&format!("link add {outer} type veth peer name {inner}"))?;
        self.ip(&format!("link set {outer} up"))?;
        let mut routes = Vec::new();
        for address in &endpoint.addresses {
            let gateway = first_of(address).ok_or_else(|| Refused("no host".to_owned()))?;
            let whole = if gateway.is_ipv6() { 128 } else { 32 };
            let nodad = if gateway.is_ipv6() { " nodad" } else { "" };
            self.ip(&format!("addr add {gateway}/{whole} dev {outer}{nodad}"))?;
            self.ip(&format!("route add {}/{whole} dev {outer}", address.addr()))?;
            for subnet in subnets(endpoint.network.bits()) {
                let halves = subnet.subnets(subnet.prefix_len() + 1).into_iter().flatten();
                let same = subnet.network().is_ipv6() == gateway.is_ipv6();
                routes.extend(halves.filter(|_| same).map(|to| Route { to, via: gateway }));
            }
        }
        Ok(Joined { interface: inner, prefix: "eth".to_owned(), routes })
    }

    fn unlink(&self, endpoint: &Endpoint) {
        // It may never have been made.
        let _ = self.ip(&format!("link delete {}", names(endpoint).0));
    }
}

/// The network's own address in a subnet.
fn first_of(subnet: &IpNet) -> Option<IpAddr> {
    // All zeros is an address of IPv6 that every router has.
    subnet.hosts().find(|address| *address != subnet.network())
}

/// Names of both ends of an endpoint's link.
fn names(endpoint: &Endpoint) -> (String, String) {
    let id = endpoint.id.to_string();
    (format!("o{}", &id[..10]), format!("i{}", &id[..10]))
}

impl Attach for Veths {
    fn pool<'a>(&'a self, asked: &'a PoolRequest) -> BoxFuture<'a, Result<PoolOffer, Refused>> {
        self.hear(format!("pool {} v6={}", asked.network.bits(), asked.v6));
        let [v4, _, v6] = subnets(asked.network.bits());
        let first = if asked.v6 { v6 } else { v4 };
        let gateway = first_of(&first).and_then(|a| IpNet::new(a, first.prefix_len()).ok());
        let subnet = asked.wanted.unwrap_or(first);
        ready(Ok(PoolOffer { subnet, gateway })).boxed()
    }

    fn pool_gone(&self, network: NetworkId, subnet: IpNet) -> BoxFuture<'_, Result<(), Refused>> {
        self.hear(format!("pool_gone {} {subnet}", network.bits()));
        ready(Ok(())).boxed()
    }

    fn address<'a>(&'a self, asked: &'a AddressRequest) -> BoxFuture<'a, Result<IpNet, Refused>> {
        if self.silent {
            return pending().boxed();
        }
        let given = self.give(asked);
        self.hear(format!("address {:?} {given:?}", asked.purpose));
        ready(given).boxed()
    }

    fn release(&self, network: NetworkId, address: IpAddr) -> BoxFuture<'_, Result<(), Refused>> {
        self.hear(format!("release {} {address}", network.bits()));
        self.lock(&self.given).remove(&address);
        ready(Ok(())).boxed()
    }

    fn network<'a>(&'a self, network: &'a EngineNetwork) -> BoxFuture<'a, Result<(), Refused>> {
        self.hear(format!("network {} {:?}", network.network.bits(), network.pools));
        ready(Ok(())).boxed()
    }

    fn network_gone<'a>(
        &'a self,
        network: &'a EngineNetwork,
    ) -> BoxFuture<'a, Result<(), Refused>> {
        self.hear(format!("network_gone {}", network.network.bits()));
        ready(Ok(())).boxed()
    }

    fn endpoint<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, Result<Option<MacAddress>, Refused>> {
        self.hear(format!("endpoint {:?}", endpoint.addresses));
        let last = endpoint.addresses.first().map(|net| match net.addr() {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets()[15],
        });
        let mac = MacAddress([2, 0x53, 0x57, 1, 0, last.unwrap_or_default()]);
        ready(Ok(Some(mac))).boxed()
    }

    fn endpoint_gone<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>> {
        self.hear(format!("endpoint_gone {:?}", endpoint.addresses));
        self.unlink(endpoint);
        ready(Ok(())).boxed()
    }

    fn join<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        sandbox: &'a Path,
    ) -> BoxFuture<'a, Result<Joined, Refused>> {
        self.hear(format!("join {:?} {}", endpoint.addresses, sandbox.display()));
        ready(self.link(endpoint)).boxed()
    }

    fn leave<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>> {
        self.hear(format!("leave {:?}", endpoint.addresses));
        self.unlink(endpoint);
        ready(Ok(())).boxed()
    }
}
