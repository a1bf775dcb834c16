//! Small clusters, in the words of the news that a node gets.

use ipnet::IpNet;
use swarmw_model::{
    AttachmentId, EndpointId, Network, NetworkAttachment, NetworkEndpoint, NetworkId, NetworkNews,
    NetworkSpec, NodeId, ResolutionMode, ServiceId, ServiceOnNetworks, TaskId, Time, Version,
    VirtualIp,
};
use swarmw_names::Table;

/// News, put together.
#[derive(Clone, Default)]
pub struct World(pub NetworkNews);

pub fn network(number: u128) -> NetworkId {
    NetworkId::from_bits(number)
}

pub fn task(number: u128) -> EndpointId {
    EndpointId::Task(TaskId::from_bits(number))
}

/// `10.1.0.2` with the prefix of its subnet.
fn in_subnet(address: &str) -> IpNet {
    let address = address.parse().expect("an address");
    let prefix = if std::net::IpAddr::is_ipv4(&address) { 24 } else { 64 };
    IpNet::new(address, prefix).expect("a prefix")
}

pub fn endpoint(id: EndpointId, names: &[&str], on: &[(u128, &[&str])]) -> NetworkEndpoint {
    let attachment = |(on, addresses): &(u128, &[&str])| NetworkAttachment {
        network: network(*on),
        addresses: addresses.iter().map(|address| in_subnet(address)).collect(),
    };
    NetworkEndpoint {
        id,
        service: None,
        names: names.iter().map(|&name| name.to_owned()).collect(),
        node: NodeId::from_bits(1),
        on: on.iter().map(attachment).collect(),
        serves: false,
        user_space: false,
    }
}

// === impl World ===

impl World {
    pub fn network(mut self, number: u128, name: &str) -> Self {
        let spec = NetworkSpec {
            name: name.to_owned(),
            ingress: name == "ingress",
            ..NetworkSpec::default()
        };
        self.0.networks.push(Network {
            id: network(number),
            version: Version::default(),
            created_at: Time::default(),
            updated_at: Time::default(),
            spec,
            pools: Vec::new(),
            vni: 4_096,
        });
        self
    }

    /// A service, with its virtual addresses and aliases on each network.
    pub fn service(
        mut self,
        number: u128,
        name: &str,
        mode: ResolutionMode,
        on: &[(u128, &[&str], &[&str])],
    ) -> Self {
        let virtual_ips = on.iter().flat_map(|(on, addresses, _)| {
            let vip =
                |address: &&str| VirtualIp { network: network(*on), addr: in_subnet(address) };
            addresses.iter().map(vip)
        });
        let aliases = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.0.services.push(ServiceOnNetworks {
            id: ServiceId::from_bits(number),
            name: name.to_owned(),
            mode,
            virtual_ips: virtual_ips.collect(),
            aliases: on.iter().map(|(on, _, names)| (network(*on), aliases(names))).collect(),
        });
        self
    }

    /// A task that serves.
    pub fn task(mut self, number: u128, service: u128, name: &str, on: &[(u128, &[&str])]) -> Self {
        let mut endpoint = endpoint(task(number), &[name], on);
        endpoint.service = Some(ServiceId::from_bits(service));
        endpoint.serves = true;
        self.0.endpoints.push(endpoint);
        self
    }

    /// The last task does not serve, or no longer.
    pub fn idle(mut self) -> Self {
        self.0.endpoints.last_mut().expect("a task").serves = false;
        self
    }

    pub fn container(mut self, number: u128, names: &[&str], on: &[(u128, &[&str])]) -> Self {
        let id = EndpointId::Attachment(AttachmentId::from_bits(number));
        self.0.endpoints.push(endpoint(id, names, on));
        self
    }

    pub fn table(&self) -> Table {
        let mut table = Table::default();
        table.apply(&NetworkNews { complete: true, ..self.0.clone() });
        table
    }
}
