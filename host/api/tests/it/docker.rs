//! The real docker client in front of the API.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use swarmw_api::{LogLine, Standing};

use crate::fake::{Served, leader, line, serve};

fn client() -> &'static str {
    ["/usr/local/bin/docker", "/usr/bin/docker"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("the docker client is missing: install the package docker.io (docker-cli)")
}

async fn docker(served: &Served, arguments: &[&str]) -> Output {
    let host = format!("unix://{}", served.client.0.display());
    let home = served.folder.path();
    tokio::process::Command::new(client())
        .args(["-H", &host])
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .output()
        .await
        .expect("docker runs")
}

/// Runs a command that must succeed; gives what it printed.
async fn run(served: &Served, arguments: &[&str]) -> String {
    let output = docker(served, arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "docker {arguments:?} failed: {stderr}"
    );
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn the_commands_of_the_tutorial_work() {
    let served = leader().await;

    let nodes = run(&served, &["node", "ls"]).await;
    assert!(nodes.contains(" *   alpha"), "{nodes}");
    assert!(nodes.contains("Ready     Active         Leader"), "{nodes}");

    let created = run(
        &served,
        &[
            "service",
            "create",
            "--detach",
            "--name",
            "web",
            "--replicas",
            "2",
            "--constraint",
            "node.role==manager",
            "-p",
            "8080:80",
            "redis:3.0.6",
        ],
    )
    .await;
    assert_eq!(created.trim().len(), 25, "{created}");

    let services = run(&served, &["service", "ls"]).await;
    assert!(services.contains("2/2"), "{services}");
    assert!(services.contains("redis:3.0.6"), "{services}");

    let scaled = run(&served, &["service", "scale", "--detach", "web=3"]).await;
    assert!(scaled.contains("web scaled to 3"), "{scaled}");

    let tasks = run(&served, &["service", "ps", "web"]).await;
    for slot in ["web.1", "web.2", "web.3"] {
        assert!(tasks.contains(slot), "{tasks}");
    }
    let by_node = run(&served, &["node", "ps"]).await;
    assert_eq!(by_node.lines().count(), 4, "{by_node}");

    let pretty = run(&served, &["service", "inspect", "--pretty", "web"]).await;
    for line in [
        "Service Mode:\tReplicated",
        " Replicas:\t3",
        "Endpoint Mode:\tvip",
    ] {
        assert!(pretty.contains(line), "{pretty}");
    }
    run(
        &served,
        &["node", "update", "--label-add", "rack=1", "alpha"],
    )
    .await;
    let node = run(&served, &["node", "inspect", "--pretty", "self"]).await;
    assert!(node.contains(" - rack=1"), "{node}");

    let removed = run(&served, &["service", "rm", "web"]).await;
    assert_eq!(removed, "web\n");
    let empty = run(&served, &["service", "ls", "-q"]).await;
    assert_eq!(empty, "");
}

#[tokio::test]
async fn progress_is_followed_until_the_service_has_converged() {
    let served = leader().await;
    let created = run(
        &served,
        &[
            "service",
            "create",
            "--name",
            "web",
            "--replicas",
            "2",
            "--update-monitor",
            "1ms",
            "redis:3.0.6",
        ],
    )
    .await;
    assert!(
        created.contains("overall progress: 2 out of 2 tasks"),
        "{created}"
    );
    assert!(created.contains("converged"), "{created}");
    let updated = run(
        &served,
        &["service", "update", "--image", "redis:3.0.7", "web"],
    )
    .await;
    assert!(updated.contains("converged"), "{updated}");
    let tasks = run(&served, &["service", "ps", "web"]).await;
    assert!(tasks.contains(" \\_ web.1"), "{tasks}");
    run(&served, &["service", "rollback", "--detach", "web"]).await;
    let images = run(&served, &["service", "ls", "--format", "{{.Image}}"]).await;
    assert_eq!(images, "redis:3.0.6\n");
}

#[tokio::test]
async fn a_cluster_is_founded_and_left() {
    let served = serve(Standing::Inactive).await;
    let refused = docker(&served, &["node", "ls"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("This node is not a swarm manager."),
        "{refused:?}"
    );
    let founded = run(&served, &["swarm", "init", "--advertise-addr", "127.0.0.1"]).await;
    assert!(
        founded.contains("docker swarm join --token SWMTKN-1-root-worker 127.0.0.1:2377"),
        "{founded}"
    );
    let before = run(&served, &["swarm", "join-token", "-q", "worker"]).await;
    let after = run(
        &served,
        &["swarm", "join-token", "--rotate", "-q", "worker"],
    )
    .await;
    assert_ne!(before, after);
    run(&served, &["swarm", "update", "--task-history-limit", "3"]).await;
    let info = run(&served, &["info"]).await;
    for line in [
        "Swarm: active",
        "Is Manager: true",
        "Managers: 1",
        "Task History Retention Limit: 3",
    ] {
        assert!(info.contains(line), "{info}");
    }
    let version = run(&served, &["version", "--format", "{{.Server.APIVersion}}"]).await;
    assert_eq!(version, "1.47\n");
    run(&served, &["swarm", "leave", "--force"]).await;
    let info = run(&served, &["info", "--format", "{{.Swarm.LocalNodeState}}"]).await;
    assert_eq!(info, "inactive\n");
}

#[tokio::test]
async fn what_a_client_without_the_engine_asks_is_refused_with_the_reason() {
    let served = leader().await;
    let refused = docker(&served, &["ps"]).await;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("--engine"), "{stderr}");
    for listing in [&["network", "ls"][..], &["secret", "ls"], &["config", "ls"]] {
        run(&served, listing).await;
    }
}

#[tokio::test]
async fn settings_of_our_own_survive_an_update_by_a_client_that_drops_them() {
    let served = leader().await;
    let ours = json!({"PolicyOptions": {"canary.steps": "5"}});
    let spec = json!({"Name": "web", "Swarmw": ours,
        "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    served.client.post("/services/create", spec).await;
    run(
        &served,
        &["service", "update", "--detach", "--env-add", "A=1", "web"],
    )
    .await;
    let shown = served.client.get("/services/web").await.json();
    assert_eq!(shown["Spec"]["Swarmw"], ours);
    assert_eq!(
        shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"],
        json!(["A=1"])
    );
}

#[tokio::test]
async fn logs_name_their_task_and_node() {
    let served = leader().await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    served.client.post("/services/create", spec).await;
    let tasks = served.client.get("/tasks").await.json();
    let text = |field: &str| tasks[0][field].as_str().expect("an id").to_owned();
    let task = text("ID");
    *served.fake.lines.lock().unwrap() = vec![LogLine {
        service: text("ServiceID").parse().expect("an id"),
        ..line(task.parse().expect("an id"), "hello\n")
    }];
    let logs = run(&served, &["service", "logs", "--timestamps", "web"]).await;
    let want = format!(
        "2025-11-20T23:41:33.560000000Z web.1.{}@alpha    | hello\n",
        &task[..12]
    );
    assert_eq!(logs, want);
    let raw = run(&served, &["service", "logs", "--raw", "web"]).await;
    assert_eq!(raw, "hello\n");
}
