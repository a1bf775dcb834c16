//! The real docker client in front of the API.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use swarmw_api::{LogLine, Standing};
use swarmw_model::{Refusal, RefusalKind};

use crate::fake::{Served, leading, line, serve};

/// Every docker client of the machine, each with a daemon of its own: old and new
/// ones ask differently.
async fn clients(standing: impl Fn() -> Standing) -> Vec<Docker> {
    let mut all = Vec::new();
    for client in ["/usr/local/bin/docker", "/usr/bin/docker"] {
        if !Path::new(client).exists() {
            continue;
        }
        let served = serve(standing()).await;
        if standing().controls() {
            served.fake.found();
        }
        all.push(Docker { client, served });
    }
    assert!(!all.is_empty(), "the docker client is missing: install the package docker.io");
    all
}

struct Docker {
    client: &'static str,
    served: Served,
}

async fn docker(docker: &Docker, arguments: &[&str]) -> Output {
    let host = format!("unix://{}", docker.served.client.0.display());
    let home = docker.served.folder.path();
    tokio::process::Command::new(docker.client)
        .args(["-H", &host])
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .output()
        .await
        .expect("docker runs")
}

/// Runs a command that must succeed; gives what it printed.
async fn run(client: &Docker, arguments: &[&str]) -> String {
    let output = docker(client, arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?} failed: {stderr}", client.client);
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn the_commands_of_the_tutorial_work() {
    for client in clients(leading).await {
        let nodes = run(&client, &["node", "ls"]).await;
        assert!(nodes.contains(" *   alpha"), "{nodes}");
        assert!(nodes.contains("Ready     Active         Leader"), "{nodes}");

        let created = run(
            &client,
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

        let services = run(&client, &["service", "ls"]).await;
        assert!(services.contains("2/2"), "{services}");
        assert!(services.contains("redis:3.0.6"), "{services}");

        let scaled = run(&client, &["service", "scale", "--detach", "web=3"]).await;
        assert!(scaled.contains("web scaled to 3"), "{scaled}");

        let tasks = run(&client, &["service", "ps", "web"]).await;
        for slot in ["web.1", "web.2", "web.3"] {
            assert!(tasks.contains(slot), "{tasks}");
        }
        let by_node = run(&client, &["node", "ps"]).await;
        assert_eq!(by_node.lines().count(), 4, "{by_node}");

        let pretty = run(&client, &["service", "inspect", "--pretty", "web"]).await;
        for line in ["Service Mode:\tReplicated", " Replicas:\t3", "Endpoint Mode:\tvip"] {
            assert!(pretty.contains(line), "{pretty}");
        }
        run(&client, &["node", "update", "--label-add", "rack=1", "alpha"]).await;
        let node = run(&client, &["node", "inspect", "--pretty", "self"]).await;
        assert!(node.contains(" - rack=1"), "{node}");

        let removed = run(&client, &["service", "rm", "web"]).await;
        assert_eq!(removed, "web\n");
        let empty = run(&client, &["service", "ls", "-q"]).await;
        assert_eq!(empty, "");
    }
}

#[tokio::test]
async fn networks_are_made_listed_joined_and_removed() {
    for client in clients(leading).await {
        let made = &["network", "create", "-d", "overlay", "--attachable", "web"];
        let id = run(&client, made).await.trim().to_owned();
        assert_eq!(id.len(), 25, "{id}");
        let pool = "10.77.0.0/16";
        let made =
            &["network", "create", "-d", "overlay", "--subnet", pool, "--label", "a=b", "db"];
        run(&client, made).await;
        let listed = run(&client, &["network", "ls"]).await;
        let rows: Vec<_> =
            listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(rows[3][1..], ["web", "overlay", "swarm"], "{listed}");
        let labelled = run(&client, &["network", "ls", "-q", "--filter", "label=a=b"]).await;
        assert_eq!(labelled.lines().count(), 1, "{labelled}");
        let template = "{{(index .IPAM.Config 0).Subnet}} {{.Attachable}} {{.Scope}}";
        let shown = run(&client, &["network", "inspect", "-f", template, "db"]).await;
        assert_eq!(shown, "10.77.0.0/16 false swarm\n");

        let service = &["service", "create", "-d", "--name", "api", "--no-resolve-image"];
        let on = &["--network", "web", "--network", "name=db,alias=store", "redis:3.0.6"];
        run(&client, &[&service[..], &on[..]].concat()).await;
        let pretty = run(&client, &["service", "inspect", "--pretty", "api"]).await;
        assert!(pretty.contains("Networks:") && pretty.contains("web"), "{pretty}");
        run(&client, &["service", "update", "-d", "--network-rm", "db", "api"]).await;
        let verbose = run(&client, &["network", "inspect", "--verbose", "web"]).await;
        assert!(verbose.contains("\"api\": {") && verbose.contains("EndpointIP"), "{verbose}");

        let output = docker(&client, &["network", "rm", "web"]).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(&format!("network {id} is in use by service")), "{stderr}");
        let pruned = run(&client, &["network", "prune", "-f"]).await;
        assert_eq!(pruned, "Deleted Networks:\ndb\n\n");
        // Tasks of a service that is gone would stay here: nobody ends them.
        run(&client, &["service", "scale", "-d", "api=0"]).await;
        run(&client, &["service", "rm", "api"]).await;
        assert_eq!(run(&client, &["network", "rm", "web"]).await, "web\n");
    }
}

#[tokio::test]
async fn progress_is_followed_until_the_service_has_converged() {
    for client in clients(leading).await {
        let created = run(
            &client,
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
        assert!(created.contains("overall progress: 2 out of 2 tasks"), "{created}");
        assert!(created.contains("converged"), "{created}");
        let updated = run(&client, &["service", "update", "--image", "redis:3.0.7", "web"]).await;
        assert!(updated.contains("converged"), "{updated}");
        let tasks = run(&client, &["service", "ps", "web"]).await;
        assert!(tasks.contains(" \\_ web.1"), "{tasks}");
        run(&client, &["service", "rollback", "--detach", "web"]).await;
        let images = run(&client, &["service", "ls", "--format", "{{.Image}}"]).await;
        assert_eq!(images, "redis:3.0.6\n");
    }
}

#[tokio::test]
async fn a_cluster_is_founded_and_left() {
    for client in clients(|| Standing::Inactive).await {
        let refused = docker(&client, &["node", "ls"]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("This node is not a swarm manager."),
            "{refused:?}"
        );
        let founded = run(&client, &["swarm", "init", "--advertise-addr", "127.0.0.1"]).await;
        assert!(
            founded.contains("docker swarm join --token SWMTKN-1-root-worker 127.0.0.1:2377"),
            "{founded}"
        );
        let before = run(&client, &["swarm", "join-token", "-q", "worker"]).await;
        let after = run(&client, &["swarm", "join-token", "--rotate", "-q", "worker"]).await;
        assert_ne!(before, after);
        run(&client, &["swarm", "update", "--task-history-limit", "3"]).await;
        let info = run(&client, &["info"]).await;
        for line in
            ["Swarm: active", "Is Manager: true", "Managers: 1", "Task History Retention Limit: 3"]
        {
            assert!(info.contains(line), "{info}");
        }
        let version = run(&client, &["version", "--format", "{{.Server.APIVersion}}"]).await;
        assert_eq!(version, "1.47\n");
        run(&client, &["swarm", "leave", "--force"]).await;
        let info = run(&client, &["info", "--format", "{{.Swarm.LocalNodeState}}"]).await;
        assert_eq!(info, "inactive\n");
    }
}

#[tokio::test]
async fn what_a_client_without_the_engine_asks_is_refused_with_the_reason() {
    for client in clients(leading).await {
        let refused = docker(&client, &["ps"]).await;
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(stderr.contains("--engine"), "{stderr}");
        for listing in [&["network", "ls"][..], &["secret", "ls"], &["config", "ls"]] {
            run(&client, listing).await;
        }
    }
}

#[tokio::test]
async fn settings_of_our_own_survive_an_update_by_a_client_that_drops_them() {
    for client in clients(leading).await {
        let ours = json!({"PolicyOptions": {"canary.steps": "5"}});
        let spec = json!({"Name": "web", "Swarmw": ours,
        "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
        client.served.client.post("/services/create", spec).await;
        run(&client, &["service", "update", "--detach", "--env-add", "A=1", "web"]).await;
        let shown = client.served.client.get("/services/web").await.json();
        assert_eq!(shown["Spec"]["Swarmw"], ours);
        assert_eq!(shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["A=1"]));
    }
}

#[tokio::test]
async fn logs_name_their_task_and_node() {
    for client in clients(leading).await {
        let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
        client.served.client.post("/services/create", spec).await;
        let tasks = client.served.client.get("/tasks").await.json();
        let text = |field: &str| tasks[0][field].as_str().expect("an id").to_owned();
        let task = text("ID");
        *client.served.fake.lines.lock().unwrap() = vec![LogLine {
            service: text("ServiceID").parse().expect("an id"),
            attributes: [("tier", "back"), ("A", "b, c")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..line(task.parse().expect("an id"), "hello\n")
        }];
        let logs = run(&client, &["service", "logs", "--timestamps", "web"]).await;
        let want =
            format!("2025-11-20T23:41:33.560000000Z web.1.{}@alpha    | hello\n", &task[..12]);
        assert_eq!(logs, want);
        let raw = run(&client, &["service", "logs", "--raw", "web"]).await;
        assert_eq!(raw, "hello\n");
        let detailed = run(&client, &["service", "logs", "--details", "web"]).await;
        let want = format!("web.1.{}@alpha    | A=b, c,tier=back hello\n", &task[..12]);
        assert_eq!(detailed, want);
        let unnamed = run(&client, &["service", "logs", "--no-task-ids", "web"]).await;
        assert_eq!(unnamed, "web.1@alpha    | hello\n");
    }
}

#[tokio::test]
async fn logs_that_are_not_whole_end_with_the_clients_error() {
    for client in clients(leading).await {
        let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
        client.served.client.post("/services/create", spec).await;
        let why = "warning: incomplete log stream. some logs could not be retrieved for the \
                   following reasons: node 0000000000000000000000009 is not available";
        let refusal = Refusal::rpc(RefusalKind::Unknown, why);
        *client.served.fake.lines_missing.lock().unwrap() = Some(refusal);
        let logs = docker(&client, &["service", "logs", "web"]).await;
        let said = String::from_utf8_lossy(&logs.stderr);
        let want = format!(
            "error from daemon in stream: Error grabbing logs: rpc error: code = Unknown \
             desc = {why}"
        );
        assert!(said.contains(&want), "{}: {said}", client.client);
        assert_eq!(logs.status.code(), Some(1), "{}", client.client);
    }
}
