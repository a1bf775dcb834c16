//! Gives published ports to services. Pure.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;
use swarmw_model::{PortProtocol, PublishMode, ServiceId};
use swarmw_state::{Change, State};

/// Ports for services that name none: 30000 to 32767, as Swarm's.
pub const FIRST_PORT: u16 = 30_000;
/// See [`FIRST_PORT`].
pub const LAST_PORT: u16 = 32_767;
const COUNT: usize = (LAST_PORT - FIRST_PORT) as usize + 1;

/// A service that could not be given what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The service.
    pub service: ServiceId,
    /// Why, for people.
    pub reason: String,
}

/// Chooses a published port for every ingress port that has none. The choice starts
/// at a place that the service's id gives, so that a port freed a moment ago is not
/// the next one given away.
pub fn allocate(state: &State, dirty: &BTreeSet<ServiceId>) -> (Vec<Change>, Vec<Failure>) {
    let mut changes = Vec::new();
    let mut failures = Vec::new();
    let mut taken: Option<[FixedBitSet; 3]> = None;
    for service in dirty.iter().filter_map(|id| state.service(*id)) {
        let unset = |p: &swarmw_model::PortConfig| {
            p.publish_mode == PublishMode::Ingress && p.published_port == 0
        };
        if !service.endpoint.ports.iter().any(unset) {
            continue;
        }
        let taken = taken.get_or_insert_with(|| ports_in_use(state));
        let mut ports = service.endpoint.ports.clone();
        let start = (service.id.bits() % COUNT as u128) as usize;
        let mut exhausted = false;
        for port in ports.iter_mut().filter(|p| unset(p)) {
            let taken = &mut taken[place(port.protocol)];
            let free = (0..COUNT).map(|n| (start + n) % COUNT).find(|n| !taken.contains(*n));
            match free {
                Some(n) => {
                    taken.insert(n);
                    port.published_port = FIRST_PORT + n as u16;
                }
                None => exhausted = true,
            }
        }
        if exhausted {
            failures.push(Failure {
                service: service.id,
                reason: format!("no free port from {FIRST_PORT} to {LAST_PORT}"),
            });
        }
        changes.push(Change::SetEndpoint { service: service.id, version: service.version, ports });
    }
    (changes, failures)
}

fn place(protocol: PortProtocol) -> usize {
    match protocol {
        PortProtocol::Tcp => 0,
        PortProtocol::Udp => 1,
        PortProtocol::Sctp => 2,
    }
}

fn ports_in_use(state: &State) -> [FixedBitSet; 3] {
    let mut taken = [(); 3].map(|()| FixedBitSet::with_capacity(COUNT));
    for (protocol, port, _) in state.ports() {
        if (FIRST_PORT..=LAST_PORT).contains(&port) {
            taken[place(protocol)].insert(usize::from(port - FIRST_PORT));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmw_model::{EndpointSpec, PortConfig, ServiceSpec, Time};
    use swarmw_state::Transaction;

    fn service(state: &mut State, n: u128, published: u16) -> ServiceId {
        let id = ServiceId::from_bits(n);
        let port = PortConfig { target_port: 80, published_port: published, ..Default::default() };
        let spec = ServiceSpec {
            name: format!("s{n}"),
            endpoint_spec: Some(EndpointSpec { ports: vec![port], ..Default::default() }),
            ..Default::default()
        };
        apply(state, vec![Change::CreateService { id, spec: Box::new(spec) }]);
        id
    }

    fn apply(state: &mut State, changes: Vec<Change>) {
        let index = state.index() + 1;
        state.apply(index, &Transaction { at: Time::ZERO, request: None, changes });
    }

    fn published(state: &State, id: ServiceId) -> u16 {
        state.service(id).expect("there").endpoint.ports[0].published_port
    }

    #[test]
    fn unset_ports_get_distinct_numbers_of_the_range_and_keep_them() {
        let mut state = State::default();
        let fixed = service(&mut state, 1, 8080);
        // The same remainder: both start looking at the same place.
        let ids = [2, 2 + COUNT as u128].map(|n| service(&mut state, n, 0));
        let (changes, failures) = allocate(&state, &ids.into_iter().chain([fixed]).collect());
        apply(&mut state, changes);
        assert_eq!(failures, []);
        assert_eq!(published(&state, fixed), 8080);
        let got = ids.map(|id| published(&state, id));
        assert_ne!(got[0], got[1]);
        assert!(got.iter().all(|p| (FIRST_PORT..=LAST_PORT).contains(p)), "{got:?}");
        assert_eq!(allocate(&state, &ids.into_iter().collect()).0, []);
    }

    #[test]
    fn exhaustion_is_told_and_nothing_is_given_twice() {
        let mut state = State::default();
        for n in 0..COUNT as u128 {
            service(&mut state, n + 1, FIRST_PORT + n as u16);
        }
        let late = service(&mut state, 1_000_000, 0);
        let (_, failures) = allocate(&state, &BTreeSet::from([late]));
        assert_eq!(failures[0].reason, "no free port from 30000 to 32767");
    }
}
