//! In real network namespaces, with real clients.

mod away;
mod bounds;
mod clients;
mod flows;

use swarmw_model::ResolutionMode::{Dnsrr, Vip};

use crate::support::world::World;

/// Network 1, with a service of each kind.
fn world() -> World {
    let mut world = World::default()
        .network(1, "front")
        .service(1, "web", Vip, &[(1, &["10.1.0.2", "fd01::2"], &["www"])])
        .service(2, "api", Dnsrr, &[(1, &[], &[])])
        .service(3, "big", Dnsrr, &[(1, &[], &[])])
        .task(11, 1, "web.1.a", &[(1, &["10.1.0.11", "fd01::11"])])
        .task(21, 2, "api.1.b", &[(1, &["10.1.0.21"])])
        .task(22, 2, "api.2.c", &[(1, &["10.1.0.22"])]);
    for number in 0..300u16 {
        let (name, [high, low]) = (format!("big.{number}"), number.to_be_bytes());
        let address = format!("10.1.{}.{low}", high + 1);
        world = world.task(1_000 + u128::from(number), 3, &name, &[(1, &[&address])]);
    }
    world
}
