//! Services find each other by name across machines; containers join them.

use std::collections::BTreeSet;

use super::{ASK_API, Asker, WEB, address, docker};
use crate::docker::{import_everywhere, running, take_turn};
use crate::support::{Cluster, Machine, eventually};

/// What a machine's kernel has of overlay networks: the router, links, rules.
pub fn left_on(machine: &Machine) -> String {
    let namespaces = machine.run(&["ls", "/run/netns"]).stdout;
    let links = machine.run(&["ip", "-o", "link"]).stdout;
    let links = links.lines().filter(|line| line.contains("vxlan") || line.contains(": sw"));
    namespaces + &links.collect::<Vec<_>>().join("\n")
}

#[test]
fn services_find_each_other_across_machines_and_containers_join_them() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(4, 0);
    eventually("each node has the bridge of its host ports by init or join alone", || {
        for machine in &cluster.machines {
            let seen = machine.try_docker(&["network", "inspect", "docker_gwbridge"]);
            if seen.code != 0 {
                return Err(seen);
            }
        }
        Ok(())
    });
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    let made = docker(first, "network create --driver overlay --attachable back");
    let listed =
        docker(first, "network ls --filter name=back --format {{.Name}}:{{.Driver}}:{{.Scope}}");
    assert_eq!(listed, "back:overlay:swarm\n", "{made}");
    docker(first, "service create --detach --name api --replicas 3 --network back web");
    docker(first, "service create --detach --name proxy --replicas 3 --network back web");
    let api = running(first, "api", 3);
    let proxy = running(first, "proxy", 3);

    // Every replica is reached in turn, and sees who asks.
    let own = address(&proxy[0], "back");
    let asker = Asker::of(&cluster, &proxy[0]);
    let seen = asker.reaches(&cluster, ASK_API, 3, "over the machines");
    assert!(seen.values().flatten().all(|whom| *whom == own), "{seen:?}, from {own}");
    asker.is_spread(&cluster, "api", 3, &own);

    // By the name of the tasks, and of one task.
    let all: BTreeSet<_> = api.iter().map(|task| address(task, "back")).collect();
    let looked_up = asker.run(&cluster, "nslookup tasks.api").expect("found");
    assert!(all.iter().all(|address| looked_up.contains(address)), "{all:?}: {looked_up}");
    // An unknown name is not ours, and not found.
    asker.finds_nobody(&cluster, "nobody.invalid");

    // A container that no service made, on a machine of its choice, asks and is asked.
    for node in [&cluster.nodes[0], &cluster.nodes[3]] {
        let said = docker(node, "run --rm --network back web get api /cgi-bin/who");
        assert!(seen.contains_key(said.split(' ').next().unwrap_or_default()), "{said}");
    }
    docker(&cluster.nodes[2], "run --detach --name own --network back web");
    asker.reaches(&cluster, "get own /cgi-bin/who", 1, "by a container's name");

    // A proxy before the API: the container asks the one, which asks the other.
    let proxies: BTreeSet<_> = proxy.iter().map(|task| address(task, "back")).collect();
    let joined = Asker::named(2, "own");
    eventually("each task of the API answers through each proxy", || {
        let said = joined.answers(&cluster, "get proxy /cgi-bin/through", 9)?;
        let mut behind = BTreeSet::new();
        for line in said.values().flatten() {
            let (api, whom) = line.split_once(' ').ok_or_else(|| format!("{said:?}"))?;
            let whom = whom.trim_matches(['[', ']']).trim_start_matches("::ffff:");
            assert!(proxies.contains(whom), "the API saw {whom}, not one of {proxies:?}");
            behind.insert(api);
        }
        let all = said.len() == 3 && behind.iter().copied().eq(seen.keys());
        if all { Ok(()) } else { Err(format!("{said:?}")) }
    });
    docker(&cluster.nodes[2], "rm --force own");
    asker.finds_nobody(&cluster, "own");

    // What goes is not found, what comes is.
    docker(first, "service scale --detach api=1");
    running(first, "api", 1);
    asker.reaches(&cluster, ASK_API, 1, "after it was scaled");
    let used = first.docker(&["network", "rm", "back"]);
    assert!(used.stderr.contains("is in use by service"), "{used}");
    docker(first, "service rm api proxy");
    eventually("the network goes", || {
        let gone = first.docker(&["network", "rm", "back"]);
        if gone.code == 0 { Ok(()) } else { Err(gone.to_string()) }
    });
    eventually("nothing is left on the machines", || {
        let left: String = cluster.machines.iter().map(left_on).collect();
        if left.trim().is_empty() { Ok(()) } else { Err(left) }
    });
}
