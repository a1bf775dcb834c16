use swarmw_allocator::{Addresses, FIRST_PORT, LAST_PORT};
use swarmw_model::{AddressPools, Cluster, PortProtocol, ServiceId};
use swarmw_state::Change;

use crate::world::{World, cluster, service_spec};

const COUNT: u128 = (LAST_PORT - FIRST_PORT) as u128 + 1;

fn published(world: &World, id: ServiceId) -> u16 {
    world.state.service(id).expect("there").endpoint.ports[0].published_port
}

#[test]
fn unset_ports_get_distinct_numbers_of_the_range_and_keep_them() {
    let mut world = World::new(&[], 0);
    let fixed = world.service(1, &[], &[8080]);
    // The same remainder: both start looking at the same place.
    let ids = [2, 2 + COUNT].map(|n| world.service(n, &[], &[0]));
    world.tick(Vec::new());
    assert_eq!(world.failures, []);
    assert_eq!(published(&world, fixed), 8080);
    let got = ids.map(|id| published(&world, id));
    assert_ne!(got[0], got[1]);
    assert!(got.iter().all(|p| (FIRST_PORT..=LAST_PORT).contains(p)), "{got:?}");
    assert_eq!(world.decide(Vec::new()), []);
}

#[test]
fn the_port_of_vxlan_is_chosen_for_no_service() {
    let data_path_port = FIRST_PORT + 2;
    let mut world = World::founded(Cluster { data_path_port, ..cluster(AddressPools::default()) });
    // Its place is the port of VXLAN itself, in TCP as well as in UDP.
    let id = ServiceId::from_bits(2);
    let mut spec = service_spec("dns", &[], &[0, 0]);
    spec.endpoint_spec.as_mut().unwrap().ports[1].protocol = PortProtocol::Udp;
    world.apply(vec![Change::CreateService { id, spec: Box::new(spec) }]);
    world.tick(Vec::new());
    let ports = &world.state.service(id).unwrap().endpoint.ports;
    let got: Vec<_> = ports.iter().map(|port| (port.protocol, port.published_port)).collect();
    assert_eq!(got, [(PortProtocol::Tcp, FIRST_PORT + 2), (PortProtocol::Udp, FIRST_PORT + 3)]);
}

#[test]
fn exhaustion_is_told_nothing_is_given_twice_and_what_is_freed_is_given() {
    let mut world = World::new(&[], 0);
    let all: Vec<_> = (FIRST_PORT..=LAST_PORT).collect();
    let first = world.service(1, &[], &all[..1000]);
    world.service(2, &[], &all[1000..]);
    let late = world.service(3, &[], &[0]);
    world.tick(Vec::new());
    let reasons: Vec<_> = world.failures.iter().map(|f| (f.service, f.reason.as_str())).collect();
    assert_eq!(reasons, [(late, "no free port from 30000 to 32767")]);
    let waits = |world: &World| {
        let spec = world.state.service(late).unwrap().spec.task_template.clone();
        let mut addresses = Addresses::of(&world.state);
        world.allocator.enough(&mut addresses, late, &spec, 2).err()
    };
    assert_eq!(waits(&world), Some((0, "no free port from 30000 to 32767".into())), "its tasks");
    // Once more, as the service has changed: it got an address.
    world.tick(Vec::new());
    world.tick(Vec::new());
    assert_eq!(world.failures, [], "told when something changes");

    world.apply(vec![Change::RemoveService { id: first }]);
    world.tick(Vec::new());
    assert!(all[..1000].contains(&published(&world, late)));
    assert_eq!(waits(&world), None);
}
