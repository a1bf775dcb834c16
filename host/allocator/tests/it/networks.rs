use std::collections::BTreeSet;

use swarmw_allocator::{Addresses, Allocator, choose_subnets};
use swarmw_model::{AttachmentId, EndpointSpec, NetworkSpec, ResolutionMode, TaskId, Time};
use swarmw_state::{Change, Outcome};

use crate::world::{World, service_spec};

#[test]
fn a_service_has_an_address_on_each_network_that_stays_and_its_tasks_have_theirs() {
    let mut world = World::new(&[], 0);
    let (web, db) =
        (world.network(5, &[]).unwrap(), world.network(6, &["192.168.7.0/24"]).unwrap());
    let service = world.service(100, &[web, db], &[8080]);
    let tasks = (1..=3).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    let ips = world.virtual_ips(service);
    assert_eq!(ips.len(), 3, "one of them on the ingress network: {ips:?}");
    assert!(ips.iter().any(|ip| ip.starts_with("10.0.0.")), "{ips:?}");
    let all: BTreeSet<_> = (1..=3).flat_map(|n| world.at(n).unwrap()).chain(ips.clone()).collect();
    assert_eq!(all.len(), 3 * 3 + 3, "nobody has what another has");
    assert!(world.at(1).unwrap()[0].starts_with("10.0.0."), "on the ingress network first");
    assert!(world.at(1).unwrap()[2].ends_with("/24"), "with the prefix of the subnet");
    assert_eq!(world.decide(Vec::new()), [], "it keeps them");

    let old = world.state.service(service).unwrap().clone();
    let mut spec = old.spec.clone();
    std::sync::Arc::make_mut(&mut spec.task_template).networks.pop();
    let change =
        Change::UpdateService { id: service, version: old.version, spec: Box::new(spec.clone()) };
    world.apply(vec![change]);
    world.tick(Vec::new());
    assert_eq!(world.virtual_ips(service), ips, "its tasks are there yet");
    assert_eq!(world.decide(Vec::new()), [], "which is as it should be");
    (1..=3).for_each(|n| world.end(n));
    world.tick(Vec::new());
    let left = world.virtual_ips(service);
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|ip| ips.contains(ip)), "{left:?} of {ips:?}");

    // By the addresses of its tasks: it has none of its own.
    spec.endpoint_spec =
        Some(EndpointSpec { mode: ResolutionMode::Dnsrr, ..EndpointSpec::default() });
    let version = world.state.service(service).unwrap().version;
    world.apply(vec![Change::UpdateService { id: service, version, spec: Box::new(spec) }]);
    world.tick(Vec::new());
    assert!(world.virtual_ips(service).is_empty());
}

#[test]
fn a_task_without_a_free_address_waits_says_so_in_numbers_and_gets_the_next_one() {
    let mut world = World::new(&[], 0);
    // Eight addresses: the net, its broadcast and the gateway are kept.
    let network = world.network(5, &["192.168.7.0/29"]).unwrap();
    let service = world.service(100, &[network], &[]);
    let tasks = (1..=5).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    let placed: Vec<_> = (1..=5).filter(|n| world.at(*n).is_ok()).collect();
    assert_eq!(placed, [1, 2, 3, 4], "the service has the fifth");
    let why = "no address is free on network net5: 192.168.7.0/29 has 5, all in use";
    assert_eq!(world.at(5), Err(why.to_owned()));

    // The same again: nothing is left to be written.
    let assign = world.assign(5);
    assert_eq!(world.decide(vec![assign.clone()]), []);
    world.end(2);
    world.tick(vec![assign]);
    assert!(world.at(5).is_ok());
    assert_eq!(world.state.addresses(network).count(), 5);
}

#[test]
fn addresses_come_from_the_range_of_a_subnet_whose_numbers_are_told_when_all_are_in_use() {
    for (subnet, range, room) in [
        ("192.168.7.0/24", "192.168.7.64/29", 8),
        // The net and the gateway are kept.
        ("192.168.7.0/24", "192.168.7.0/29", 6),
        // And the broadcast.
        ("192.168.7.0/24", "192.168.7.248/29", 7),
        ("fd00:9::/64", "fd00:9::100/125", 8),
    ] {
        let mut world = World::new(&[], 0);
        let network = match subnet.contains(':') {
            // Of IPv4 there is more than enough.
            true => world.ranged_network(5, &[("192.168.0.0/16", ""), (subnet, range)]),
            false => world.ranged_network(5, &[(subnet, range)]),
        };
        let within: ipnet::IpNet = range.parse().unwrap();
        let of_range = |on: &[String]| {
            let on = on.iter().map(|on| on.parse::<ipnet::IpNet>().unwrap());
            let on: Vec<_> =
                on.filter(|on| on.addr().is_ipv4() == within.addr().is_ipv4()).collect();
            on.len() == 1 && on.iter().all(|on| within.contains(&on.addr()))
        };
        let service = world.service(100, &[network], &[]);
        world.tick(Vec::new());
        let ips = world.virtual_ips(service);
        assert!(of_range(&ips), "{ips:?} of {range}");

        let why = format!("no address is free on network net5: {range} has {room}, all in use");
        let spec = world.state.service(service).unwrap().spec.task_template.clone();
        let mut addresses = Addresses::of(&world.state);
        let enough = world.allocator.enough(&mut addresses, service, &spec, 100);
        assert_eq!(enough, Err((room - 1, why.clone().into())));

        // Places all over the subnet.
        let id = |n: usize| n as u128 * 37;
        let tasks = (1..=room).map(|n| world.task(id(n), service)).collect();
        world.tick(tasks);
        for n in 1..room {
            let on = world.at(id(n)).unwrap();
            assert!(of_range(&on), "{on:?} of {range}");
        }
        assert_eq!(world.at(id(room)), Err(why));
    }
}

#[test]
fn several_subnets_that_were_named_are_used_up_and_auxiliary_addresses_are_nobodys() {
    let mut world = World::new(&[], 0);
    let kept = ["192.168.7.2", "192.168.7.4"];
    let network = world.network_without(5, &["192.168.7.0/29", "192.168.8.0/29"], &kept);
    let service = world.service(100, &[network], &[]);
    // Of the first /29 five are left beside the gateway, less two; of the second five.
    let room = 3 + 5;
    let tasks = (1..=room).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    let mut given = world.virtual_ips(service);
    given.extend((1..room).flat_map(|n| world.at(n).unwrap()));
    given.sort_unstable();
    let of = |subnet: &str, hosts: &[u8]| -> Vec<String> {
        hosts.iter().map(|host| format!("{subnet}.{host}/29")).collect()
    };
    let all = [of("192.168.7", &[3, 5, 6]), of("192.168.8", &[2, 3, 4, 5, 6])].concat();
    assert_eq!(given, all);
    let why = world.at(room).unwrap_err();
    assert!(why.contains("192.168.7.0/29 has 3, 192.168.8.0/29 has 5, all in use"), "{why}");
}

#[test]
fn it_is_known_beforehand_how_many_tasks_there_are_addresses_for() {
    let mut world = World::new(&["10.7.0.0/27"], 29);
    let named = world.network(5, &["192.168.7.0/29", "fd00:9::/64"]).unwrap();
    let grows = world.network(6, &[]).unwrap();
    let (narrow, wide) = (world.service(100, &[named], &[]), world.service(101, &[grows], &[]));
    let both = world.service(102, &[grows, named], &[]);
    world.tick(Vec::new());
    let enough = |world: &World, service, wanted| {
        let spec = world.state.service(service).unwrap().spec.task_template.clone();
        let mut addresses = Addresses::of(&world.state);
        let enough = world.allocator.enough(&mut addresses, service, &spec, wanted);
        enough.map_err(|(count, why)| (count, why.to_string()))
    };
    // Two of the five are the services' own.
    let why = "no address is free on network net5: 192.168.7.0/29 has 5, all in use";
    assert_eq!(enough(&world, narrow, 3), Ok(()));
    assert_eq!(enough(&world, narrow, 4), Err((3, why.to_owned())));
    assert_eq!(enough(&world, both, 9), Err((3, why.to_owned())));
    let tasks = (1..=2).map(|n| world.task(n, narrow)).collect();
    world.tick(tasks);
    assert_eq!(enough(&world, narrow, 9), Err((1, why.to_owned())));
    assert_eq!(enough(&world, wide, 9), Ok(()), "it may grow");
    let tasks = (10..30).map(|n| world.task(n, wide)).collect();
    world.tick(tasks);
    let (count, why) = enough(&world, wide, 1).unwrap_err();
    assert!(
        count == 0 && why.contains("it cannot grow: 10.7.0.0/27 has 4 subnets of /29"),
        "{why}"
    );
}

#[test]
fn a_network_grows_to_a_number_of_subnets_and_no_further() {
    let mut world = World::new(&["10.0.0.0/8"], 29);
    let network = world.network(5, &[]).unwrap();
    let service = world.service(100, &[network], &[]);
    let tasks = (1..=1_300).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    assert_eq!(world.state.network(network).unwrap().pools.len(), 256);
    let placed = (1..=1_300).filter(|n| world.at(*n).is_ok()).count();
    assert_eq!(placed, 256 * 5 - 1);
    let why = (1..=1_300).find_map(|n| world.at(n).err()).unwrap();
    assert!(
        why.ends_with(
            ", 248 more have 1240, all in use; it cannot grow: 256 subnets are the most that a \
             network has"
        ),
        "{why}"
    );
}

/// Thirty tasks for a /28, of which those that run are replaced until 10,000 addresses were
/// given, now and then by a new leader.
#[test]
fn a_narrow_network_gives_each_address_to_one() {
    let mut world = World::new(&[], 0);
    // Sixteen, but for the net, its broadcast, the gateway and the service's own.
    let room = 12;
    let network = world.network(5, &["192.168.7.0/28"]).unwrap();
    let service = world.service(100, &[network], &[]);
    let mut wanted: Vec<u128> = (1..=30).collect();
    let mut scheduled: Vec<_> = wanted.iter().map(|n| world.task(*n, service)).collect();
    let (mut given, mut leaders) = (0, 1);
    while given < 10_000 {
        world.tick(scheduled);
        let (running, waiting): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|n| world.at(*n).is_ok());
        let mut all: BTreeSet<_> = running.iter().flat_map(|n| world.at(*n).unwrap()).collect();
        all.extend(world.virtual_ips(service));
        assert_eq!((running.len(), all.len()), (room, room + 1), "nobody has what another has");
        assert_eq!(world.state.addresses(network).count(), room + 1, "and none is lost");
        for n in &waiting {
            let why = "no address is free on network net5: 192.168.7.0/28 has 13, all in use";
            assert_eq!(world.at(*n), Err(why.to_owned()));
        }
        given += running.len();
        if given % 5 == 0 {
            world.allocator = Allocator::new();
            leaders += 1;
        }
        for n in &running {
            world.end(*n);
            world.apply(vec![Change::RemoveTask(TaskId::from_bits(*n))]);
        }
        scheduled = waiting.iter().map(|n| world.assign(*n)).collect();
        let next = waiting.iter().chain(&running).max().map_or(1, |last| last + 1);
        let new: Vec<_> = (next..).take(room).collect();
        scheduled.extend(new.iter().map(|n| world.task(*n, service)));
        wanted = [waiting, new].concat();
    }
    println!("{given} addresses given and freed under {leaders} leaders");
}

#[test]
fn an_address_that_was_freed_a_moment_ago_is_not_the_next_one() {
    let mut world = World::new(&[], 0);
    let network = world.network(5, &[]).unwrap();
    let service = world.service(100, &[network], &[]);
    let first = world.task(1_001, service);
    world.tick(vec![first]);
    let had = world.at(1_001).unwrap();
    world.end(1_001);
    let next = world.task(2_022, service);
    world.tick(vec![next]);
    assert_ne!(world.at(2_022).unwrap(), had);
}

#[test]
fn an_address_rests_for_ten_seconds_where_the_network_has_another() {
    let mut world = World::new(&[], 0);
    let second = |n: i64| Time::from_nanos(n * 1_000_000_000);
    // Room for five.
    let network = world.network(5, &["192.168.7.0/29"]).unwrap();
    let service = world.service(100, &[network], &[]);
    world.now = second(100);
    let tasks = (1..=3).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    let had: Vec<_> = (1..=3).map(|n| world.at(n).unwrap()).collect();
    // Eight further, so each begins to look where the one before it did.
    world.end(1);
    world.now = second(101);
    let task = world.task(9, service);
    world.tick(vec![task]);
    assert_ne!(world.at(9).unwrap(), had[0], "another one is free");

    // Nothing else is: two rest, and one of them is given.
    world.end(2);
    world.now = second(102);
    let task = world.task(10, service);
    world.tick(vec![task]);
    assert_eq!(world.at(10).unwrap(), had[0]);

    // One that has rested is as good as any, and the first from its place on that does.
    world.end(10);
    world.end(3);
    world.now = second(105);
    world.tick(Vec::new());
    world.now = second(112);
    let task = world.task(17, service);
    world.tick(vec![task]);
    assert_eq!(world.at(17).unwrap(), had[1]);
}

#[test]
fn a_services_address_rests_as_well_and_a_network_does_not_grow_for_it() {
    let mut world = World::new(&["10.7.0.0/27"], 29);
    let network = world.network(5, &[]).unwrap();
    let one = world.service(100, &[network], &[]);
    world.tick(Vec::new());
    let had = world.virtual_ips(one);
    world.apply(vec![Change::RemoveService { id: one }]);
    // The same remainder: it begins to look at the same place.
    let two = world.service(108, &[network], &[]);
    world.tick(Vec::new());
    assert_ne!(world.virtual_ips(two), had);
    let tasks = (1..=4).map(|n| world.task(n, two)).collect();
    world.tick(tasks);
    assert_eq!(world.state.network(network).unwrap().pools.len(), 1);
    assert!((1..=4).any(|n| world.at(n).unwrap() == had), "there is no other");
}

#[test]
fn a_network_whose_subnet_nobody_named_grows_until_the_default_pools_are_exhausted() {
    let mut world = World::new(&["10.7.0.0/27"], 29);
    // The first of the four is that of the routing mesh.
    let network = world.network(5, &[]).unwrap();
    let service = world.service(100, &[network], &[]);
    let tasks = (1..=20).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    let placed = (1..=20).filter(|n| world.at(*n).is_ok()).count();
    assert_eq!(placed, 3 * 5 - 1);
    let subnets: Vec<_> =
        world.state.network(network).unwrap().pools.iter().map(|p| p.subnet.to_string()).collect();
    assert_eq!(subnets, ["10.7.0.8/29", "10.7.0.16/29", "10.7.0.24/29"]);
    assert_eq!(
        world.at(20),
        Err("no address is free on network net5: 10.7.0.8/29 has 5, 10.7.0.16/29 has 5, \
             10.7.0.24/29 has 5, all in use; it cannot grow: 10.7.0.0/27 has 4 subnets of /29, \
             all in use"
            .to_owned())
    );
    let why = world.network(6, &[]).unwrap_err().message;
    assert!(why.contains("10.7.0.0/27 has 4 subnets of /29, all in use"), "{why}");
    assert!(world.network(7, &["10.8.0.0/29"]).is_ok(), "one that is named is none of them");
}

#[test]
fn a_service_without_an_address_keeps_its_tasks_waiting_until_there_is_one() {
    let mut world = World::new(&[], 0);
    let network = world.network(5, &["192.168.7.0/30"]).unwrap();
    let one = world.service(100, &[network], &[]);
    let two = world.service(101, &[network], &[]);
    let task = world.task(1, two);
    world.tick(vec![task]);
    assert_eq!(world.virtual_ips(one), ["192.168.7.2/30"]);
    let why = "no address is free on network net5: 192.168.7.0/30 has 1, all in use";
    assert_eq!(world.failures.iter().map(|f| &*f.reason).collect::<Vec<_>>(), [why]);
    assert_eq!(world.at(1), Err(why.to_owned()));

    world.apply(vec![Change::RemoveService { id: one }]);
    world.tick(Vec::new());
    assert_eq!(world.virtual_ips(two), ["192.168.7.2/30"]);
}

#[test]
fn the_two_families_are_given_together() {
    let mut world = World::new(&[], 0);
    let chosen = world.network(5, &["::"]).unwrap();
    let subnets: Vec<_> =
        world.state.network(chosen).unwrap().pools.iter().map(|p| p.subnet.to_string()).collect();
    assert_eq!(subnets, ["10.0.1.0/24", "fd00:0:7000::/64"]);
    let named = world.network(6, &["192.168.7.0/29", "fd00:9::/64"]).unwrap();
    let service = world.service(100, &[named], &[]);
    let tasks = (1..=5).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    assert_eq!(world.virtual_ips(service).len(), 2);
    let on = world.at(1).unwrap();
    assert!(on[0].ends_with("/29") && on[1].ends_with("/64"), "{on:?}");
    let why = "no address is free on network net6: 192.168.7.0/29 has 5, all in use";
    assert_eq!(world.at(5), Err(why.to_owned()));
    // The fifth has taken none of the other family either.
    assert_eq!(world.state.addresses(named).count(), 2 * 5);
}

#[test]
fn a_container_gets_the_address_that_it_asks_for_or_any() {
    let mut world = World::new(&[], 0);
    let id = world.network(5, &["192.168.7.0/29", "fd00:9::/64"]).unwrap();
    let network = world.state.network(id).unwrap().clone();
    let mut addresses = Addresses::of(&world.state);
    let mut ask = |n: u128, asked: &str, v4| {
        let asked = (!asked.is_empty()).then(|| asked.parse().unwrap());
        let on = addresses.attach(&network, AttachmentId::from_bits(n), asked, v4);
        on.map(|on| on.addresses[0].to_string()).map_err(|why| why.to_string())
    };
    assert_eq!(ask(1, "192.168.7.4", true), Ok("192.168.7.4/29".into()));
    assert_eq!(ask(2, "192.168.7.4", true), Err("Address already in use: 192.168.7.4".into()));
    assert_eq!(ask(2, "192.168.7.1", true), Err("Address already in use: 192.168.7.1".into()));
    assert_eq!(
        ask(2, "192.168.8.4", true),
        Err("no subnet of network net5 contains the address 192.168.8.4".into())
    );
    assert!(ask(3, "", true).unwrap().ends_with("/29"));
    assert!(ask(3, "", false).unwrap().ends_with("/64"));
}

#[test]
fn subnets_that_others_took_meanwhile_are_dropped_and_told_apart_from_those_named() {
    let mut world = World::new(&[], 0);
    let one = world.network(5, &[]).unwrap();
    let made = world.state.network(one).unwrap().clone();
    let mut late = (*made).clone();
    late.id = swarmw_model::NetworkId::from_bits(9);
    late.spec.name = "late".into();
    late.vni += 1;
    let outcomes = world.outcomes(vec![Change::CreateNetwork(Box::new(late.clone()))]);
    assert!(matches!(outcomes[..], [Outcome::Dropped(_)]), "{outcomes:?}");
    late.spec.ipam.config = vec![swarmw_model::IpamConfig {
        subnet: made.pools[0].subnet.to_string(),
        ..Default::default()
    }];
    let outcomes = world.outcomes(vec![Change::CreateNetwork(Box::new(late))]);
    let [Outcome::Refused(why)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(why.message.contains("10.0.1.0/24 and 10.0.1.0/24 of network net5"), "{why}");
}

#[test]
fn pools_of_ipv6_without_ipv6_are_left_out_as_docker_does() {
    let world = World::new(&[], 0);
    let mut spec = NetworkSpec { name: "web".into(), ..NetworkSpec::default() };
    spec.ipam.config =
        vec![swarmw_model::IpamConfig { subnet: "fd00:9::/64".into(), ..Default::default() }];
    let pools = choose_subnets(&world.state, &spec).unwrap();
    assert_eq!(pools.len(), 1);
    assert!(pools[0].subnet.addr().is_ipv4());
    assert!(service_spec("x", &[], &[]).networks_wanted().is_empty());
}

/// A task's addresses on the ingress network.
fn on_mesh(world: &World, n: u128) -> usize {
    world.at(n).unwrap().iter().filter(|address| address.starts_with("10.0.")).count()
}

#[test]
fn who_publishes_ports_has_an_address_on_the_mesh_where_its_nodes_kernel_leads_to_it() {
    let mut world = World::new(&[], 0);
    let open = world.network(5, &["192.168.7.0/24"]).unwrap();
    let inner = world.inner_network(6, "192.168.8.0/24");
    let host = world.state.network_named("host").unwrap().id;
    let component = |spec: &mut swarmw_model::TaskSpec| {
        let image = format!("x.wasm@sha256:{}", "0".repeat(64));
        spec.container_spec.as_mut().unwrap().image = image;
    };
    let nothing = |_: &mut swarmw_model::TaskSpec| {};
    type Edit<'a> = &'a dyn Fn(&mut swarmw_model::TaskSpec);
    let cases: [(&[_], &[u16], Edit<'_>, usize, &str); 8] = [
        (&[], &[8080], &nothing, 1, "on no network"),
        (&[open], &[8081], &nothing, 1, "on one of its own"),
        (&[open, inner], &[8082], &nothing, 1, "one of two leads out"),
        (&[inner], &[8083], &nothing, 0, "its container is on no bridge"),
        (&[host], &[8084], &nothing, 0, "it is on its node's own network"),
        (&[open, host], &[8085], &nothing, 0, "it is on another bridge"),
        (&[], &[], &nothing, 0, "it publishes nothing"),
        (&[], &[8086], &component, 0, "it is no container"),
    ];
    for (n, (networks, ports, edit, addresses, why)) in (1..).zip(cases) {
        let mut spec = service_spec(&format!("s{n}"), networks, ports);
        edit(std::sync::Arc::make_mut(&mut spec.task_template));
        let id = swarmw_model::ServiceId::from_bits(100 + n);
        // The API refuses some of these for their own reasons.
        let created = world.outcomes(vec![Change::CreateService { id, spec: Box::new(spec) }]);
        if let [Outcome::Done(_)] = created[..] {
            let task = world.task(n, id);
            world.tick(vec![task]);
            assert_eq!(on_mesh(&world, n), addresses, "{why}");
        } else {
            assert_eq!(addresses, 0, "{why}: {created:?}");
        }
    }
    world.joins(false);
    let service = world.service(200, &[], &[9090]);
    let task = world.task(50, service);
    world.tick(vec![task]);
    assert_eq!(world.at(50), Ok(Vec::new()), "its node joins no networks");
}

#[test]
fn a_task_does_not_wait_for_an_address_on_the_mesh_which_grows_as_others_do() {
    let mut world = World::new(&["10.0.0.0/28"], 29);
    let service = world.service(100, &[], &[8080]);
    let tasks = (1..=9).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    assert_eq!(world.off_mesh, None);
    let tasks = (10..=12).map(|n| world.task(n, service)).collect();
    world.tick(tasks);
    let why = "no address is free on network ingress: 10.0.0.0/29 has 5, 10.0.0.8/29 has 5, all in \
               use; it cannot grow: 10.0.0.0/28 has 2 subnets of /29, all in use";
    assert_eq!(world.off_mesh.as_deref(), Some(why), "which the leader's log says");
    let ingress = world.state.ingress().unwrap();
    assert_eq!(world.state.network(ingress).unwrap().pools.len(), 2);
    let served: Vec<_> = (1..=12).map(|n| on_mesh(&world, n)).collect();
    // Of five in each subnet the service has one.
    assert_eq!(served.iter().sum::<usize>(), 9, "{served:?}");
    assert!((1..=12).all(|n| world.at(n).is_ok()), "those without are placed as well");
}
