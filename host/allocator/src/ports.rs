//! Published ports.

use fixedbitset::FixedBitSet;
use swarmw_model::{PortConfig, PortProtocol, PublishMode, Service};
use swarmw_state::State;

/// Ports for services that name none: 30000 to 32767, as Swarm's.
pub const FIRST_PORT: u16 = 30_000;
/// See [`FIRST_PORT`].
pub const LAST_PORT: u16 = 32_767;
pub(crate) const COUNT: usize = (LAST_PORT - FIRST_PORT) as usize + 1;

/// Ports that are taken, by protocol, with those that a tick has given.
pub(crate) struct Ports([FixedBitSet; 3]);

// === impl Ports ===

impl Ports {
    pub(crate) fn of(state: &State) -> Self {
        let mut taken = [(); 3].map(|()| FixedBitSet::with_capacity(COUNT));
        for (protocol, port, _) in state.ports() {
            if (FIRST_PORT..=LAST_PORT).contains(&port) {
                taken[place(protocol)].insert(usize::from(port - FIRST_PORT));
            }
        }
        // The nodes' own.
        let data_path = state.cluster().map(|cluster| cluster.data_path_port);
        if let Some(port) = data_path.filter(|port| (FIRST_PORT..=LAST_PORT).contains(port)) {
            taken[place(PortProtocol::Udp)].insert(usize::from(port - FIRST_PORT));
        }
        Self(taken)
    }

    /// A published port for every ingress port of a service that has none; whether there
    /// was one for each.
    pub(crate) fn give(&mut self, service: &Service) -> (Vec<PortConfig>, bool) {
        let mut ports = service.endpoint.ports.clone();
        let start = (service.id.bits() % COUNT as u128) as usize;
        let mut enough = true;
        for port in ports.iter_mut().filter(|port| is_unset(port)) {
            let taken = &mut self.0[place(port.protocol)];
            let free = (0..COUNT).map(|n| (start + n) % COUNT).find(|n| !taken.contains(*n));
            match free {
                Some(n) => {
                    taken.insert(n);
                    port.published_port = FIRST_PORT + n as u16;
                }
                None => enough = false,
            }
        }
        (ports, enough)
    }
}

/// Whether a port is to be published under a number that is not chosen yet.
pub(crate) fn is_unset(port: &PortConfig) -> bool {
    port.publish_mode == PublishMode::Ingress && port.published_port == 0
}

fn place(protocol: PortProtocol) -> usize {
    match protocol {
        PortProtocol::Tcp => 0,
        PortProtocol::Udp => 1,
        PortProtocol::Sctp => 2,
    }
}
