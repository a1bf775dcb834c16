//! Containers of tasks by the tasks' names, on whatever node they are.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use swarmw_api::Standing;
use swarmw_model::{ContainerStatus, NodeId, NodeRole, TaskId, TaskState, TaskStatus};
use swarmw_state::{Change, TaskChange};

use crate::client::{Answered, request};
use crate::engine::{Engine, engine, engine_at};
use crate::fake::{NOW, Served, WORKER, following, leader, line, membership, node, serve_with};

const OTHER: NodeId = NodeId::from_bits(0xb0b);
const CONTAINER: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// A leader with an engine, and another node with one, on which `web.1` runs.
struct Two {
    served: Served,
    own: Engine,
    other: Engine,
    task: TaskId,
}

async fn two() -> Two {
    let served = leader().await;
    let own = engine(served.folder.path());
    *served.fake.engine.lock().unwrap() = Some(own.socket.clone());
    let other = engine_at(served.folder.path().join("other.sock"));
    served.fake.engines_of.lock().unwrap().insert(OTHER, other.socket.clone());
    let joined = Box::new(node(OTHER, "beta", NodeRole::Worker));
    served.fake.apply(None, Change::AddNode(joined)).expect("a second node");
    *served.fake.place.lock().unwrap() = OTHER;
    let task = create(
        &served,
        json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}),
    )
    .await;
    Two { served, own, other, task }
}

/// Creates a service; its task.
async fn create(served: &Served, spec: Value) -> TaskId {
    let made = served.client.post("/services/create", spec).await;
    assert_eq!(made.status, 201, "{}", made.message());
    let service = made.json()["ID"].as_str().expect("an id").parse().expect("an id");
    let state = served.fake.shared.state.lock().unwrap();
    state.tasks_of_service(service).next().expect("a task").id
}

/// What became of a task.
fn became(served: &Served, task: TaskId, state: TaskState, error: &str) {
    let container = ContainerStatus { container_id: CONTAINER.to_owned(), ..Default::default() };
    let status = TaskStatus {
        timestamp: NOW,
        state,
        message: "started".into(),
        error: error.into(),
        container_status: Some(Box::new(container)),
        ..TaskStatus::default()
    };
    let change = TaskChange { status: Some(status), ..TaskChange::of(task) };
    served.fake.apply(None, Change::Task(change)).expect("told");
}

/// What an engine is asked before all else.
fn is_greeting(path: &str) -> bool {
    matches!(path, "/_ping" | "/version")
}

fn last(engine: &Engine) -> String {
    engine.asked.lock().unwrap().last().cloned().unwrap_or_default()
}

async fn exec(served: &Served, name: &str) -> Answered {
    served.client.post(&format!("/v1.47/containers/{name}/exec"), json!({"Cmd": ["sh"]})).await
}

#[tokio::test]
async fn a_task_elsewhere_is_found_by_each_of_its_names() {
    let two = two().await;
    became(&two.served, two.task, TaskState::Running, "");
    let id = two.task.to_string();
    let names = ["web.1", &format!("web.1.{id}"), CONTAINER, &CONTAINER[..12]];
    for name in names {
        let path = format!("/v1.41/containers/{name}/logs?stdout=1&tail=3");
        let answered = two.served.client.get(&path).await;
        assert_eq!(answered.status, 200, "{name}: {}", answered.message());
        // The agent puts the task's own container there.
        assert_eq!(last(&two.other), format!("/v1.41/containers/{id}/logs?stdout=1&tail=3"));
    }
    for (method, call) in [("GET", "top"), ("GET", "archive"), ("POST", "resize"), ("POST", "wait")]
    {
        let path = format!("/v1.47/containers/web.1/{call}");
        assert_eq!(two.served.client.call(method, &path, None).await.status, 200, "{call}");
        // The agent brings the version down to its engine's.
        assert_eq!(last(&two.other), format!("/v1.47/containers/{id}/{call}"));
    }
    let own = two.own.asked.lock().unwrap().clone();
    let asked_only_whether_it_has_it =
        |path: &String| is_greeting(path) || path.ends_with("/json") || path.contains("/networks");
    assert!(own.iter().all(asked_only_whether_it_has_it), "{own:?}");
}

#[tokio::test]
async fn a_command_keeps_its_node_in_its_id() {
    let two = two().await;
    let made = exec(&two.served, "web.1").await;
    assert_eq!(made.status, 201, "{}", made.message());
    let id = made.json()["Id"].as_str().expect("an id").to_owned();
    assert_eq!(id, format!("{}.0ab9", two.task));
    let told = two.served.client.get(&format!("/v1.47/exec/{id}/json")).await;
    assert_eq!(told.json()["ExitCode"], 7);
    assert_eq!(last(&two.other), "/v1.47/exec/0ab9/json");
    let unknown = format!("/v1.47/exec/{}.0ab9/json", TaskId::from_bits(1));
    let unknown = two.served.client.get(&unknown).await;
    assert_eq!(
        (unknown.status.as_u16(), &*unknown.message()),
        (404, "No such exec instance: 0ab9")
    );
}

#[tokio::test]
async fn a_container_that_only_its_node_knows_is_shown_by_its_task() {
    let two = two().await;
    two.other.containers.lock().unwrap().push(two.task.to_string());
    let shown = async || two.served.client.get("/v1.47/containers/web.1/json").await.json();
    assert_eq!(shown().await["Id"], format!("web.1.{}", two.task));
    became(&two.served, two.task, TaskState::Running, "");
    assert_eq!(shown().await["Id"], "0ab9", "the engine's own");
}

/// Sends a request that hijacks its connection, then `hello`, and gives what came back.
async fn hijack(served: &Served, request: &str) -> String {
    let mut stream = UnixStream::connect(&served.client.0).await.expect("connects");
    let head = format!(
        "{request} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    stream.write_all(b"hello").await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await.expect("read");
    echoed
}

#[tokio::test]
async fn streams_of_containers_elsewhere_are_joined_half_by_half() {
    let two = two().await;
    let made = exec(&two.served, "web.1").await.json();
    let start = format!("POST /v1.41/exec/{}/start", made["Id"].as_str().expect("an id"));
    assert_eq!(hijack(&two.served, &start).await, "echo hello");
    assert_eq!(last(&two.other), "/v1.41/exec/0ab9/start");
    let attach = "POST /v1.41/containers/web.1/attach?stream=1&stdin=1";
    assert_eq!(hijack(&two.served, attach).await, "echo hello");
    assert_eq!(last(&two.other), format!("/v1.41/containers/{}/attach?stream=1&stdin=1", two.task));
}

#[tokio::test]
async fn files_stream_into_a_container_elsewhere() {
    let two = two().await;
    let bytes = vec![7; 6 << 20];
    let request = http::Request::put("/v1.47/containers/web.1/archive?path=/")
        .header("host", "docker")
        .body(axum::body::Body::from(bytes.clone()))
        .expect("a request");
    let echoed = two.served.client.send(request).await;
    assert!(echoed.body == bytes, "{} bytes came back", echoed.body.len());
}

#[tokio::test]
async fn a_container_of_the_own_engine_wins() {
    let two = two().await;
    two.own.containers.lock().unwrap().push("web.1".to_owned());
    let made = exec(&two.served, "web.1").await;
    assert_eq!(made.json()["Id"], "0ab9");
    assert_eq!(last(&two.own), "/v1.41/containers/web.1/exec");
    // One that is out of order may have it, and says what is wrong.
    two.own.containers.lock().unwrap().clear();
    *two.own.broken.lock().unwrap() = true;
    assert_eq!(exec(&two.served, "web.1").await.message(), "out of order");
    assert!(two.served.fake.opened.lock().unwrap().is_empty());
    // One that is away has nothing that could be meant.
    *two.served.fake.engine.lock().unwrap() = Some("/nowhere/docker.sock".into());
    assert_eq!(exec(&two.served, "web.1").await.status, 201);
}

#[tokio::test]
async fn what_no_task_is_called_goes_to_the_own_engine_at_once() {
    let two = two().await;
    let id = two.task.to_string();
    // What would work against the orchestrator, and beginnings that no table shows.
    let of_a_container = format!("{}/logs", &CONTAINER[..5]);
    let of_a_task = format!("{id}/logs");
    for path in ["own/logs", "web.2/top", "web/logs", "web.1/stop", &of_a_container, &of_a_task] {
        two.own.asked.lock().unwrap().clear();
        let method = if path.ends_with("stop") { "POST" } else { "GET" };
        two.served.client.call(method, &format!("/v1.41/containers/{path}"), None).await;
        let asked = two.own.asked.lock().unwrap().clone();
        let asked: Vec<_> = asked.iter().filter(|path| !is_greeting(path)).collect();
        assert_eq!(asked, [&format!("/v1.41/containers/{path}")]);
    }
    assert!(two.served.fake.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_task_of_this_node_has_its_short_name_too() {
    let two = two().await;
    *two.served.fake.place.lock().unwrap() = crate::fake::SELF;
    let here = create(
        &two.served,
        json!({"Name": "here", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}),
    )
    .await;
    let made = exec(&two.served, "here.1").await;
    assert_eq!(made.json()["Id"], "0ab9", "the engine's own id");
    assert_eq!(last(&two.own), format!("/v1.41/containers/here.1.{here}/exec"));
    assert!(two.served.fake.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_task_that_has_ended_says_so_and_its_logs_are_read() {
    let two = two().await;
    became(&two.served, two.task, TaskState::Failed, "task: non-zero exit (1)");
    let refused = exec(&two.served, "web.1").await;
    assert_eq!(refused.status, 409);
    let told = format!(
        "task web.1.{} is not running: it is failed (started: task: non-zero exit (1))",
        two.task
    );
    assert_eq!(refused.message(), told);
    let logs = two.served.client.get("/v1.41/containers/web.1/logs?stdout=1").await;
    assert_eq!(logs.status, 200, "{}", logs.message());
}

#[tokio::test]
async fn a_node_that_is_not_reached_is_asked_once() {
    let two = two().await;
    two.served.fake.engines_of.lock().unwrap().clear();
    let refused = exec(&two.served, "web.1").await;
    assert_eq!(
        (refused.status.as_u16(), refused.message()),
        (503, format!("node {OTHER} is down"))
    );
    assert_eq!(two.served.fake.opened.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_follower_leads_there_itself() {
    let two = two().await;
    let follower = serve_with(following(), two.served.fake.shared.clone()).await;
    follower.fake.engines_of.lock().unwrap().insert(OTHER, two.other.socket.clone());
    let made = exec(&follower, "web.1").await;
    assert_eq!(made.json()["Id"], format!("{}.0ab9", two.task), "{}", made.message());
    assert!(follower.fake.forwarded.lock().unwrap().is_empty(), "without the leader");
}

/// A worker of the same cluster, which knows its manager.
async fn worker(two: &Two) -> Served {
    let worker = serve_with(Standing::Worker(membership()), two.served.fake.shared.clone()).await;
    *worker.fake.leader.lock().unwrap() = Some(two.served.api.clone());
    let joined = Box::new(node(WORKER, "gamma", NodeRole::Worker));
    two.served.fake.apply(None, Change::AddNode(joined)).expect("a third node");
    worker
}

/// Says from which nodes tasks are reached.
async fn reached_from(two: &Two, nodes: &str) {
    let swarm = two.served.client.get("/swarm").await.json();
    let path = format!("/swarm/update?version={}", swarm["Version"]["Index"]);
    let mut spec = swarm["Spec"].clone();
    spec["Swarmw"] = json!({ "tasksfrom": nodes });
    let updated = two.served.client.post(&path, spec).await;
    assert_eq!(updated.status, 200, "{}", updated.message());
}

/// What a manager answers a worker that asks it so.
async fn asked_by_a_worker(two: &Two, method: &str, path: &str) -> (u16, String) {
    let (own, its) = tokio::io::duplex(4096);
    let manager = two.served.api.clone();
    tokio::spawn(async move { manager.reached(WORKER, its).await });
    let io = hyper_util::rt::TokioIo::new(own);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, axum::body::Body>(io).await.expect("shaken");
    tokio::spawn(connection);
    let answer = sender.send_request(request(method, path, None)).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, told["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_worker_reaches_nothing_elsewhere_and_says_whom_to_ask() {
    let two = two().await;
    let worker = worker(&two).await;
    let refused = exec(&worker, "web.1").await;
    assert_eq!(refused.status, 404);
    let told = refused.message();
    assert!(told.starts_with("No such container: web.1: this node is no manager"), "{told}");
    let whom = "ask a manager (on 127.0.0.1:2377), or allow it on one: swarmw swarm update \
                --tasks-from nodes";
    assert!(told.ends_with(whom), "{told}");
    let made_elsewhere = format!("/v1.47/exec/{}.0ab9/json", two.task);
    assert_eq!(worker.client.get(&made_elsewhere).await.status, 404);
    // One that asks all the same is refused by the manager itself.
    let (status, told) = asked_by_a_worker(&two, "GET", "/v1.47/containers/web.1/logs").await;
    assert_eq!(status, 403);
    assert!(told.starts_with("this node is no manager"), "{told}");
    let opened = [&worker, &two.served].map(|served| served.fake.opened.lock().unwrap().len());
    assert_eq!(opened, [0, 0]);
}

#[tokio::test]
async fn a_worker_reaches_all_tasks_by_a_manager_where_the_cluster_says_so() {
    let two = two().await;
    became(&two.served, two.task, TaskState::Running, "");
    let (worker, id) = (worker(&two).await, two.task.to_string());
    reached_from(&two, "nodes").await;
    for name in ["web.1", &format!("web.1.{id}"), CONTAINER, &CONTAINER[..12]] {
        let path = format!("/v1.41/containers/{name}/logs?stdout=1&tail=3");
        let answered = worker.client.get(&path).await;
        assert_eq!(answered.status, 200, "{name}: {}", answered.message());
        assert_eq!(last(&two.other), format!("/v1.41/containers/{id}/logs?stdout=1&tail=3"));
    }
    let made = exec(&worker, "web.1").await.json();
    assert_eq!(made["Id"], format!("{id}.0ab9"));
    let made = made["Id"].as_str().expect("an id");
    assert_eq!(hijack(&worker, &format!("POST /v1.41/exec/{made}/start")).await, "echo hello");
    assert_eq!(last(&two.other), "/v1.41/exec/0ab9/start");
    let told = worker.client.get(&format!("/v1.47/exec/{made}/json")).await;
    assert_eq!(told.json()["ExitCode"], 7);
    let attach = "POST /v1.41/containers/web.1/attach?stream=1&stdin=1";
    assert_eq!(hijack(&worker, attach).await, "echo hello");
    assert!(worker.fake.opened.lock().unwrap().is_empty(), "the manager leads there");

    reached_from(&two, "managers").await;
    assert_eq!(exec(&worker, "web.1").await.status, 404);
}

#[tokio::test]
async fn what_is_no_tasks_is_never_a_managers_own() {
    let two = two().await;
    let worker = worker(&two).await;
    reached_from(&two, "nodes").await;
    let own = "beef".repeat(16);
    let names = ["web.9", "plain", &own, "web.1.old"];
    two.own.containers.lock().unwrap().extend(names.map(str::to_owned));
    two.own.asked.lock().unwrap().clear();
    for name in names {
        for call in ["json", "logs"] {
            let path = format!("/v1.47/containers/{name}/{call}");
            let answered = asked_by_a_worker(&two, "GET", &path).await;
            assert_eq!(answered, (404, format!("No such container: {name}")));
        }
    }
    for path in ["images/json", "containers/json", "containers/web.1/changes", "swarm", "tasks"] {
        let path = format!("/v1.47/{path}");
        let (status, told) = asked_by_a_worker(&two, "GET", &path).await;
        assert_eq!(status, 501, "{told}");
        assert!(told.ends_with(" is not answered for other nodes"), "{told}");
    }
    let (status, _) = asked_by_a_worker(&two, "GET", "/v1.47/exec/0ab9/json").await;
    assert_eq!(status, 501, "a command that no task's node has made");
    let refused = exec(&worker, "web.9").await;
    let told = (refused.status.as_u16(), refused.message());
    assert_eq!(told, (404, "No such container: web.9".to_owned()));
    assert!(two.own.asked.lock().unwrap().is_empty(), "{:?}", two.own.asked);
    assert!(two.served.fake.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_is_gone_is_refused_on_a_connection_that_it_has() {
    let two = two().await;
    reached_from(&two, "nodes").await;
    let (status, told) = asked_by_a_worker(&two, "GET", "/v1.47/containers/web.1/logs").await;
    assert_eq!((status, told), (403, format!("node {WORKER} is not in this cluster")));
    assert!(two.served.fake.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_managers_own_tasks_are_asked_of_its_agent() {
    let two = two().await;
    *two.served.fake.place.lock().unwrap() = crate::fake::SELF;
    let template = json!({"ContainerSpec": {"Image": "nginx"}});
    let here = create(&two.served, json!({"Name": "here", "TaskTemplate": template})).await;
    let agents = two.own.socket.clone();
    two.served.fake.engines_of.lock().unwrap().insert(crate::fake::SELF, agents);
    let worker = worker(&two).await;
    reached_from(&two, "nodes").await;
    let made = exec(&worker, "here.1").await;
    assert_eq!(made.json()["Id"], format!("{here}.0ab9"), "{}", made.message());
    assert_eq!(last(&two.own), format!("/v1.47/containers/{here}/exec"));
    let told = worker.client.get(&format!("/v1.47/exec/{here}.0ab9/json")).await;
    assert_eq!(told.json()["ExitCode"], 7);
    assert_eq!(*two.served.fake.opened.lock().unwrap(), [here, here]);
}

#[tokio::test]
async fn a_worker_without_a_manager_has_its_own_tasks_and_names_whom_it_asked() {
    let two = two().await;
    let worker = worker(&two).await;
    reached_from(&two, "nodes").await;
    *worker.fake.leader.lock().unwrap() = None;
    let own = engine(worker.folder.path());
    *worker.fake.engine.lock().unwrap() = Some(own.socket.clone());
    let name = format!("web.1.{}", two.task);
    own.containers.lock().unwrap().push(name.clone());
    let made = exec(&worker, &name).await;
    assert_eq!(made.json()["Id"], "0ab9", "{}", made.message());
    // What may be anything is the engine's to refuse.
    let unknown = worker.client.get(&format!("/v1.41/containers/{CONTAINER}/json")).await;
    assert_eq!(unknown.message(), format!("No such container: {CONTAINER}"));
    *worker.fake.engine.lock().unwrap() = None;
    let refused = exec(&worker, "web.1").await;
    assert_eq!(refused.status, 503);
    assert!(refused.message().contains("127.0.0.1:2377"), "{}", refused.message());
}

#[tokio::test]
async fn a_component_has_logs_and_nothing_to_enter() {
    let two = two().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let image = format!("swarmw.local/hello@{digest}");
    let template = json!({
        "ContainerSpec": {"Image": image},
        "Placement": {"Platforms": [{"Architecture": "wasm", "OS": "wasip2"}]},
    });
    let task = create(&two.served, json!({"Name": "hello", "TaskTemplate": template})).await;
    *two.served.fake.lines.lock().unwrap() = vec![line(task, "hello\n")];
    let shown = two.served.client.get("/v1.47/containers/hello.1/json").await.json();
    let id = format!("hello.1.{task}");
    assert_eq!((&shown["Id"], &shown["Config"]["Tty"]), (&json!(id), &json!(false)));
    // As clients do: by the id that they were shown.
    let logs = two.served.client.get(&format!("/v1.47/containers/{id}/logs?stdout=1")).await;
    assert!(logs.body.ends_with(b"hello\n"), "{:?}", logs.body);
    for call in ["exec", "attach"] {
        let path = format!("/v1.47/containers/hello.1/{call}");
        let refused = two.served.client.post(&path, json!({})).await;
        assert_eq!(refused.status, 501, "{call}");
        let told = format!("task hello.1.{task} is a component");
        assert!(refused.message().starts_with(&told), "{}", refused.message());
    }
    assert!(two.served.fake.opened.lock().unwrap().is_empty());
}
