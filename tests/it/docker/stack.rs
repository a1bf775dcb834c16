//! Stacks of Compose files, deployed by either client and changed by the other.

use super::{import_everywhere, running, take_turn};
use crate::networks::WEB;
use crate::support::{Cluster, eventually};

/// A proxy in front of an API, as tutorials have it.
const STACK: &str = r#"
version: "3.8"
services:
  proxy:
    image: web
    ports: ["8090:80"]
    networks: [front]
    deploy:
      replicas: ${PROXIES:-1}
  api:
    image: web
    networks: [front]
    configs:
      - source: greeting
        target: /greeting
    deploy:
      replicas: 2
      labels: {tier: back}
networks:
  front:
    driver: overlay
    attachable: true
configs:
  greeting:
    file: ./greeting.txt
"#;

#[test]
fn a_stack_of_one_client_is_the_others_too() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(2, 0);
    import_everywhere(&cluster, &[WEB]);
    let node = &cluster.nodes[0];
    cluster.file("greeting.txt", b"hello\n");
    let file = cluster.file("stack.yml", STACK.as_bytes());
    let file = file.to_string_lossy();

    // Clients before 26 have no such flag, and never wait.
    let waits = node.docker(&["stack", "deploy", "--help"]).stdout.contains("--detach");
    let flags: &[&str] = if waits { &["--detach=false"] } else { &[] };
    let start = ["stack", "deploy", "--compose-file", &*file];
    let deployed = node.docker(&[&start[..], flags, &["demo"]].concat());
    assert_eq!(deployed.code, 0, "{deployed}");
    let replicas = || node.run("stack services --format {{.Name}}:{{.Replicas}} demo");
    if waits {
        assert_eq!(replicas(), "demo_api:2/2\ndemo_proxy:1/1\n", "it waited for both");
    }
    running(node, "demo_proxy", 1);
    let api = running(node, "demo_api", 2);
    assert_eq!(replicas(), "demo_api:2/2\ndemo_proxy:1/1\n");
    eventually("the API answers by its name in the stack, through the network", || {
        let said = node.docker(&[
            "run",
            "--rm",
            "--network",
            "demo_front",
            "web",
            "get",
            "api",
            "/cgi-bin/who",
        ]);
        if said.code == 0 { Ok(()) } else { Err(said.to_string()) }
    });
    // From another machine: this process has no way to any of them.
    let page = format!("http://{}:8090/", node.ip);
    eventually("the proxy answers at its port", || {
        let said = cluster.machines[1].run(&["busybox", "wget", "-qO-", &page]);
        if said.stdout == "hello from a container\n" { Ok(()) } else { Err(said.to_string()) }
    });

    // The same again changes no task, and a change only what it is about.
    node.run(format!("stack deploy --detach=false --compose-file {file} demo"));
    let ids = |tasks: &[serde_json::Value]| -> Vec<_> {
        tasks.iter().map(|task| task["ID"].clone()).collect()
    };
    assert_eq!(ids(&running(node, "demo_api", 2)), ids(&api));
    let more = STACK.replace("${PROXIES:-1}", "3");
    std::fs::write(&*file, more).expect("the file");
    node.run(format!("stack deploy --detach=false --compose-file {file} demo"));
    assert_eq!(replicas(), "demo_api:2/2\ndemo_proxy:3/3\n", "it waited for the other two");
    running(node, "demo_proxy", 3);
    assert_eq!(ids(&running(node, "demo_api", 2)), ids(&api));
    let listed = node.docker(&["stack", "ls", "--format", "{{.Name}} {{.Services}}"]);
    assert_eq!(listed.stdout, "demo 2\n", "{listed}");
    assert_eq!(node.run("stack ls --format {{.Name}}:{{.Services}}"), "demo:2\n");
    assert_eq!(node.run("stack ps --quiet demo").lines().count(), 5);

    let typed = "services: {one: {image: web, deploy: {replicas: 0}}}";
    let deployed = node.typing(&["stack", "deploy", "--detach=true", "-c", "-", "typed"], typed);
    assert_eq!(deployed.code, 0, "{deployed}");
    assert_eq!(node.run("stack services --format {{.Name}} typed"), "typed_one\n");
    node.run("stack rm typed");

    let gone = node.run("stack rm demo");
    for line in ["Removing service demo_api", "Removing config demo_greeting", "demo_front"] {
        assert!(gone.contains(line), "{gone}");
    }
    let left = node.docker(&["stack", "ls", "--quiet", "--format", "{{.Name}}"]);
    assert_eq!(left.stdout, "");
    assert_eq!(node.run("network ls --quiet --filter name=demo_front"), "");
}
