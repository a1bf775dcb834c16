//! Networks that grow, of both families, of the engine's own; containers that come and go.

use std::collections::BTreeSet;

use super::{ASK_API, Asker, WEB, docker};
use crate::docker::{container, import_everywhere, node_of, running, take_turn};
use crate::support::{Cluster, eventually};

#[test]
fn networks_grow_under_living_containers_have_both_families_and_are_left_again() {
    let _turn = take_turn();
    let cluster = Cluster::of_machines(2, 0);
    // Subnets with five addresses for tasks each.
    let pools = ["--default-addr-pool", "10.40.0.0/16", "--default-addr-pool-mask-length", "29"];
    cluster.init_with(0, &pools);
    cluster.join(1, "worker");
    cluster.wait_ready(2);
    import_everywhere(&cluster, &[WEB]);
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };

    docker(first, "network create --driver overlay --attachable small");
    docker(second, "run --detach --name early --network small web");
    docker(first, "service create --detach --name api --replicas 7 --network small web");
    let tasks = running(first, "api", 7);
    let nodes: BTreeSet<_> = tasks.iter().map(|task| node_of(&cluster, task)).collect();
    assert_eq!(nodes.len(), 2, "on both nodes");
    let subnets =
        docker(first, "network inspect --format {{range.IPAM.Config}}{{.Subnet}},{{end}} small");
    assert!(subnets.matches("/29").count() >= 2, "it has grown: {subnets}");
    let early = Asker::named(1, "early");
    early.reaches(&cluster, ASK_API, 7, "from a container that was there before");

    docker(
        first,
        "network create --driver overlay --attachable --ipv6 --subnet 10.41.0.0/24 --subnet \
         fd00:41::/64 dual",
    );
    docker(first, "service create --detach --name six --replicas 2 --network dual web");
    running(first, "six", 2);
    docker(second, "network connect dual early");
    let found = eventually("both families are found", || {
        let found = early.run(&cluster, "nslookup -type=aaaa six")?;
        if found.contains("fd00:41::") { Ok(found) } else { Err(found) }
    });
    let address = found.lines().rev().find_map(|line| {
        let (_, address) = line.split_once("Address: ")?;
        address.contains("fd00:41::").then(|| address.trim().to_owned())
    });
    let address = address.unwrap_or_else(|| panic!("no address: {found}"));
    let own = "{{(index .NetworkSettings.Networks \"dual\").GlobalIPv6Address}}";
    let own = second.docker(&["inspect", "--format", own, "early"]).stdout;
    for (program, own) in [
        (format!("wget -qO- http://[{address}]/cgi-bin/who"), own.trim()),
        ("get six /cgi-bin/who".to_owned(), "10.41.0."),
    ] {
        let seen = early.reaches(&cluster, &program, 2, "on a network that it joined");
        assert!(seen.values().flatten().all(|whom| whom.starts_with(own)), "{seen:?}, not {own}");
    }
    early.is_spread(&cluster, &address, 2, own.trim());

    docker(second, "network disconnect dual early");
    early.finds_nobody(&cluster, "six");
    early.reaches(&cluster, ASK_API, 7, "on the network that is left");

    nothing_leads_out_of_an_internal_network(&cluster);

    for kind in ["host", "bridge"] {
        let name = format!("on-{kind}");
        docker(
            first,
            &format!("service create --detach --name {name} --network {kind} web sleep 1000"),
        );
        let task = &running(first, &name, 1)[0];
        let machine = &cluster.machines[node_of(&cluster, task)];
        let mode = ["inspect", "--format", "{{.HostConfig.NetworkMode}}", &container(task)];
        assert_eq!(machine.docker(&mode).trim(), kind);
    }
}

/// Those on it reach each other, and nobody else: neither their own machine nor another.
fn nothing_leads_out_of_an_internal_network(cluster: &Cluster) {
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    docker(first, "network create --driver overlay --attachable --internal shut");
    docker(first, "network create --driver overlay --attachable open");
    docker(first, "run --detach --name served --network shut web");
    docker(second, "run --detach --name inside --network shut web");
    docker(second, "run --detach --name outside --network open web");
    let [inside, outside] = ["inside", "outside"].map(|name| Asker::named(1, name));
    inside.reaches(cluster, "get served /cgi-bin/who", 1, "within an internal network");
    // At this port of theirs daemons listen.
    for machine in &cluster.machines {
        let ask = format!("nc -w 3 {} 2377 -e true", machine.ip);
        outside.run(cluster, &ask).expect("others have a way out");
        inside.run(cluster, &ask).expect_err("there is no way out");
    }
    let ways = inside.run(cluster, "ip route").expect("its routes");
    assert!(!ways.contains("default"), "{ways}");
    docker(first, "rm --force served");
    docker(second, "rm --force inside outside");
}
