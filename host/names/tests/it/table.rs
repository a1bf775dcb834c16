//! What names stand for, as tables.

mod changes;

use std::collections::HashSet;

use swarmw_model::ResolutionMode::{Dnsrr, Vip};
use swarmw_names::{Answer, LIST_TTL, Question, Table, VIRTUAL_IP_TTL, Want};

use crate::support::world::{World, network};

const FRONT: u128 = 1;
const BACK: u128 = 2;
const INGRESS: u128 = 9;

fn shop() -> Table {
    World::default()
        .network(FRONT, "front")
        .network(BACK, "Back.Office")
        .network(INGRESS, "ingress")
        .service(
            1,
            "web",
            Vip,
            &[(FRONT, &["10.1.0.2", "fd01::2"], &["www"]), (BACK, &["10.2.0.2"], &[])],
        )
        .service(2, "api", Dnsrr, &[(FRONT, &[], &["rest"]), (BACK, &[], &[])])
        .service(3, "blue", Vip, &[(FRONT, &["10.1.0.3"], &["Shop"])])
        .service(4, "green", Vip, &[(FRONT, &["10.1.0.4"], &["shop"])])
        .service(5, "new", Vip, &[(FRONT, &[], &[])])
        .service(6, "mesh", Vip, &[(INGRESS, &["10.0.0.6"], &[])])
        .service(7, "empty", Dnsrr, &[(FRONT, &[], &[])])
        .task(11, 1, "web.1.a", &[(FRONT, &["10.1.0.11", "fd01::11"]), (BACK, &["10.2.0.11"])])
        .task(12, 1, "web.2.b", &[(FRONT, &["10.1.0.12", "fd01::12"])])
        .task(13, 1, "web.3.c", &[(FRONT, &["10.1.0.13", "fd01::13"])])
        .idle()
        .task(21, 2, "api.1.d", &[(FRONT, &["10.1.0.21"])])
        .task(22, 2, "api.2.e", &[(FRONT, &["10.1.0.22"])])
        .task(23, 2, "api.3.f", &[(FRONT, &["10.1.0.23"])])
        .idle()
        .task(31, 3, "blue.1.g", &[(FRONT, &["10.1.0.31"])])
        .task(32, 4, "green.1.h", &[(FRONT, &["10.1.0.32"])])
        .container(1, &["db", "0123456789ab", "Postgres.Main"], &[(BACK, &["10.2.0.41"])])
        .container(2, &["web"], &[(FRONT, &["10.1.0.42"])])
        .container(3, &["twin"], &[(FRONT, &["10.1.0.43"])])
        .container(4, &["twin"], &[(FRONT, &["10.1.0.44"])])
        .table()
}

/// The answer in words, its addresses in order.
pub(super) fn asked(table: &Table, networks: &[u128], name: &str, want: Want) -> String {
    let networks: Vec<_> = networks.iter().map(|number| network(*number)).collect();
    match table.answer(&networks, Question { name, want }, rand::rng()) {
        Answer::Addresses { mut addresses, .. } => {
            addresses.sort();
            let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            texts.join(" ")
        }
        Answer::Names { names, .. } => names.join(" "),
        Answer::Nothing => "nothing".to_owned(),
        Answer::NotOurs => "not ours".to_owned(),
    }
}

#[track_caller]
fn stand_for(networks: &[u128], rows: &[(&str, Want, &str)]) {
    let table = shop();
    for (name, want, stands_for) in rows {
        assert_eq!(asked(&table, networks, name, *want), *stands_for, "{name} {want:?}");
    }
}

#[test]
fn services_are_their_virtual_address_or_their_tasks() {
    stand_for(
        &[FRONT],
        &[
            ("web", Want::V4, "10.1.0.2"),
            ("web", Want::V6, "fd01::2"),
            ("WEB", Want::V4, "10.1.0.2"),
            ("web.", Want::V4, "10.1.0.2"),
            ("www", Want::V4, "10.1.0.2"),
            ("api", Want::V4, "10.1.0.21 10.1.0.22"),
            ("rest", Want::V4, "10.1.0.21 10.1.0.22"),
            ("api", Want::V6, "nothing"),
            ("web", Want::Other, "nothing"),
            ("web", Want::Name, "nothing"),
            ("new", Want::V4, "nothing"),
            ("empty", Want::V4, "nothing"),
            ("nobody", Want::V4, "not ours"),
            ("web.example.com", Want::V4, "not ours"),
            ("", Want::V4, "not ours"),
            (".", Want::V4, "not ours"),
            ("..", Want::V4, "not ours"),
        ],
    );
}

#[test]
fn tasks_of_a_service_are_found_whatever_its_mode() {
    stand_for(
        &[FRONT],
        &[
            ("tasks.web", Want::V4, "10.1.0.11 10.1.0.12"),
            ("tasks.web", Want::V6, "fd01::11 fd01::12"),
            ("Tasks.WWW.", Want::V4, "10.1.0.11 10.1.0.12"),
            ("tasks.api", Want::V4, "10.1.0.21 10.1.0.22"),
            ("tasks.shop", Want::V4, "10.1.0.31 10.1.0.32"),
            ("tasks.new", Want::V4, "nothing"),
            ("tasks.db", Want::V4, "not ours"),
            ("tasks.", Want::V4, "not ours"),
        ],
    );
}

#[test]
fn services_that_share_an_alias_are_all_found() {
    stand_for(&[FRONT], &[("shop", Want::V4, "10.1.0.3 10.1.0.4")]);
}

#[test]
fn tasks_and_containers_have_names_of_their_own() {
    stand_for(
        &[FRONT, BACK],
        &[
            ("web.1.a", Want::V4, "10.1.0.11"),
            ("web.1.a", Want::V6, "fd01::11"),
            // Not yet found by its service's name, but where it is.
            ("web.3.c", Want::V4, "10.1.0.13"),
            ("db", Want::V4, "10.2.0.41"),
            ("0123456789AB", Want::V4, "10.2.0.41"),
            ("postgres.main", Want::V4, "10.2.0.41"),
            ("db", Want::V6, "nothing"),
            ("twin", Want::V4, "10.1.0.43 10.1.0.44"),
        ],
    );
}

#[test]
fn a_service_wins_over_a_container_of_its_name() {
    stand_for(&[FRONT], &[("web", Want::V4, "10.1.0.2")]);
}

#[test]
fn names_are_those_of_the_askers_networks() {
    stand_for(
        &[BACK],
        &[
            ("web", Want::V4, "10.2.0.2"),
            ("www", Want::V4, "not ours"),
            ("web.1.a", Want::V4, "10.2.0.11"),
            ("web.2.b", Want::V4, "not ours"),
            ("tasks.web", Want::V4, "10.2.0.11"),
            ("api", Want::V4, "nothing"),
            ("blue", Want::V4, "not ours"),
            ("2.0.1.10.in-addr.arpa", Want::Name, "not ours"),
        ],
    );
    stand_for(&[FRONT], &[("db", Want::V4, "not ours")]);
    stand_for(&[], &[("web", Want::V4, "not ours")]);
    stand_for(&[77], &[("web", Want::V4, "not ours")]);
}

#[test]
fn of_several_networks_the_first_with_addresses_counts() {
    stand_for(
        &[BACK, FRONT],
        &[
            ("web", Want::V4, "10.2.0.2"),
            ("web", Want::V6, "fd01::2"),
            ("api", Want::V4, "10.1.0.21 10.1.0.22"),
            ("shop", Want::V4, "10.1.0.3 10.1.0.4"),
        ],
    );
    stand_for(&[FRONT, BACK], &[("web", Want::V4, "10.1.0.2")]);
}

#[test]
fn a_name_may_say_its_network() {
    stand_for(
        &[FRONT, BACK],
        &[
            ("web.front", Want::V4, "10.1.0.2"),
            ("web.back.office", Want::V4, "10.2.0.2"),
            ("web.1.a.Back.Office.", Want::V4, "10.2.0.11"),
            ("tasks.web.front", Want::V4, "10.1.0.11 10.1.0.12"),
            ("db.front", Want::V4, "not ours"),
            ("web.office", Want::V4, "not ours"),
            (".front", Want::V4, "not ours"),
        ],
    );
    stand_for(&[FRONT], &[("web.back.office", Want::V4, "not ours")]);
}

#[test]
fn addresses_have_names() {
    let v6 = "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa.";
    stand_for(
        &[FRONT, BACK],
        &[
            ("2.0.1.10.in-addr.arpa.", Want::Name, "web.front"),
            ("11.0.1.10.IN-ADDR.ARPA", Want::Name, "web.1.a.front"),
            ("11.0.2.10.in-addr.arpa", Want::Name, "web.1.a.back.office"),
            ("41.0.2.10.in-addr.arpa", Want::Name, "db.back.office"),
            (v6, Want::Name, "web.1.a.front"),
            ("2.0.1.10.in-addr.arpa", Want::V4, "nothing"),
            ("99.0.1.10.in-addr.arpa", Want::Name, "not ours"),
            ("8.8.8.8.in-addr.arpa", Want::Name, "not ours"),
        ],
    );
}

#[test]
fn nobody_is_found_over_the_routing_mesh() {
    stand_for(
        &[INGRESS],
        &[("mesh", Want::V4, "not ours"), ("6.0.0.10.in-addr.arpa", Want::Name, "not ours")],
    );
}

#[test]
fn what_comes_and_goes_is_kept_shorter_than_what_stays() {
    let ttl = |name| {
        let question = Question { name, want: Want::V4 };
        match shop().answer(&[network(FRONT)], question, rand::rng()) {
            Answer::Addresses { ttl, .. } => ttl,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ttl("web"), VIRTUAL_IP_TTL);
    for name in ["api", "tasks.web", "web.1.a"] {
        assert_eq!(ttl(name), LIST_TTL, "{name}");
    }
}

#[test]
fn addresses_come_in_no_order() {
    let question = Question { name: "tasks.web", want: Want::V4 };
    let first = |_| match shop().answer(&[network(FRONT)], question, rand::rng()) {
        Answer::Addresses { addresses, .. } => addresses[0],
        other => panic!("{other:?}"),
    };
    assert_eq!((0..64).map(first).collect::<HashSet<_>>().len(), 2);
}
