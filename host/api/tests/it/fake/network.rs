//! Subnets and addresses, by the first that are free.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use swarmw_model::{
    Network, NetworkAttachment, NetworkId, NetworkSpec, Pool, Refusal, Service, TaskSpec, Time,
    Version, VirtualIp,
};
use swarmw_state::{Change, State, VNI_FIRST};

/// Addresses that the changes being made give.
pub type Given = BTreeSet<(NetworkId, IpAddr)>;

/// A network with the subnets that it names, or the next of the cluster's.
pub fn made(state: &State, id: NetworkId, spec: NetworkSpec) -> Result<Network, Refusal> {
    let mut pools = spec.pools()?;
    let count = state.networks().count();
    if pools.is_empty() {
        let of_cluster = &state.cluster().expect("a cluster").address_pools;
        let subnets = of_cluster.pools[0].subnets(of_cluster.subnet_size).expect("subnets");
        pools.push(subnets.into_iter().nth(count).and_then(Pool::of).expect("room"));
    }
    let overlays = state.networks().filter(|network| network.is_overlay()).count();
    let vni = VNI_FIRST + u32::try_from(overlays).expect("few networks");
    let (created_at, updated_at) = (Time::ZERO, Time::ZERO);
    Ok(Network { id, version: Version::default(), created_at, updated_at, spec, pools, vni })
}

/// The next address on each network of a template.
pub fn attachments(state: &State, task: &TaskSpec, given: &mut Given) -> Vec<NetworkAttachment> {
    let networks = task.network_ids().filter_map(|id| state.network(id));
    networks
        .filter(|network| network.is_overlay())
        .map(|network| {
            let address = free(state, network, given);
            NetworkAttachment { network: network.id, addresses: vec![address] }
        })
        .collect()
}

/// The addresses of a service that has none where it should.
pub fn virtual_ips(state: &State, service: &Service, given: &mut Given) -> Option<Change> {
    let wanted = state.networks_with_address(&service.spec);
    let have: BTreeSet<_> = service.endpoint.virtual_ips.iter().map(|vip| vip.network).collect();
    if wanted == have {
        return None;
    }
    let virtual_ips = wanted
        .into_iter()
        .filter_map(|id| state.network(id))
        .map(|network| VirtualIp { network: network.id, addr: free(state, network, given) });
    Some(Change::SetEndpoint {
        service: service.id,
        version: service.version,
        ports: service.endpoint.ports.clone(),
        virtual_ips: Some(virtual_ips.collect()),
    })
}

fn free(state: &State, network: &Network, given: &mut Given) -> ipnet::IpNet {
    let subnet = network.pools[0].subnet;
    let IpAddr::V4(first) = subnet.addr() else { panic!("subnets of tests begin with IPv4") };
    let is_free = |ip: &IpAddr| {
        let taken = state.address_holder(network.id, *ip).is_some();
        !taken && network.pools[0].gives(*ip) && given.insert((network.id, *ip))
    };
    let ip = (u32::from(first)..).map(|bits| IpAddr::V4(Ipv4Addr::from(bits))).find(is_free);
    ipnet::IpNet::new(ip.expect("room"), subnet.prefix_len()).expect("an address")
}
