//! Networks while managers, daemons and engines are away, and after somebody meddled.

use std::time::Instant;

use super::{ASK_API, Asker, WEB, docker};
use crate::docker::{container, import_everywhere, node_of, running, take_turn};
use crate::support::{Cluster, eventually};

/// What somebody may do to a node's networks at night.
const MEDDLING: [&str; 3] = [
    "ip netns exec $R nft delete table inet swarmw",
    "ip netns exec $R ip link del $(ip netns exec $R ip -o link | grep -o 'vx[0-9]*' | head -n 1)",
    "ip netns exec $R ip route flush proto static; ip netns exec $R ip route flush proto boot",
];

#[test]
fn names_and_addresses_stay_while_managers_daemons_and_engines_are_away() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(3, 0);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    first.run("node update --availability drain n1");
    docker(first, "network create --driver overlay back");
    docker(first, "service create --detach --name api --replicas 2 --network back web");
    docker(first, "service create --detach --name proxy --network back web");
    let api = running(first, "api", 2);
    let proxy = running(first, "proxy", 1).remove(0);
    let here = node_of(&cluster, &proxy);
    let asker = Asker::of(&cluster, &proxy);
    let own = api.iter().find(|task| node_of(&cluster, task) == here).expect("one on each worker");
    asker.reaches(&cluster, ASK_API, 2, "at first");

    cluster.nodes[0].kill();
    asker.reaches(&cluster, ASK_API, 2, "without a manager");
    cluster.nodes[here].kill();
    cluster.nodes[here].start();
    asker.reaches(&cluster, ASK_API, 2, "after a restart without a manager");

    for meddling in MEDDLING {
        let script = format!("R=$(ls /run/netns | grep swarmw); {meddling}");
        let done = cluster.machines[here].run(&["sh", "-c", &script]);
        assert_eq!(done.code, 0, "{meddling}: {done}");
        let begun = Instant::now();
        asker.reaches(&cluster, ASK_API, 2, meddling);
        println!("repaired after {:.1} s: {meddling}", begun.elapsed().as_secs_f64());
    }

    cluster.machines[here].docker(&["kill", &container(own)]);
    asker.reaches(&cluster, ASK_API, 1, "when its own node has seen a task die");

    cluster.nodes[0].start();
    running(&cluster.nodes[0], "api", 2);
    asker.reaches(&cluster, ASK_API, 2, "with a manager again");

    cluster.machines[here].kill_engine();
    cluster.machines[here].start_engine();
    cluster.machines[here].wait_engine();
    let first = &cluster.nodes[0];
    let proxy = eventually("another task", || {
        let now = running(first, "proxy", 1).remove(0);
        if now["ID"] == proxy["ID"] { Err(now.to_string()) } else { Ok(now) }
    });
    running(first, "api", 2);
    let asker = Asker::of(&cluster, &proxy);
    asker.reaches(&cluster, ASK_API, 2, "after the engine was killed");
}
