//! Whatever comes and goes, nobody is given what another has.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use swarmw_model::{NetworkId, ServiceId, TaskId};
use swarmw_state::Change;

use crate::world::World;

#[derive(Clone, Debug)]
enum Op {
    Service(u8),
    RemoveService(u8),
    Tasks(u8, u8),
    End(u8),
    Retry,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..4u8).prop_map(Op::Service),
        1 => (0..4u8).prop_map(Op::RemoveService),
        4 => (0..4u8, 1..6u8).prop_map(|(service, count)| Op::Tasks(service, count)),
        3 => any::<u8>().prop_map(Op::End),
        2 => Just(Op::Retry),
    ]
}

/// Everybody's addresses, read from the objects and not from the index.
fn held(world: &World) -> Vec<(NetworkId, String)> {
    let tasks = world.state.tasks().filter(|t| !t.status.state.is_terminal());
    let tasks = tasks.flat_map(|t| t.attachments.iter());
    let tasks = tasks.flat_map(|on| on.addresses.iter().map(|net| (on.network, net.to_string())));
    let services = world.state.services().flat_map(|s| s.endpoint.virtual_ips.iter());
    tasks.chain(services.map(|ip| (ip.network, ip.addr.to_string()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_given_what_another_has_and_what_is_free_is_given(log in vec(op(), 1..60)) {
        let mut world = World::new(&["10.7.0.0/26"], 29);
        // One that grows, and one that does not.
        let networks = [
            world.network(5, &[]).expect("room"),
            world.network(6, &["192.168.7.0/28", "fd00:9::/64"]).expect("room"),
        ];
        let mut next = 1_000_u128;
        let mut waits: BTreeMap<u128, ServiceId> = BTreeMap::new();
        for op in log {
            let mut scheduled = Vec::new();
            match op {
                Op::Service(n) => {
                    let id = ServiceId::from_bits(n.into());
                    if world.state.service(id).is_none() {
                        let on = &networks[..1 + usize::from(n % 2)];
                        world.service(n.into(), on, &[]);
                    }
                }
                Op::RemoveService(n) => {
                    let id = ServiceId::from_bits(n.into());
                    if world.state.service(id).is_some() {
                        world.apply(vec![Change::RemoveService { id }]);
                        waits.retain(|_, service| *service != id);
                    }
                }
                Op::Tasks(n, count) => {
                    let id = ServiceId::from_bits(n.into());
                    if world.state.service(id).is_some() {
                        for _ in 0..count {
                            // Many begin to look at the same place.
                            next += 16;
                            scheduled.push(world.task(next, id));
                            waits.insert(next, id);
                        }
                    }
                }
                Op::End(n) => {
                    let live: Vec<_> =
                        world.state.tasks().filter(|t| !t.status.state.is_terminal()).collect();
                    let chosen = live.get(usize::from(n) % live.len().max(1)).map(|t| t.id.bits());
                    if let Some(id) = chosen {
                        world.end(id);
                        waits.remove(&id);
                    }
                }
                Op::Retry => scheduled = waits.keys().map(|n| world.assign(*n)).collect(),
            }
            // Every decision of the tick is carried out: what was chosen was free.
            world.tick(scheduled);
            waits.retain(|n, _| {
                let task = world.state.task(TaskId::from_bits(*n));
                task.is_some_and(|task| task.node_id.is_none())
            });
            let mut all = held(&world);
            let count = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), count, "an address is held twice");
            let indexed: usize = networks.iter().map(|id| world.state.addresses(*id).count()).sum();
            prop_assert_eq!(indexed, count, "the index is that of the objects");
        }
        // Whoever still waits does so because nothing is left.
        let retry = waits.keys().map(|n| world.assign(*n)).collect();
        world.tick(retry);
        for n in waits.keys() {
            let Err(why) = world.at(*n) else { continue };
            prop_assert!(why.contains("all in use"), "{}", why);
            let of_four = |id: &NetworkId| {
                let v4 = world.state.addresses(*id).filter(|(address, _)| address.is_ipv4()).count();
                let network = world.state.network(*id).expect("there");
                let room: usize = network
                    .pools
                    .iter()
                    .filter(|pool| pool.subnet.addr().is_ipv4())
                    .map(|pool| (1 << (32 - pool.subnet.prefix_len())) - 3)
                    .sum();
                v4 == room
            };
            prop_assert!(networks.iter().any(of_four), "{} while there is room", why);
        }
    }
}
