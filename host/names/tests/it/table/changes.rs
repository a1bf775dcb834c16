//! Tables that follow what changes.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use swarmw_model::ResolutionMode::{Dnsrr, Vip};
use swarmw_model::{EndpointId, NetworkEndpoint, NetworkNews, ServiceId, ServiceOnNetworks};
use swarmw_names::{Table, Want};

use super::asked;
use crate::support::world::{World, network, task};

const NET: u128 = 1;

fn news() -> NetworkNews {
    NetworkNews::default()
}

#[test]
fn each_change_is_seen() {
    let world = World::default()
        .network(NET, "net")
        .service(1, "web", Dnsrr, &[(NET, &[], &["www"])])
        .task(1, 1, "web.1.a", &[(NET, &["10.1.0.11"])])
        .idle();
    let mut table = world.table();
    let web = |table: &Table| asked(table, &[NET], "web", Want::V4);
    assert_eq!(web(&table), "nothing", "its task does not serve yet");

    let mut serving = world.0.endpoints[0].clone();
    serving.serves = true;
    table.apply(&NetworkNews { endpoints: vec![serving], ..news() });
    assert_eq!(web(&table), "10.1.0.11");

    let before = table.clone();
    let second = World::default().task(2, 1, "web.2.b", &[(NET, &["10.1.0.12"])]).0;
    table.apply(&second);
    assert_eq!(web(&table), "10.1.0.11 10.1.0.12");
    assert_eq!(web(&before), "10.1.0.11", "a clone stays as it was");

    table.apply(&NetworkNews { remove_endpoints: vec![task(1)], ..news() });
    assert_eq!(web(&table), "10.1.0.12");

    let vip = World::default().service(1, "web", Vip, &[(NET, &["10.1.0.2"], &["site"])]).0;
    table.apply(&vip);
    assert_eq!(web(&table), "10.1.0.2");
    assert_eq!(asked(&table, &[NET], "www", Want::V4), "not ours");
    assert_eq!(asked(&table, &[NET], "site", Want::V4), "10.1.0.2");

    table.apply(&NetworkNews { remove_services: vec![ServiceId::from_bits(1)], ..news() });
    assert_eq!(web(&table), "not ours");
    assert_eq!(asked(&table, &[NET], "web.2.b", Want::V4), "10.1.0.12");

    table.apply(&NetworkNews { remove_networks: vec![network(NET)], ..news() });
    assert_eq!(asked(&table, &[NET], "web.2.b.net", Want::V4), "not ours");

    table.apply(&NetworkNews { complete: true, ..news() });
    assert_eq!(asked(&table, &[NET], "web.2.b", Want::V4), "not ours");
    assert_eq!(format!("{table:?}"), format!("{:?}", Table::default()));
}

#[test]
fn an_address_that_changes_hands_in_one_step_is_the_new_owners() {
    let mut table = World::default().task(1, 1, "old", &[(NET, &["10.1.0.11"])]).table();
    let mut news = World::default().task(2, 1, "new", &[(NET, &["10.1.0.11"])]).0;
    // The one that had it has another now, which is told after.
    news.endpoints.extend(World::default().task(1, 1, "old", &[(NET, &["10.1.0.12"])]).0.endpoints);
    table.apply(&news);
    assert_eq!(asked(&table, &[NET], "11.0.1.10.in-addr.arpa", Want::Name), "new");
    assert_eq!(asked(&table, &[NET], "12.0.1.10.in-addr.arpa", Want::Name), "old");
}

/// What a random history of news leaves, to tell it again as a whole.
#[derive(Default)]
struct Merged {
    services: BTreeMap<ServiceId, ServiceOnNetworks>,
    endpoints: BTreeMap<EndpointId, NetworkEndpoint>,
}

fn random_service(rng: &mut StdRng) -> NetworkNews {
    let mode = if rng.random() { Vip } else { Dnsrr };
    let name = *["web", "api", "db"].choose(rng).expect("one");
    let alias = *["web", "x", "y"].choose(rng).expect("one");
    let vip = format!("10.1.0.{}", rng.random_range(2..5));
    let vips: &[&str] = if mode == Vip && rng.random() { &[&vip] } else { &[] };
    let on = [(1, vips, &[alias][..]), (2, &[][..], &[][..])];
    let on = &on[rng.random_range(0..2)..rng.random_range(1..=2)];
    World::default().service(rng.random_range(1..4), name, mode, on).0
}

fn random_endpoint(rng: &mut StdRng) -> NetworkEndpoint {
    let address = format!("10.1.0.{}", rng.random_range(10..16));
    let on = (rng.random_range(1..3), &[&*address][..]);
    let (number, service) = (rng.random_range(1..8), rng.random_range(1..4));
    let name = *["web", "one", "two"].choose(rng).expect("one");
    let world = World::default();
    let world = if number < 6 {
        world.task(number, service, name, &[on])
    } else {
        world.container(number, &[name, "both"], &[on])
    };
    let world = if rng.random() { world } else { world.idle() };
    world.0.endpoints.into_iter().next().expect("one")
}

/// One random change, told to the table and kept in `merged`.
fn step(rng: &mut StdRng, table: &mut Table, merged: &mut Merged) {
    let news = match rng.random_range(0..6) {
        0 | 1 => random_service(rng),
        2 | 3 => NetworkNews { endpoints: vec![random_endpoint(rng)], ..news() },
        4 => {
            let known: Vec<_> = merged.services.keys().copied().collect();
            NetworkNews {
                remove_services: known.choose(rng).copied().into_iter().collect(),
                ..news()
            }
        }
        _ => {
            let known: Vec<_> = merged.endpoints.keys().copied().collect();
            NetworkNews {
                remove_endpoints: known.choose(rng).copied().into_iter().collect(),
                ..news()
            }
        }
    };
    table.apply(&news);
    merged.services.retain(|id, _| !news.remove_services.contains(id));
    merged.endpoints.retain(|id, _| !news.remove_endpoints.contains(id));
    merged.services.extend(news.services.into_iter().map(|s| (s.id, s)));
    merged.endpoints.extend(news.endpoints.into_iter().map(|e| (e.id, e)));
}

fn all_answers(table: &Table) -> Vec<String> {
    let names = ["web", "api", "db", "x", "y", "one", "two", "both", "tasks.web", "tasks.x"];
    let reverse = (2..16).map(|last| format!("{last}.0.1.10.in-addr.arpa"));
    let names = names.iter().map(|name| (*name).to_owned());
    let asked = |networks: &[u128], name: &str| {
        let want = if name.ends_with("arpa") { Want::Name } else { Want::V4 };
        format!("{name} on {networks:?}: {}", asked(table, networks, name, want))
    };
    names
        .chain(reverse)
        .flat_map(|name| [&[1][..], &[2], &[2, 1]].map(|on| asked(on, &name)))
        .collect()
}

#[test]
fn whatever_the_history_a_table_is_the_one_made_at_once() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut table, mut merged) = (Table::default(), Merged::default());
        for number in 0..200 {
            step(&mut rng, &mut table, &mut merged);
            let whole = World(NetworkNews {
                services: merged.services.values().cloned().collect(),
                endpoints: merged.endpoints.values().cloned().collect(),
                ..news()
            });
            let expected = all_answers(&whole.table());
            assert_eq!(all_answers(&table), expected, "seed {seed}, after {number} changes");
        }
        table.apply(&NetworkNews {
            remove_services: merged.services.into_keys().collect(),
            remove_endpoints: merged.endpoints.into_keys().collect(),
            ..news()
        });
        assert_eq!(format!("{table:?}"), format!("{:?}", Table::default()), "nothing is left");
    }
}

#[test]
fn a_change_costs_by_what_changed() {
    let endpoint = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let address = format!("10.1.{high}.{low}");
        let name = format!("big.{number}");
        let world = World::default();
        world.task(number.into(), 1, &name, &[(NET, &[&address])]).0.endpoints
    };
    let mut world =
        World::default().network(NET, "net").service(1, "big", Dnsrr, &[(NET, &[], &[])]);
    world.0.endpoints = (0..5_000).flat_map(endpoint).collect();
    let start = Instant::now();
    let mut table = world.table();
    let whole = start.elapsed();

    let start = Instant::now();
    for number in 0..1_000 {
        // As whoever swaps tables does it: the old one is still being read.
        let mut next = table.clone();
        let mut changed = endpoint(number % 7).remove(0);
        changed.serves = number % 2 == 0;
        next.apply(&NetworkNews { endpoints: vec![changed], ..news() });
        table = next;
    }
    let changes = start.elapsed();
    assert!(changes < whole * 20, "1,000 changes take {changes:?}, 5,000 endpoints {whole:?}");
}
