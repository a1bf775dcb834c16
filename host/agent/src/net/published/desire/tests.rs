use serde_json::json;
use swarmw_model::{Network, NetworkId, NetworkPeer, PortProtocol};

use super::*;

const OWN: NodeId = NodeId::from_bits(1);
const OTHER: NodeId = NodeId::from_bits(2);
const THIRD: NodeId = NodeId::from_bits(3);
const INGRESS: NetworkId = NetworkId::from_bits(9);
const WEB: (PortProtocol, u16) = (PortProtocol::Tcp, 8080);

/// What is listed and what is here: nodes 1 (this one), 2 and 3.
struct World {
    listed: Listed,
    known: Known,
    bridged: Bridged,
    ended: BTreeSet<TaskId>,
    refused: BTreeSet<(PortProtocol, u16)>,
    taken: Vec<Ipv4Net>,
}

impl World {
    fn new() -> Self {
        let own = Some(peer(OWN, 1));
        let leaving = Vec::new();
        let ingress = Some(Ingress { vni: 4096, data_path_port: 4789, own, leaving });
        let (known, bridged, ended) = Default::default();
        let (refused, taken) = Default::default();
        let listed = Listed { ports: Vec::new(), ingress };
        Self { listed, known, bridged, ended, refused, taken }
    }

    fn publish(&mut self, backends: Vec<Backend>, leaving: Vec<Backend>) {
        let ((protocol, published), target, snat) = (WEB, 80, false);
        self.listed.ports =
            vec![PublishedPort { protocol, published, target, backends, leaving, snat }];
    }

    /// A container of this node's, on the bridge.
    fn bridge(&mut self, n: u8, attached: bool) {
        let on = NetworkAttachment {
            network: INGRESS,
            addresses: vec![format!("10.0.0.{n}/24").parse().expect("an address")],
        };
        let attachments = if attached { vec![on] } else { Vec::new() };
        self.bridged.insert(task(n), OnBridge { attachments, local: local(n) });
    }

    fn desired(&self) -> DesiredPorts {
        desired(&self.listed, &self.here())
    }

    fn here(&self) -> Here<'_> {
        Here {
            node: OWN,
            known: &self.known,
            bridged: &self.bridged,
            ended: &self.ended,
            refused: &self.refused,
            taken: &self.taken,
        }
    }
}

fn task(n: u8) -> TaskId {
    TaskId::from_bits(n.into())
}

fn local(n: u8) -> Local {
    Local { v4: Some(Ipv4Addr::new(172, 18, 0, n)), v6: None }
}

fn ingress(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn peer(node: NodeId, number: u16) -> NetworkPeer {
    let address = format!("192.168.5.{number}").parse().expect("an address");
    NetworkPeer { node, number, address, hostname: String::new(), agent: String::new() }
}

/// A task with an address on the mesh, on the node of this number.
fn backend(n: u8, node: NodeId) -> Backend {
    let number = u16::try_from(node.bits()).expect("small");
    Backend {
        task: task(n),
        node,
        address: format!("192.168.5.{number}:2377"),
        ingress: Some(ingress(n)),
        number,
        data_path: Some(peer(node, number).address),
        v6: false,
        target: 0,
    }
}

fn network() -> Network {
    Network {
        id: INGRESS,
        version: Default::default(),
        created_at: Default::default(),
        updated_at: Default::default(),
        spec: serde_json::from_value(json!({"Name": "ingress", "Ingress": true})).expect("a spec"),
        pools: Vec::new(),
        vni: 4096,
    }
}

#[test]
fn a_port_leads_to_tasks_here_and_elsewhere() {
    let mut world = World::new();
    world.publish(vec![backend(5, OWN), backend(6, OTHER)], Vec::new());
    world.bridge(5, false);
    let desired = world.desired();
    assert_eq!((desired.number, desired.vni, desired.port), (1, 4096, 4789));
    assert_eq!(desired.peers, [(2, [192, 168, 5, 2].into())].into());
    assert_eq!(desired.here, [(ingress(5), local(5))].into());
    let remote = Remote { node: 2, v4: true, v6: false };
    assert_eq!(desired.elsewhere, OrdMap::unit(ingress(6), remote));
    let backends = [(ingress(5), 80), (ingress(6), 80)].into();
    let ends = PublishedEnds { backends, snat: false, user_space: true };
    assert_eq!(desired.ports, OrdMap::unit(WEB, ends));
    assert!(desired.nodes.is_empty(), "agents are where VXLAN ends");
}

#[test]
fn a_port_with_somebody_whom_kernels_do_not_lead_to_is_left_to_user_space() {
    let without = Backend { ingress: None, ..backend(6, OTHER) };
    let unnumbered = Backend { number: 0, ..backend(6, OTHER) };
    let nowhere = Backend { data_path: None, ..backend(6, OTHER) };
    let of_another_family =
        Backend { data_path: Some("fd00::2".parse().expect("an address")), ..backend(6, OTHER) };
    let unreached = backend(6, OWN);
    for one in [without, unnumbered, nowhere, of_another_family, unreached] {
        let mut world = World::new();
        world.bridge(5, false);
        world.publish(vec![backend(5, OWN), one.clone()], Vec::new());
        assert!(world.desired().ports.is_empty(), "{one:?}");
        world.publish(vec![backend(5, OWN)], vec![one.clone()]);
        assert_eq!(world.desired().ports.len(), 1, "who leaves does not count: {one:?}");
    }
}

#[test]
fn a_task_is_reached_by_ipv6_where_it_has_it_and_the_port_by_the_kernel_all_the_same() {
    let mut world = World::new();
    let with = Backend { v6: true, ..backend(6, OTHER) };
    world.publish(vec![backend(5, OWN), with, backend(7, THIRD)], Vec::new());
    world.bridge(5, false);
    let desired = world.desired();
    let v6: Vec<_> = desired.elsewhere.iter().map(|(task, on)| (*task, on.v6)).collect();
    assert_eq!(v6, [(ingress(6), true), (ingress(7), false)]);
    assert_eq!(desired.here[&ingress(5)].v6, None);
    assert_eq!(desired.ports[&WEB].backends.len(), 3);
}

#[test]
fn a_task_is_led_to_on_the_port_that_it_was_made_with() {
    let mut world = World::new();
    let older = Backend { target: 8000, ..backend(6, OTHER) };
    world.publish(vec![older, backend(7, OTHER)], Vec::new());
    let wanted = [(ingress(6), 8000), (ingress(7), 80)].into();
    assert_eq!(world.desired().ports[&WEB].backends, wanted);
}

#[test]
fn who_leaves_stays_reachable_and_who_has_ended_does_not() {
    let mut world = World::new();
    world.publish(vec![backend(7, OTHER)], vec![backend(5, OWN), backend(6, OTHER)]);
    world.bridge(5, false);
    let desired = world.desired();
    assert_eq!(desired.ports[&WEB].backends, [(ingress(7), 80)].into());
    assert!(desired.here.contains_key(&ingress(5)));
    assert!(desired.elsewhere.contains_key(&ingress(6)));

    world.publish(vec![backend(5, OWN), backend(7, OTHER)], Vec::new());
    world.ended.insert(task(5));
    let desired = world.desired();
    assert_eq!(desired.ports[&WEB].backends, [(ingress(7), 80)].into(), "before it is told");
    assert!(desired.here.is_empty());
}

#[test]
fn connections_go_on_when_nothing_is_published_any_more() {
    let mut world = World::new();
    world.bridge(5, false);
    if let Some(ingress) = &mut world.listed.ingress {
        ingress.leaving = vec![backend(5, OWN), backend(6, OTHER)];
    }
    let desired = world.desired();
    assert!(desired.ports.is_empty());
    assert!(desired.here.contains_key(&ingress(5)));
    assert!(desired.elsewhere.contains_key(&ingress(6)));
    assert!(desired.peers.contains_key(&2));
}

#[test]
fn a_task_is_reachable_before_this_node_hears_that_it_serves_and_by_every_node() {
    let mut world = World::new();
    world.bridge(5, true);
    assert!(world.desired().here.is_empty(), "of which network it is is not known");
    world.known.networks.insert(INGRESS, network());
    for (node, number) in [(OWN, 1), (OTHER, 2), (THIRD, 3)] {
        world.known.peers.insert(node, peer(node, number));
    }
    let desired = world.desired();
    assert_eq!(desired.here, [(ingress(5), local(5))].into());
    assert_eq!(desired.peers.keys().copied().collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_port_that_another_process_has_is_left_to_it() {
    let mut world = World::new();
    world.publish(vec![backend(6, OTHER)], Vec::new());
    assert!(world.desired().ports.contains_key(&WEB));
    world.refused.insert(WEB);
    assert!(world.desired().ports.is_empty());
}

#[test]
fn nobody_is_led_to_a_task_with_an_address_of_the_machines_own() {
    let mut world = World::new();
    world.publish(vec![backend(6, OTHER)], Vec::new());
    world.taken = vec!["10.0.0.6/32".parse().expect("an address")];
    let desired = world.desired();
    assert!(desired.elsewhere.is_empty() && desired.ports.is_empty(), "{desired:?}");
    world.taken = vec!["10.0.0.2/32".parse().expect("an address")];
    assert!(world.desired().ports.contains_key(&WEB));
}

#[test]
fn a_nodes_own_connections_come_from_where_its_agent_is_too() {
    let mut world = World::new();
    let address = "10.1.1.2:2377".to_owned();
    world.publish(vec![Backend { address, ..backend(6, OTHER) }], Vec::new());
    assert_eq!(world.desired().nodes, [([10, 1, 1, 2].into(), 2)].into());
}

#[test]
fn a_port_without_tasks_is_refused_and_not_left_to_user_space() {
    let mut world = World::new();
    let refused = OrdMap::unit(WEB, PublishedEnds::default());
    world.publish(Vec::new(), Vec::new());
    assert_eq!(world.desired().ports, refused);
    // Those that they have are led on.
    world.publish(Vec::new(), vec![backend(6, OTHER)]);
    let desired = world.desired();
    assert!(desired.elsewhere.contains_key(&ingress(6)));
    assert_eq!(desired.ports, refused);
    // Before the leader hears of it.
    world.bridge(5, false);
    world.publish(vec![backend(5, OWN)], Vec::new());
    world.ended.insert(task(5));
    assert_eq!(world.desired().ports, refused);
    // Another process has it.
    world.refused.insert(WEB);
    assert!(world.desired().is_nothing());
}

#[test]
fn nothing_is_there_without_ports_or_before_the_leader_says_what_the_node_is() {
    let mut world = World::new();
    assert!(world.desired().is_nothing());
    world.publish(vec![backend(6, OTHER)], Vec::new());
    assert!(!world.desired().is_nothing());
    if let Some(ingress) = &mut world.listed.ingress {
        ingress.own = None;
    }
    assert!(world.desired().is_nothing());
    world.listed.ingress = None;
    assert!(world.desired().is_nothing());
}

#[test]
fn a_port_in_user_space_says_whose_task_keeps_it_there() {
    let mut world = World::new();
    let why = |world: &World| {
        let port = &world.listed.ports[0];
        why_in_user_space(port, &world.listed, &world.here(), &world.desired())
    };
    world.publish(Vec::new(), Vec::new());
    assert_eq!(why(&world), "no task serves it");

    let elsewhere = Backend { ingress: None, ..backend(2, OTHER) };
    world.publish(vec![backend(3, THIRD), elsewhere], Vec::new());
    let told = why(&world);
    let who = format!("of task {} on {OTHER}: no kernel leads to it", task(2));
    assert!(told.starts_with(&who), "{told}");
    assert!(told.contains("no address was free on the ingress network"), "{told}");

    world.taken = vec!["10.0.0.3/32".parse().expect("a network")];
    world.publish(vec![backend(3, THIRD)], Vec::new());
    assert!(why(&world).contains("10.0.0.3 is an address of this machine"), "{}", why(&world));

    world.refused = [WEB].into();
    assert!(why(&world).contains("another process"), "{}", why(&world));
    world.refused = BTreeSet::new();

    world.publish(vec![backend(1, OWN)], Vec::new());
    assert!(why(&world).contains("docker_gwbridge"), "{}", why(&world));

    world.listed.ingress = None;
    assert!(why(&world).contains("the leader has not said"), "{}", why(&world));
}
