//! `swarmw net doctor` on real machines: what somebody did is named, who is away is said.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{WEB, docker};
use crate::docker::{import_everywhere, running, take_turn};
use crate::support::{Cluster, Node, eventually};

/// The machine that is meddled with.
const HERE: usize = 1;
/// The one without an engine.
const WITHOUT: usize = 2;

/// What somebody may do to a node's networks, and how that is said.
const MEDDLING: [(&str, &str); 5] = [
    ("ip netns exec $R nft delete table inet swarmw", "table inet swarmw of nftables is missing"),
    (
        "ip netns exec $R ip link del $(ip netns exec $R ip -o link | grep -o 'vx[0-9]*' | head -n 1)",
        "device vx",
    ),
    ("ip rule del priority 53570", "routing rule 53570"),
    ("nft delete table inet swarmw_ports", "table inet swarmw_ports of nftables is missing"),
    ("ip link del swingress", "device swingress is missing"),
];

/// A firewall that lets TCP of the other nodes in, and not VXLAN.
const CLOSED: &str = "nft 'add table inet closed; \
                      add chain inet closed in { type filter hook input priority 0; }; \
                      add rule inet closed in udp dport 4789 drop'";
const OPEN_AGAIN: &str = "nft delete table inet closed";

fn examined(cluster: &Cluster, node: &Node) -> Value {
    let path = format!("/swarmw/net/doctor?node={}", node.name);
    cluster.nodes[0].json(&path).expect("a report")[0].clone()
}

/// Whether something differs that is said so.
fn differs(report: &Value, sentence: &str) -> bool {
    let all = report["Findings"]["Differences"].as_array();
    all.into_iter().flatten().any(|one| one["What"].as_str().is_some_and(|s| s.contains(sentence)))
}

/// Whether it did, and was made good.
fn is_mended(report: &Value, sentence: &str) -> bool {
    let all = report["Findings"]["Notes"].as_array();
    let mut notes = all.into_iter().flatten().filter_map(Value::as_str);
    notes.any(|note| note.starts_with("mended") && note.contains(sentence))
}

/// All is well before, and after.
fn a_closed_data_path_is_named_on_both_sides(cluster: &Cluster) {
    let meddle = |script: &str| {
        let done = cluster.machines[HERE].run(&["sh", "-c", script]);
        assert_eq!(done.code, 0, "{script}: {done}");
    };
    let lost = |peer: usize| {
        let (name, ip) = (&cluster.nodes[peer].name, cluster.machines[peer].ip);
        format!("nothing comes back from {name} ({ip}) by the data path: is UDP port 4789 open")
    };
    meddle(CLOSED);
    let told = cluster.nodes[0].try_run("net doctor");
    assert_eq!(told.code, 1, "{told}");
    for (node, peer) in [(0, HERE), (HERE, 0)] {
        assert!(told.stdout.contains(&lost(peer)), "{told}");
        // The other one is asked for its sake.
        let alone = examined(cluster, &cluster.nodes[node]);
        assert!(differs(&alone, &lost(peer)), "{alone}");
        assert_eq!(alone["Findings"]["Differences"].as_array().map(Vec::len), Some(1), "{alone}");
    }
    let without = examined(cluster, &cluster.nodes[WITHOUT]);
    assert_eq!(without["Status"], "none", "it has no data path: {without}");
    assert!(!told.stdout.contains(&lost(WITHOUT)), "{told}");
    meddle(OPEN_AGAIN);
    let told = cluster.nodes[0].try_run("net doctor");
    assert_eq!(told.code, 0, "{told}");
}

#[test]
fn the_doctor_names_what_somebody_did_and_who_does_not_answer() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(2, 1);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    docker(first, "network create --driver overlay back");
    docker(
        first,
        "service create --detach --name web --replicas 2 --network back --publish 4567:80 web",
    );
    running(first, "web", 2);

    eventually("all is well", || {
        let told = first.try_run("net doctor");
        let found = examined(&cluster, &cluster.nodes[HERE]);
        let is_one = |count: &str| found["Findings"][count] == 1;
        let all = ["Networks", "Sandboxes", "Named", "KernelPorts"].into_iter().all(is_one);
        if told.code == 0 && all { Ok(()) } else { Err(format!("{told}\n{found}")) }
    });
    let without = examined(&cluster, &cluster.nodes[WITHOUT]);
    assert_eq!(without["Status"], "none", "{without}");
    assert!(without["Why"].as_str().is_some_and(|why| why.contains("no Docker engine")));

    a_closed_data_path_is_named_on_both_sides(&cluster);
    for (meddling, sentence) in MEDDLING {
        let meddle = || {
            let script = format!("R=$(ls /run/netns | grep swarmw); {meddling}");
            let done = cluster.machines[HERE].run(&["sh", "-c", &script]);
            assert_eq!(done.code, 0, "{meddling}: {done}");
        };
        // The node may mend it before it is asked: then it says that it did.
        meddle();
        let told = examined(&cluster, &cluster.nodes[HERE]);
        assert!(differs(&told, sentence) || is_mended(&told, sentence), "{meddling}: {told}");
        let well_again = || {
            let told = examined(&cluster, &cluster.nodes[HERE]);
            let is_well = told["Status"] == "ok" && is_mended(&told, sentence);
            if is_well { Ok(()) } else { Err(told.to_string()) }
        };
        eventually("it is mended, and said", well_again);
        // It has just looked, and looks again in 15 s.
        meddle();
        let told = first.try_run("net doctor --node n2");
        assert_eq!(told.code, 1, "{meddling}: {told}");
        assert!(told.stdout.contains(sentence) && told.stdout.contains("->"), "{told}");
        assert!(told.stderr.contains("something differs on 1 of 1 node"), "{told}");
        eventually("it is mended again", well_again);
    }

    // A daemon that hangs is not waited for.
    let pid = cluster.nodes[WITHOUT].pid().to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    };
    signal("-STOP");
    let begun = Instant::now();
    let told = first.try_run("net doctor");
    signal("-CONT");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(told.code, 1, "{told}");
    assert!(told.stdout.contains("did not answer within 5 s"), "{told}");
    assert!(told.stdout.lines().any(|line| line.starts_with("n2") && line.contains(" ok ")));

    cluster.nodes[WITHOUT].kill();
    let away = examined(&cluster, &cluster.nodes[WITHOUT]);
    assert_eq!(away["Status"], "silent", "{away}");
    assert_eq!(away["Findings"], Value::Null);
}
