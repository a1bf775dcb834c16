//! What tutorials of Swarm have their readers type, with the real docker client, on a manager
//! and three workers with a registry beside them. The one of Docker itself, word for word, is
//! in `tutorial.rs`; secrets, volumes, ports of mode host and of UDP, and balancers before a
//! service by `dnsrr` have tests of their own: docs/tutorials.md names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::registry::Registry;
use super::{node_of, running, take_turn};
use crate::networks::WEB;
use crate::support::{Cluster, Node, RootFs, eventually};

/// Where the manager and the workers are, in this order.
const DATACENTERS: [&str; 4] = ["east", "east", "west", "south"];
/// An image of a web server, and the next one of it: what the registry has.
const IMAGES: [&str; 2] = ["10.98.7.1:5000/web:1", "10.98.7.1:5000/web:2"];
/// The balancer, of Debian.
const HAPROXY: &str = "/usr/sbin/haproxy";
/// Times that a page is asked for in one look at who answers.
const LOOKS: usize = 12;

#[test]
fn what_tutorials_have_their_readers_type_works_on_a_manager_and_three_workers() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(4, 0);
    let _registry = Registry::without_users(&cluster);
    fill_registry(&cluster);
    a_service_is_created_updated_scaled_and_removed(&cluster);
    a_drained_node_is_filled_again_by_scaling(&cluster);
    a_proxy_reaches_an_api_by_the_name_of_its_stack(&cluster);
    a_page_shows_the_swarm_on_managers_only(&cluster);
    tasks_are_spread_over_datacenters(&cluster);
    pages_that_are_copied_into_containers_are_answered_in_turn(&cluster);
    ten_replicas_stop_at_a_broken_image_and_go_back(&cluster);
    a_worker_becomes_a_manager_and_a_worker_again(&cluster);
}

/// Runs the docker client against the manager; it must succeed.
#[track_caller]
fn docker(cluster: &Cluster, line: &str) -> String {
    let node = &cluster.nodes[0];
    let words: Vec<_> = line.split_whitespace().collect();
    let output = node.docker(&words);
    assert_eq!(output.code, 0, "docker {line}: {output}\n{}", node.log_end());
    output.stdout
}

/// Pushes the images from the manager's engine; workers have none.
fn fill_registry(cluster: &Cluster) {
    let first = &cluster.machines[0];
    let rootfs = RootFs::pack(cluster.folder(), &[HAPROXY]);
    for (image, release) in IMAGES.into_iter().zip(["ENV RELEASE=1", "ENV RELEASE=2"]) {
        rootfs.import(first, image, &[WEB.1[0], release]);
        first.docker(&["push", image]);
    }
}

/// The page of a port of a machine, asked for from the last one.
fn page(cluster: &Cluster, machine: usize, port: u16, path: &str) -> Result<String, String> {
    let url = format!("http://{}:{port}/{path}", cluster.machines[machine].ip);
    let asked = cluster.machines[3].run(&["curl", "-sSf", "-m", "5", &url]);
    if asked.code == 0 { Ok(asked.stdout) } else { Err(asked.to_string()) }
}

/// Waits until so many answers to [`LOOKS`] requests to each machine's port differ.
#[track_caller]
fn answers_differ(cluster: &Cluster, port: u16, path: &str, count: usize) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for machine in 0..cluster.machines.len() {
        let seen = eventually(&format!("{count} answer at port {port} of {machine}"), || {
            let seen = (0..LOOKS).map(|_| page(cluster, machine, port, path));
            let seen: BTreeSet<_> = seen.collect::<Result<_, _>>()?;
            if seen.len() == count { Ok(seen) } else { Err(format!("{seen:?}")) }
        });
        all.extend(seen);
    }
    all
}

/// How many of these tasks each node has.
fn per_node(cluster: &Cluster, tasks: &[Value]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for task in tasks {
        *counts.entry(node_of(cluster, task)).or_default() += 1;
    }
    counts
}

fn a_service_is_created_updated_scaled_and_removed(cluster: &Cluster) {
    let image = IMAGES[0];
    let made = docker(cluster, &format!("service create --name web --publish 8080:80 {image}"));
    assert!(made.contains("verify: Service") && made.contains("converged"), "{made}");
    let listed = docker(cluster, "service ls");
    for word in ["web", "replicated", "1/1", image, "*:8080->80/tcp"] {
        assert!(listed.contains(word), "{word} in {listed}");
    }
    docker(cluster, "service update --replicas 3 web");
    let scaled = docker(cluster, "service scale web=6");
    assert!(scaled.starts_with("web scaled to 6\n"), "{scaled}");
    let shown = docker(cluster, "service ps web");
    assert_eq!(shown.lines().filter(|line| line.contains("Running")).count(), 6, "{shown}");
    // All workers pulled the same: the registry said which one that is.
    for task in running(&cluster.nodes[0], "web", 6) {
        let image = task["Spec"]["ContainerSpec"]["Image"].as_str().expect("an image").to_owned();
        assert!(image.starts_with("10.98.7.1:5000/web:1@sha256:"), "{image}");
    }
    answers_differ(cluster, 8080, "cgi-bin/who", 6);
}

fn a_drained_node_is_filled_again_by_scaling(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    docker(cluster, "node update --availability drain n2");
    eventually("the drained node is empty", || {
        let on = per_node(cluster, &running(first, "web", 6));
        if on.contains_key(&1) { Err(format!("{on:?}")) } else { Ok(()) }
    });
    docker(cluster, "node update --availability active n2");
    assert!(!per_node(cluster, &running(first, "web", 6)).contains_key(&1), "nothing moves back");
    docker(cluster, "service scale web=8");
    let each = per_node(cluster, &running(first, "web", 8));
    assert_eq!(each, (0..4).map(|node| (node, 2)).collect(), "balance again");
    assert_eq!(docker(cluster, "service rm web"), "web\n");
    assert_eq!(docker(cluster, "service ls --quiet"), "");
}

/// A file of a tutorial.
fn file(name: &str) -> PathBuf {
    // The package of these tests is that of the binary.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/it/docker/tutorials");
    Path::new(folder).join(name)
}

fn a_proxy_reaches_an_api_by_the_name_of_its_stack(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    docker(cluster, "network create --driver overlay --attachable front");
    docker(cluster, &format!("stack deploy -c {} demo", file("proxy.yml").display()));
    let proxies = running(first, "demo_proxy", 3);
    let apis = running(first, "demo_api", 3);
    let on = per_node(cluster, &[&proxies[..], &apis].concat());
    assert!(!on.contains_key(&0), "no manager: {on:?}");
    let image = IMAGES[0];
    docker(cluster, &format!("run -d --name joined --network front {image} sleep 1000"));
    let mut seen = BTreeSet::new();
    eventually("a container that joins reaches all of the API", || {
        let said = first.docker(&["exec", "joined", "get", "demo_api", "/cgi-bin/who"]);
        seen.extend(said.stdout.split(' ').next().map(str::to_owned).filter(|who| !who.is_empty()));
        if seen.len() == 3 { Ok(()) } else { Err(format!("{seen:?}, {said}")) }
    });
    eventually("each proxy reaches the API by the stack's name, and by its own", || {
        for slot in 1..=3 {
            for name in ["demo_api", "api"] {
                let proxy = format!("demo_proxy.{slot}");
                let said = first.docker(&["exec", &proxy, "get", name, "/cgi-bin/who"]);
                if said.code != 0 {
                    return Err(said.to_string());
                }
            }
        }
        Ok(())
    });
    eventually("a proxy answers with what the API says", || {
        let through = page(cluster, 0, 8081, "cgi-bin/through")?;
        if through.split_whitespace().count() == 3 { Ok(()) } else { Err(through) }
    });
    a_balancer_on_the_manager_leads_to_the_api(cluster);

    // The next release of the API, and of nothing else.
    let text = std::fs::read_to_string(file("proxy.yml")).expect("the stack");
    let next = text.replace(r#"RELEASE: "1""#, r#"RELEASE: "2""#);
    let next = cluster.file("proxy.yml", next.as_bytes());
    docker(cluster, &format!("stack deploy -c {} demo", next.display()));
    eventually("the API is replaced", || {
        let now = running(first, "demo_api", 3);
        let is_next = |task: &Value| task["Spec"]["ContainerSpec"]["Env"][0] == "RELEASE=2";
        if now.iter().all(is_next) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let ids = |tasks: &[Value]| tasks.iter().map(|task| task["ID"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&running(first, "demo_proxy", 3)), ids(&proxies));
    docker(cluster, "rm -f joined");
    docker(cluster, "stack rm demo");
    eventually("the network is free", || {
        let gone = first.docker(&["network", "rm", "front"]);
        if gone.code == 0 { Ok(()) } else { Err(gone.to_string()) }
    });
}

fn a_balancer_on_the_manager_leads_to_the_api(cluster: &Cluster) {
    docker(cluster, &format!("stack deploy -c {} edge", file("balancer.yml").display()));
    let balancer = running(&cluster.nodes[0], "edge_lb", 1);
    assert_eq!(per_node(cluster, &balancer), [(0, 1)].into());
    answers_differ(cluster, 8084, "cgi-bin/who", 3);
    docker(cluster, "stack rm edge");
}

fn a_page_shows_the_swarm_on_managers_only(cluster: &Cluster) {
    docker(cluster, &format!("stack deploy -c {} look", file("visualizer.yml").display()));
    let tasks = running(&cluster.nodes[0], "look_page", 1);
    assert_eq!(per_node(cluster, &tasks), [(0, 1)].into());
    eventually("the page shows the swarm", || {
        let seen = page(cluster, 1, 8082, "cgi-bin/look")?;
        let wanted = "nodes n1 n2 n3 n4\nservices look_page\ntasks 1\n";
        if seen == wanted { Ok(()) } else { Err(seen) }
    });
    docker(cluster, "stack rm look");
}

fn tasks_are_spread_over_datacenters(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    for (node, datacenter) in cluster.nodes.iter().zip(DATACENTERS) {
        let label = format!("datacenter={datacenter}");
        docker(cluster, &format!("node update --label-add {label} {}", node.name));
    }
    let image = IMAGES[0];
    docker(
        cluster,
        &format!(
            "service create --name nine --replicas 9 \
             --placement-pref spread=node.labels.datacenter {image}"
        ),
    );
    let each = per_node(cluster, &running(first, "nine", 9));
    let mut counts = BTreeMap::<_, usize>::new();
    for (node, count) in each {
        *counts.entry(DATACENTERS[node]).or_default() += count;
    }
    assert_eq!(counts, [("east", 3), ("west", 3), ("south", 3)].into());
    docker(
        cluster,
        &format!(
            "service create --name both --mode global --constraint \
             node.labels.datacenter==east --constraint node.role==worker {image}"
        ),
    );
    let one = running(first, "both", 1);
    assert_eq!(per_node(cluster, &one), [(1, 1)].into(), "the only worker in the east");
    docker(cluster, "service rm nine both");
}

fn pages_that_are_copied_into_containers_are_answered_in_turn(cluster: &Cluster) {
    let image = IMAGES[0];
    docker(
        cluster,
        &format!(
            "service create --name pages --replicas 2 --constraint node.role==worker \
             --publish 8083:80 {image}"
        ),
    );
    for slot in ["1", "2"] {
        let page = cluster.file(slot, format!("page {slot}\n").as_bytes());
        docker(cluster, &format!("cp {} pages.{slot}:/www/index.html", page.display()));
    }
    let pages = answers_differ(cluster, 8083, "", 2);
    assert_eq!(pages, ["page 1\n", "page 2\n"].map(str::to_owned).into());
    for machine in 0..cluster.machines.len() {
        let six = (0..6).map(|_| page(cluster, machine, 8083, "").expect("a page"));
        let six: Vec<_> = six.collect();
        assert!(six.windows(2).all(|two| two[0] != two[1]), "alternating: {six:?}");
    }
    docker(cluster, "service rm pages");
}

fn ten_replicas_stop_at_a_broken_image_and_go_back(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let [one, two] = IMAGES;
    docker(
        cluster,
        &format!(
            "service create --name ten --replicas 10 --update-delay 1s --update-parallelism 3 \
             --update-failure-action pause --stop-grace-period 1s {one}"
        ),
    );
    let all_have = |image: &str, what: &str| {
        eventually(what, || {
            let ten = running(first, "ten", 10);
            let pinned = format!("{image}@sha256:");
            let has = |task: &&Value| {
                let image = task["Spec"]["ContainerSpec"]["Image"].as_str();
                image.is_some_and(|image| image.starts_with(&pinned))
            };
            let count = ten.iter().filter(has).count();
            if count == 10 { Ok(()) } else { Err(count.to_string()) }
        });
    };
    docker(cluster, &format!("service update --image {two} ten"));
    all_have(two, "all are updated");
    let state = |wanted: &str| {
        eventually(&format!("the update is {wanted}"), || {
            let service = first.json("/services/ten")?;
            let now = &service["UpdateStatus"];
            if now["State"] == wanted { Ok(()) } else { Err(now.to_string()) }
        });
    };
    state("completed");
    let broken = first.docker(&["service", "update", "--image", "10.98.7.1:5000/web:nope", "ten"]);
    assert_eq!(broken.code, 1, "{broken}");
    assert!(broken.stderr.contains("update paused due to failure"), "{broken}");
    state("paused");
    let left = docker(cluster, "service ps --filter desired-state=running ten");
    let go_on = left.lines().filter(|line| line.contains("Running") && line.contains(two)).count();
    assert!((7..10).contains(&go_on), "no more than three were tried: {left}");
    docker(cluster, "service update --rollback ten");
    all_have(two, "all are as before");
    docker(cluster, "service rm ten");
}

fn a_worker_becomes_a_manager_and_a_worker_again(cluster: &Cluster) {
    let status = || {
        let listed = docker(cluster, "node ls --format {{.Hostname}}:{{.ManagerStatus}}");
        let of = |name: &str| listed.lines().find_map(|line| line.strip_prefix(name));
        of("n2:").unwrap_or_else(|| panic!("{listed}")).to_owned()
    };
    let becomes = |wanted: &str| {
        eventually(&format!("n2 is {wanted:?}"), || {
            let now = status();
            if now == wanted { Ok(()) } else { Err(now) }
        });
    };
    let said = docker(cluster, "node promote n2");
    assert_eq!(said, "Node n2 promoted to a manager in the swarm.\n");
    becomes("Reachable");
    let second: &Node = &cluster.nodes[1];
    eventually("the new manager answers", || {
        let listed = second.docker(&["node", "ls", "--format", "{{.Hostname}}"]);
        let hosts: BTreeSet<_> = listed.stdout.lines().collect();
        if hosts == ["n1", "n2", "n3", "n4"].into() { Ok(()) } else { Err(listed.to_string()) }
    });
    let said = docker(cluster, "node demote n2");
    assert_eq!(said, "Manager n2 demoted in the swarm.\n");
    becomes("");
}
