//! The life of containers: replaced, adopted, reconciled, healthy, heard.

use super::{container, import_everywhere, node_of, running, take_turn, task_in};
use crate::support::{Cluster, eventually};

#[test]
fn docker_containers_live_as_their_tasks_say() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(2, 1);
    import_everywhere(
        &cluster,
        &[("web:1", &["EXPOSE 80", r#"CMD ["httpd","-f","-h","/www"]"#]), ("tool:1", &[])],
    );
    an_image_lands_on_engines_only(&cluster);
    published_ports_reach_containers_from_every_node(&cluster);
    a_killed_container_is_replaced(&cluster);
    a_restarted_daemon_adopts_its_containers(&mut cluster);
    an_engine_that_dies_is_told_and_reconciled(&mut cluster);
}

fn an_image_lands_on_engines_only(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    first.swarmw(&[
        "service",
        "create",
        "--quiet",
        "--no-resolve-image",
        "--name",
        "web",
        "--replicas",
        "4",
        "--restart-delay",
        "0s",
        "--stop-grace-period",
        "1s",
        "--publish",
        "8080:80",
        "web:1",
    ]);
    let web = running(first, "web", 4);
    let nodes: Vec<_> = web.iter().map(|task| node_of(cluster, task)).collect();
    assert!(nodes.iter().all(|n| *n < 2), "n3 has no engine: {nodes:?}");
    assert!(nodes.contains(&0) && nodes.contains(&1), "spread over engines: {nodes:?}");
    let names = cluster.machines[0].docker(&["ps", "--format", "{{.Names}}"]);
    assert!(names.lines().all(|name| name.starts_with("web.")), "{names}");
}

fn published_ports_reach_containers_from_every_node(cluster: &Cluster) {
    for machine in &cluster.machines {
        let url = format!("http://{}:8080/", machine.ip);
        eventually("the port answers", || {
            let page = machine.run(&["curl", "-s", "-m", "10", &url]);
            let hello = page.stdout.contains("hello from a container");
            if hello { Ok(()) } else { Err(page.to_string()) }
        });
    }
}

fn a_killed_container_is_replaced(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let victim = running(first, "web", 4).remove(0);
    let id = container(&victim);
    cluster.machines[node_of(cluster, &victim)].docker(&["kill", &id]);
    let failed = task_in(first, "web", "failed");
    assert_eq!(failed["ID"], victim["ID"]);
    assert_eq!(failed["Status"]["Err"], "task: non-zero exit (137)");
    running(first, "web", 4);
}

fn a_restarted_daemon_adopts_its_containers(cluster: &mut Cluster) {
    let ids = |cluster: &Cluster| {
        let mut ids: Vec<_> = running(&cluster.nodes[0], "web", 4).iter().map(container).collect();
        ids.sort();
        ids
    };
    let before = ids(cluster);
    cluster.nodes[1].kill();
    cluster.nodes[1].start();
    cluster.nodes[0].stop();
    cluster.nodes[0].start();
    cluster.wait_ready(3);
    assert_eq!(ids(cluster), before, "the same containers");
}

fn an_engine_that_dies_is_told_and_reconciled(cluster: &mut Cluster) {
    cluster.machines[1].kill_engine();
    eventually("the node says that its engine is away", || {
        let node = cluster.nodes[0].json("/nodes/n2")?;
        let trouble = node["Description"]["Trouble"].as_str().unwrap_or_default().to_owned();
        let told = trouble.contains("Is the docker daemon running?");
        if told && node["Status"]["State"] == "ready" { Ok(()) } else { Err(node.to_string()) }
    });
    let first = &cluster.nodes[0];
    let before: Vec<_> = running(first, "web", 4).iter().map(container).collect();
    first.swarmw(&["service", "scale", "--detach", "web=6"]);
    let six = running(first, "web", 6);
    let new = six.iter().filter(|t| !before.contains(&container(t)));
    assert!(new.map(|t| node_of(cluster, t)).all(|n| n == 0), "nothing new where no engine is");

    cluster.machines[1].start_engine();
    cluster.machines[1].wait_engine();
    eventually("the node takes tasks again", || {
        let node = cluster.nodes[0].json("/nodes/n2")?;
        match node["Description"]["Trouble"].as_str() {
            None | Some("") => Ok(()),
            Some(trouble) => Err(trouble.to_owned()),
        }
    });
    // An engine without live-restore ends what its predecessor ran: the tasks say so
    // and are replaced.
    let alive = running(&cluster.nodes[0], "web", 6);
    for task in alive {
        let machine = &cluster.machines[node_of(cluster, &task)];
        let state = machine.docker(&["inspect", "-f", "{{.State.Running}}", &container(&task)]);
        assert_eq!(state.trim(), "true", "{task}");
    }
}
