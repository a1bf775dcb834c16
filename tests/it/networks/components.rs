//! Components on the networks of their services: they find others, and others them.

use super::{Asker, WEB, address, docker};
use crate::docker::{import_everywhere, running, take_turn};
use crate::main_job::HELLO;
use crate::support::{Cluster, Node, eventually};

/// A command: asks HOST:PORT/PATH again and again, and prints each page.
const ASK: &[u8] = include_bytes!(env!("SWARMW_HELLO_ASK"));

/// Waits until a service has said each of these in its last lines, in any order.
#[track_caller]
fn says(node: &Node, service: &str, each: &[&str]) {
    eventually(&format!("{service} says {each:?}"), || {
        // A manager that has just started leads nothing yet.
        let said = node.try_run(format!("service logs --tail 8 {service}"));
        match said.code == 0 && each.iter().all(|text| said.stdout.contains(text)) {
            true => Ok(()),
            false => Err(said),
        }
    });
}

/// A service of components on a network of the cluster.
fn create(node: &Node, flags: &str, file: &std::path::Path, arguments: &str) {
    let file = file.display();
    node.run(format!("service create --detach {flags} {file} {arguments}"));
}

#[test]
fn components_find_each_other_by_name_on_nodes_without_engine_and_those_on_other_networks_do_not() {
    let mut cluster = Cluster::of(1, 2);
    let hello = cluster.file("hello.wasm", HELLO);
    let ask = cluster.file("ask.wasm", ASK);
    let first = &cluster.nodes[0];
    first.run("network create --driver overlay back");
    first.run("network create --driver overlay other");
    let named = "--env TASK_NAME={{.Task.Name}}";
    create(first, &format!("--name api --replicas 2 --network back {named}"), &hello, "");
    let api = running(first, "api", 2);
    let on = |node: &str| format!("--replicas 1 --constraint node.hostname=={node}");
    create(first, &format!("--name asker --network back {}", on("n3")), &ask, "api:80/x 0.2");
    create(
        first,
        &format!("--name single --network back {}", on("n1")),
        &ask,
        "tasks.api:8080 0.2",
    );
    create(first, &format!("--name stranger --network other {}", on("n3")), &ask, "api:80 0.2");
    let whom = format!("{}:80 0.2", address(&api[0], "back"));
    create(first, &format!("--name lost --network other {}", on("n2")), &ask, &whom);

    // A virtual address leads to both in turn, wherever they are.
    says(first, "asker", &["hello from api.1.", "hello from api.2.", "at /x"]);
    says(first, "single", &["hello from api."]);
    says(first, "stranger", &["api:80: "]);
    says(first, "lost", &["PermissionDenied"]);
    for service in ["stranger", "lost"] {
        let said = first.run(format!("service logs {service}"));
        assert!(!said.contains("hello"), "{service}: {said}");
    }

    // A task that goes is asked no more; one that comes is found.
    first.run("service scale --detach api=1");
    running(first, "api", 1);
    first.run("service scale --detach api=2");
    let api = running(first, "api", 2);
    let names: Vec<_> = api.iter().map(|task| task["ID"].as_str().expect("an id")).collect();
    says(first, "asker", &names);

    // The component outlives its daemon, and finds the way of the next one without a manager.
    cluster.nodes[2].kill();
    cluster.nodes[0].kill();
    cluster.nodes[2].start();
    let log = |cluster: &Cluster| {
        let find = std::process::Command::new("grep")
            .args(["-rc", "--include=log", "hello from api"])
            .arg(cluster.nodes[2].state_dir())
            .output()
            .expect("grep is installed");
        String::from_utf8_lossy(&find.stdout).into_owned()
    };
    let before = log(&cluster);
    eventually("the component is answered again", || {
        let now = log(&cluster);
        if now == before { Err(now) } else { Ok(()) }
    });
    cluster.nodes[0].start();
    says(&cluster.nodes[0], "asker", &names);
}

#[test]
fn containers_and_components_reach_each_other_across_machines() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(2, 1);
    import_everywhere(&cluster, &[WEB]);
    let hello = cluster.file("hello.wasm", HELLO);
    let ask = cluster.file("ask.wasm", ASK);
    let first = &cluster.nodes[0];
    docker(first, "network create --driver overlay --attachable back");
    docker(first, "network create --driver overlay --attachable other");
    docker(first, "service create --detach --name web --replicas 2 --network back web");
    let web = running(first, "web", 2);
    let on = |node: &str| format!("--constraint node.hostname=={node}");
    let named = "--env TASK_NAME={{.Task.Name}} --network back";
    create(first, &format!("--name near {named} {}", on("n1")), &hello, "");
    create(first, &format!("--name far {named} {}", on("n3")), &hello, "");
    let far = running(first, "far", 1);
    let near = running(first, "near", 1);

    // From containers of each machine with an engine, by name, of the task too, and address.
    let by_address = (address(&far[0], "back"), address(&near[0], "back"));
    for task in &web {
        let asker = Asker::of(&cluster, task);
        for (whom, who) in [
            ("far", "far"),
            ("tasks.far", "far"),
            (&*by_address.0, "far"),
            ("near", "near"),
            (&*by_address.1, "near"),
        ] {
            eventually(&format!("{whom} answers"), || {
                let page = asker.run(&cluster, &format!("get {whom} /y"))?;
                let wanted = format!("hello from {who}.1.");
                if page.contains(&wanted) { Ok(()) } else { Err(page) }
            });
        }
    }

    // From components, on the machine without an engine and beside a container.
    let whom = "web:80/cgi-bin/who 0.2";
    create(first, &format!("--name asks-far --network back {}", on("n3")), &ask, whom);
    create(first, &format!("--name asks-near --network back {}", on("n1")), &ask, whom);
    let both: Vec<_> = web.iter().map(crate::docker::container).collect();
    let both: Vec<_> = both.iter().map(|id| &id[..12]).collect();
    says(first, "asks-far", &both);
    says(first, "asks-near", &both);

    // Of another network nobody is reached, whoever asks.
    for node in [&cluster.nodes[0], &cluster.nodes[1]] {
        for whom in ["far", &by_address.0, &by_address.1] {
            let asked =
                node.docker(&["run", "--rm", "--network", "other", "web", "get", whom, "/"]);
            assert!(!asked.stdout.contains("hello"), "{whom}: {asked}");
        }
    }
    create(first, &format!("--name stranger --network other {}", on("n3")), &ask, "web:80 0.2");
    says(first, "stranger", &["web:80: "]);

    // A container cannot be there, and its service says why.
    let flags = format!("--detach --name joined --network back {}", on("n3"));
    first.run(format!("service create --no-resolve-image {flags} web"));
    let why = "overlay networks of containers need root, nftables and a Docker engine";
    eventually("it says why it waits", || {
        let said = first.run("service ps --no-trunc joined");
        if said.contains(why) { Ok(()) } else { Err(said) }
    });
}
