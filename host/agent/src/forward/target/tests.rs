use serde_json::json;
use swarmw_model::{
    Network, NetworkAttachment, NetworkNews, Pool, ServiceId, ServiceOnNetworks, Time, VirtualIp,
};

use super::*;

const OWN: NodeId = NodeId::from_bits(1);
const OTHER: NodeId = NodeId::from_bits(2);
const WEB: NetworkId = NetworkId::from_bits(11);
const DB: NetworkId = NetworkId::from_bits(12);
const MESH: NetworkId = NetworkId::from_bits(13);
const SERVICE: ServiceId = ServiceId::from_bits(21);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn net(text: &str) -> IpNet {
    IpNet::new(ip(text), 24).expect("a subnet")
}

fn network(id: NetworkId, subnet: &str, ingress: bool) -> Network {
    let spec = json!({"Name": id.to_string(), "Driver": {"Name": "overlay"}, "Ingress": ingress});
    Network {
        id,
        version: Default::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: serde_json::from_value(spec).expect("a spec"),
        pools: vec![Pool::of(net(subnet)).expect("room")],
        vni: 4097,
    }
}

fn task(n: u128) -> EndpointId {
    EndpointId::Task(TaskId::from_bits(n))
}

fn endpoint(n: u128, node: NodeId, on: &[(NetworkId, &str)], serves: bool) -> NetworkEndpoint {
    let on = on.iter().map(|(network, address)| NetworkAttachment {
        network: *network,
        addresses: vec![net(address)],
    });
    NetworkEndpoint {
        id: task(n),
        service: Some(SERVICE),
        names: Vec::new(),
        node,
        on: on.collect(),
        serves,
        user_space: n == 2,
    }
}

/// A service of three tasks on two networks, one of which does not serve.
fn known() -> Known {
    let mut known = Known::default();
    known.learn(NetworkNews {
        complete: true,
        networks: vec![
            network(WEB, "10.1.0.0", false),
            network(DB, "10.2.0.0", false),
            network(MESH, "10.3.0.0", true),
        ],
        services: vec![ServiceOnNetworks {
            id: SERVICE,
            name: "api".to_owned(),
            mode: Default::default(),
            virtual_ips: vec![VirtualIp { network: WEB, addr: net("10.1.0.2") }],
            aliases: Vec::new(),
        }],
        endpoints: vec![
            endpoint(1, OWN, &[(WEB, "10.1.0.5"), (DB, "10.2.0.5")], true),
            endpoint(2, OTHER, &[(WEB, "10.1.0.6"), (MESH, "10.3.0.6")], true),
            endpoint(3, OTHER, &[(WEB, "10.1.0.7")], false),
        ],
        ..NetworkNews::default()
    });
    known
}

fn ids(led: &Led) -> Vec<EndpointId> {
    match led {
        Led::NotOurs | Led::Nowhere => Vec::new(),
        Led::To(one) => vec![one.id],
        Led::InTurn(_, all) => all.iter().map(|one| one.id).collect(),
    }
}

#[test]
fn addresses_lead_to_who_has_them_on_ones_own_networks_and_nowhere_else() {
    let (known, none) = (known(), BTreeSet::new());
    let here = Here { node: OWN, ended: &none };
    let from = |networks: &[NetworkId], address| led(&known, here, networks, ip(address));
    assert_eq!(ids(&from(&[WEB], "10.1.0.6")), [task(2)]);
    assert_eq!(ids(&from(&[WEB], "10.1.0.7")), [task(3)], "whether it serves or not");
    assert_eq!(ids(&from(&[WEB], "10.1.0.2")), [task(1), task(2)], "those that serve");
    assert_eq!(from(&[WEB], "10.1.0.99"), Led::Nowhere);
    for (networks, address) in [
        (&[WEB][..], "10.2.0.5"),
        (&[DB], "10.1.0.2"),
        (&[DB], "10.1.0.6"),
        (&[], "10.1.0.6"),
        (&[WEB, MESH], "10.3.0.6"),
        (&[WEB, DB], "127.0.0.1"),
    ] {
        assert_eq!(from(networks, address), Led::NotOurs, "{address} from {networks:?}");
    }
}

#[test]
fn a_task_that_has_ended_here_is_led_to_by_no_virtual_address_and_has_none_of_its_own() {
    let known = known();
    let ended = [TaskId::from_bits(1)].into();
    let here = Here { node: OWN, ended: &ended };
    assert_eq!(ids(&led(&known, here, &[WEB], ip("10.1.0.2"))), [task(2)]);
    assert_eq!(own(&known, here, WEB, ip("10.1.0.5")), None);
    let none = BTreeSet::new();
    let here = Here { node: OWN, ended: &none };
    assert_eq!(own(&known, here, WEB, ip("10.1.0.5")).map(|one| one.id), Some(task(1)));
    assert_eq!(own(&known, here, DB, ip("10.1.0.5")), None, "not on that network");
    assert_eq!(own(&known, here, WEB, ip("10.1.0.6")), None, "of another node");
    let there = Here { node: OTHER, ended: &none };
    assert!(own(&known, there, WEB, ip("10.1.0.6")).is_some_and(|one| one.user_space));
}

#[test]
fn those_that_serve_have_turns_and_each_comes_once() {
    let (known, none) = (known(), BTreeSet::new());
    let address = ip("10.1.0.2");
    let here = Here { node: OWN, ended: &none };
    let mut turns = Turns::default();
    let mut next = || {
        let Led::InTurn(network, all) = led(&known, here, &[WEB], address) else {
            panic!("virtual")
        };
        let all = turns.next(network, address, all);
        assert_eq!(all.len(), 2);
        all[0].id
    };
    let firsts: Vec<_> = (0..4).map(|_| next()).collect();
    assert_eq!(firsts, [task(2), task(1), task(2), task(1)]);
    assert!(turns.next(WEB, address, Vec::new()).is_empty());
}
