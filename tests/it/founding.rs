//! Clusters that begin, or begin again, in unusual places.

use crate::support::{Cluster, Node, eventually};

const HELLO: &[u8] = include_bytes!(env!("SWARMW_HELLO_HTTP"));

/// What `node ls` says of each node.
fn listed(node: &Node) -> Result<Vec<String>, String> {
    let format = "{{.Hostname}} {{.Status}} {{.ManagerStatus}} {{.TLSStatus}}";
    let listed = node.try_swarmw(&["node", "ls", "--format", format]);
    match listed.code {
        0 => Ok(listed.stdout.lines().map(str::to_owned).collect()),
        _ => Err(listed.to_string()),
    }
}

#[test]
fn a_manager_behind_an_address_that_leads_here_only_from_outside_founds_a_cluster() {
    let cluster = Cluster::of_daemons(1);
    let node = &cluster.nodes[0];
    let outside = node.try_swarmw(&["swarm", "join-token", "worker"]);
    assert!(outside.stderr.contains("This node is not a swarm manager."), "{outside}");
    let ip = node.ip.to_string();
    // Reserved for documentation: nobody has it.
    let began =
        node.swarmw(&["swarm", "init", "--listen-addr", &ip, "--advertise-addr", "192.0.2.1:4444"]);
    assert!(began.contains(" 192.0.2.1:4444\n"), "{began}");
    cluster.wait_ready(1);
    assert_eq!(listed(node), Ok(vec!["n1 Ready Leader Ready".to_owned()]));
}

#[test]
fn one_manager_goes_on_alone_when_the_majority_is_gone() {
    let mut cluster = Cluster::of(3, 1);
    let id = cluster.nodes[0].json("/swarm").expect("a swarm")["ID"].clone();
    // Nodes that share a machine come from its loopback; `node.ip` is their own.
    let nodes = cluster.nodes[0].json("/nodes").expect("nodes");
    for node in &cluster.nodes {
        let own = nodes
            .as_array()
            .into_iter()
            .flatten()
            .find(|n| n["Status"]["Addr"] == serde_json::json!(node.ip.to_string()));
        assert!(own.is_some(), "{}: {nodes}", node.ip);
    }
    let hello = cluster.file("hello.wasm", HELLO);
    let hello = hello.to_string_lossy();
    let create = ["service", "create", "--detach", "--publish", "8080:80", "--name"];
    let pinned = ["--constraint", "node.hostname==n4"];
    let web = [&create[..], &["web"], &pinned, &[&*hello]].concat();
    cluster.nodes[0].swarmw(&web);
    let pid = eventually("the service runs", || {
        let tasks = cluster.nodes[0].json("/tasks")?;
        let status = tasks[0]["Status"].clone();
        if status["State"] == "running" {
            Ok(status["ContainerStatus"]["PID"].clone())
        } else {
            Err(status)
        }
    });
    let worker = cluster.nodes[3].try_swarmw(&["swarm", "init", "--force-new-cluster"]);
    assert!(worker.stderr.contains("Worker nodes can't be used"), "{worker}");

    cluster.nodes[0].power_off();
    cluster.nodes[1].power_off();
    let last = &cluster.nodes[2];
    let settings =
        last.try_swarmw(&["swarm", "init", "--force-new-cluster", "--task-history-limit", "3"]);
    assert!(settings.stderr.contains("change them with swarm update"), "{settings}");
    last.swarmw(&["swarm", "init", "--force-new-cluster"]);

    // All is as it was but the managers, and it takes commands.
    assert_eq!(last.json("/swarm").expect("a swarm")["ID"], id);
    last.swarmw(&["service", "update", "--detach", "--label-add", "a=b", "web"]);
    eventually("n4 is back with its task", || {
        let nodes = listed(last)?;
        let tasks = last.json("/tasks")?;
        let same = tasks[0]["Status"]["ContainerStatus"]["PID"] == pid;
        let there = nodes.iter().any(|n| n.starts_with("n4 Ready"));
        if there && same { Ok(()) } else { Err(format!("{nodes:?} {tasks}")) }
    });
    eventually("the port answers", || cluster.nodes[3].get(8080, "/"));
    assert!(listed(last).expect("nodes").contains(&"n3 Ready Leader Ready".to_owned()));

    // The others come back as workers, and may be promoted again. One at a time: two
    // of the three are a majority of the cluster that was given up.
    for (index, workers) in [(0, 2), (1, 3)] {
        cluster.nodes[index].start();
        eventually("it is a worker", || {
            let nodes = listed(&cluster.nodes[2])?;
            let there = nodes.iter().filter(|n| n.contains(" Ready  ")).count();
            if there == workers { Ok(()) } else { Err(nodes.join(", ")) }
        });
    }
    let last = &cluster.nodes[2];
    eventually("n1 knows that it is one", || {
        let refused = cluster.nodes[0].try_swarmw(&["node", "ls"]);
        let worker = refused.stderr.contains("Worker nodes can't be used");
        if worker { Ok(()) } else { Err(refused.to_string()) }
    });
    last.swarmw(&["node", "promote", "n1"]);
    eventually("n1 is a manager again", || {
        let nodes = listed(&cluster.nodes[0])?;
        if nodes.contains(&"n1 Ready Reachable Ready".to_owned()) {
            Ok(())
        } else {
            Err(nodes.join(", "))
        }
    });
}
