//! The life of containers: replaced, adopted, reconciled, healthy, heard.

use super::datagrams::datagrams_reach_containers_from_every_node;
use super::hijacked::{
    a_container_is_attached_to_by_a_web_socket, an_engine_builds_by_its_build_kit,
};
use super::{container, import_everywhere, node_of, running, take_turn, task_in};
use crate::support::{Cluster, eventually};

/// An HTTP service as a component.
const HELLO: &[u8] = include_bytes!(env!("SWARMW_HELLO_HTTP"));

#[test]
fn docker_containers_live_as_their_tasks_say() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(2, 1);
    import_everywhere(
        &cluster,
        &[("web:1", &["EXPOSE 80", r#"CMD ["httpd","-f","-h","/www"]"#]), ("tool:1", &[])],
    );
    a_container_is_attached_to_by_a_web_socket(&cluster.nodes[0]);
    an_engine_builds_by_its_build_kit(&cluster, &cluster.nodes[0]);
    an_image_lands_on_engines_only(&cluster);
    published_ports_reach_containers_from_every_node(&cluster);
    datagrams_reach_containers_from_every_node(&cluster);
    a_killed_container_is_replaced(&cluster);
    a_restarted_daemon_adopts_its_containers(&mut cluster);
    a_component_lands_where_no_engine_is_and_an_image_does_not(&cluster);
    an_engine_that_dies_is_told_and_reconciled(&mut cluster);
    containers_that_survive_their_engine_are_kept(&mut cluster);
}

fn a_component_lands_where_no_engine_is_and_an_image_does_not(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let hello = cluster.file("hello.wasm", HELLO);
    let hello = hello.to_string_lossy();
    for (name, image) in [("component", &*hello), ("image", "web:1")] {
        first.run(format!(
            "service create --detach --no-resolve-image --name {name} \
             --constraint node.hostname==n3 {image}"
        ));
    }
    let component = running(first, "component", 1).remove(0);
    assert_eq!(node_of(cluster, &component), 2);
    let waiting = task_in(first, "image", "pending");
    eventually("the image's task says why it waits", || {
        let waiting =
            first.json(&format!("/tasks/{}", waiting["ID"].as_str().unwrap_or_default()))?;
        let why = waiting["Status"]["Err"].as_str().unwrap_or_default().to_owned();
        if why.contains("unsupported platform on 1 node") { Ok(()) } else { Err(why) }
    });
    first.swarmw(&["service", "rm", "component", "image"]);
}

fn an_image_lands_on_engines_only(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    first.run(
        "service create --quiet --no-resolve-image --name web --replicas 4 \
         --restart-delay 0s --stop-grace-period 1s --publish 8080:80 web:1",
    );
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

    cluster.machines[1].start_engine_with(&["--live-restore"]);
    cluster.machines[1].wait_engine();
    no_trouble_on_the_second(cluster);
    // An engine without live-restore ends what its predecessor ran: the tasks say so
    // and are replaced.
    let alive = running(&cluster.nodes[0], "web", 6);
    for task in alive {
        let machine = &cluster.machines[node_of(cluster, &task)];
        let state = machine.docker(&["inspect", "-f", "{{.State.Running}}", &container(&task)]);
        assert_eq!(state.trim(), "true", "{task}");
    }
}

fn no_trouble_on_the_second(cluster: &Cluster) {
    eventually("the node takes tasks again", || {
        let node = cluster.nodes[0].json("/nodes/n2")?;
        match node["Description"]["Trouble"].as_str() {
            None | Some("") => Ok(()),
            Some(trouble) => Err(trouble.to_owned()),
        }
    });
}

fn containers_that_survive_their_engine_are_kept(cluster: &mut Cluster) {
    let first = &cluster.nodes[0];
    for name in ["kept", "gone"] {
        first.run(format!(
            "service create --detach --no-resolve-image --name {name} \
             --stop-grace-period 1s --constraint node.hostname==n2 web:1"
        ));
    }
    let kept = container(&running(first, "kept", 1)[0]);
    running(first, "gone", 1);
    cluster.machines[1].kill_engine();
    eventually("the engine is missed", || {
        let node = cluster.nodes[0].json("/nodes/n2")?;
        let trouble = node["Description"]["Trouble"].as_str().unwrap_or_default();
        if trouble.is_empty() { Err(node.to_string()) } else { Ok(()) }
    });
    cluster.nodes[0].swarmw(&["service", "rm", "gone"]);
    cluster.machines[1].start_engine_with(&["--live-restore"]);
    cluster.machines[1].wait_engine();
    no_trouble_on_the_second(cluster);
    assert_eq!(container(&running(&cluster.nodes[0], "kept", 1)[0]), kept, "the same container");
    eventually("what should have gone is gone", || {
        let names = cluster.machines[1].docker(&["ps", "-a", "--format", "{{.Names}}"]);
        let kept = names.lines().any(|n| n.starts_with("kept."));
        let gone = !names.lines().any(|n| n.starts_with("gone."));
        if kept && gone { Ok(()) } else { Err(names) }
    });
    let node = cluster.nodes[0].json("/nodes/n2").expect("the node");
    let version = &node["Description"]["Engine"]["EngineVersion"];
    let engine = cluster.machines[1].docker(&["version", "-f", "{{.Server.Version}}"]);
    assert_eq!(version, engine.trim(), "{node}");
}
