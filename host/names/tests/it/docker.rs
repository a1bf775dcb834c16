//! In containers of a real engine, on a user-defined network.

use std::path::Path;
use std::process::Command;

use swarmw_model::ResolutionMode::Vip;

use crate::support::docker::Docker;
use crate::support::serving::Node;
use crate::support::world::World;

fn world() -> World {
    World::default()
        .network(1, "front")
        .service(1, "web", Vip, &[(1, &["10.1.0.2"], &["www"])])
        .task(11, 1, "web.1.a", &[(1, &["10.1.0.11"])])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_finds_our_names_and_the_engines() {
    let mut docker = Docker::start();
    docker.run(&["network", "create", "shop"]);
    for name in ["one", "two"] {
        docker.run(&["run", "-d", "--name", name, "--network", "shop", "box", "sleep", "3600"]);
    }
    let two = docker.run(&[
        "inspect",
        "-f",
        "{{(index .NetworkSettings.Networks \"shop\").IPAddress}}",
        "two",
    ]);
    let look_up = |docker: &Docker, name: &str| docker.exec("one", &["nslookup", name]);
    assert!(docker.exec("one", &["cat", "/etc/resolv.conf"]).contains("127.0.0.11"));
    assert!(!look_up(&docker, "web").contains("10.1.0.2"));

    let node = Node::new(&world());
    let serving = node.serve(&docker.sandbox("one")).await;
    let found = |docker: &Docker| {
        for (name, expected) in [
            ("web", "10.1.0.2"),
            ("www", "10.1.0.2"),
            ("tasks.web", "10.1.0.11"),
            ("10.1.0.11", "web.1.a.front"),
        ] {
            let said = look_up(docker, name);
            assert!(said.contains(expected), "{name}: {said}");
        }
        // Known to the engine alone.
        for (name, expected) in [("two", &*two), (&*two, "two.shop")] {
            let said = look_up(docker, name);
            assert!(said.contains(expected), "{name}: {said}");
        }
    };
    found(&docker);
    let said = docker.exec("two", &["nslookup", "web"]);
    assert!(!said.contains("10.1.0.2"), "two is not served: {said}");

    let sandbox = docker.sandbox("one");
    docker.kill_engine();
    assert_eq!(look_up_in(&sandbox, "web"), "10.1.0.2\n", "without the engine");
    docker.start_engine();
    found(&docker);
    drop(serving);

    let serving = node.serve(&docker.sandbox("one")).await;
    found(&docker);
    serving.withdraw().await.expect("withdrawn");
    assert!(look_up(&docker, "two").contains(&two));
    assert!(!look_up(&docker, "web").contains("10.1.0.2"));
}

/// `docker exec` needs the engine; a namespace does not.
fn look_up_in(sandbox: &Path, name: &str) -> String {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", sandbox.display())).args([
        "dig",
        "+short",
        "@127.0.0.11",
        name,
    ]);
    String::from_utf8_lossy(&command.output().expect("nsenter").stdout).into_owned()
}
