use super::*;

fn pool(subnet: &str, gateway: &str) -> Pool {
    let subnet = subnet.parse().expect("a subnet");
    let gateway = gateway.parse().expect("an address");
    Pool { subnet, range: subnet, gateway, auxiliary: Default::default() }
}

fn routes(pools: &[Pool], addresses: &[&str]) -> Vec<String> {
    let addresses: Vec<_> = addresses.iter().map(|a| a.parse().expect("an address")).collect();
    let written = |route: ContainerRoute| match route.via {
        Some(via) => format!("{} via {via}", route.to),
        None => route.to.to_string(),
    };
    routes_of(pools, &addresses).into_iter().map(written).collect()
}

#[test]
fn the_own_subnet_is_reached_by_halves() {
    let pools = [pool("10.0.1.0/24", "10.0.1.1")];
    let wanted = ["10.0.1.1/32", "10.0.1.0/25 via 10.0.1.1", "10.0.1.128/25 via 10.0.1.1"];
    assert_eq!(routes(&pools, &["10.0.1.5"]), wanted);
}

#[test]
fn other_subnets_are_reached_by_the_own_gateway_of_their_family() {
    let pools = [
        pool("10.0.1.0/24", "10.0.1.1"),
        pool("fd00:1::/64", "fd00:1::1"),
        pool("10.9.0.0/16", "10.9.0.1"),
    ];
    let four = [
        "10.9.0.1/32",
        "10.0.1.0/24 via 10.9.0.1",
        "10.9.0.0/17 via 10.9.0.1",
        "10.9.128.0/17 via 10.9.0.1",
    ];
    assert_eq!(routes(&pools, &["10.9.3.3"]), four);
    let both = [
        "10.0.1.1/32",
        "fd00:1::1/128",
        "10.0.1.0/25 via 10.0.1.1",
        "10.0.1.128/25 via 10.0.1.1",
        "fd00:1::/65 via fd00:1::1",
        "fd00:1:0:0:8000::/65 via fd00:1::1",
        "10.9.0.0/16 via 10.0.1.1",
    ];
    assert_eq!(routes(&pools, &["10.0.1.5", "fd00:1::5"]), both);
}

#[test]
fn a_subnet_of_one_address_has_no_halves() {
    let pools = [pool("10.0.1.1/32", "10.0.1.1")];
    assert_eq!(routes(&pools, &["10.0.1.1"]), ["10.0.1.1/32", "10.0.1.1/32 via 10.0.1.1"]);
    assert_eq!(routes(&pools, &["10.3.0.1"]), [""; 0]);
}
