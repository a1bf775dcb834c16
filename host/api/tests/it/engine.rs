//! What passes through to the node's container engine.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::client::filters;
use crate::fake::{Served, leader, leading, serve};
use swarmw_api::Standing;

/// An engine that says what it was asked, and echoes what is hijacked.
#[derive(Clone)]
pub struct Engine {
    pub socket: PathBuf,
    pub asked: Arc<Mutex<Vec<String>>>,
    /// Whether it answers everything but a ping with an error.
    pub broken: Arc<Mutex<bool>>,
    /// The containers that it has.
    pub containers: Arc<Mutex<Vec<String>>>,
    /// The oldest version that it answers, and the newest.
    pub speaks: (&'static str, &'static str),
}

pub fn engine(folder: &Path) -> Engine {
    engine_at(folder.join("engine.sock"))
}

pub fn engine_at(socket: PathBuf) -> Engine {
    engine_of(socket, ("1.12", "1.41"))
}

/// One that answers these versions alone.
pub fn engine_of(socket: PathBuf, speaks: (&'static str, &'static str)) -> Engine {
    let listener = UnixListener::bind(&socket).expect("binds");
    let engine = Engine {
        socket,
        asked: Arc::default(),
        broken: Arc::default(),
        containers: Arc::default(),
        speaks,
    };
    let serving = engine.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let engine = serving.clone();
            let service = service_fn(move |request| answer(request, engine.clone()));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    engine
}

async fn answer(
    mut request: Request<Incoming>,
    engine: Engine,
) -> Result<Response<Body>, Infallible> {
    let Engine { asked, broken, containers, speaks: (oldest, newest), .. } = engine;
    let path = request.uri().to_string();
    asked.lock().unwrap().push(path.clone());
    let response = Response::builder()
        .header("api-version", newest)
        .header("builder-version", "1")
        .header("docker-experimental", "true");
    let body = if path == "/_ping" {
        Body::from("OK")
    } else if *broken.lock().unwrap() {
        let body = json!({"message": "out of order"}).to_string();
        return Ok(response
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .body(Body::from(body))
            .expect("a response"));
    } else if path.ends_with("/info") {
        Body::from(
            json!({"Name": "box", "Containers": 7, "Swarm": {"LocalNodeState": "inactive"}})
                .to_string(),
        )
    } else if path.ends_with("/version") {
        Body::from(
            json!({"Version": "20.10.24", "ApiVersion": newest, "MinAPIVersion": oldest,
                "Components": [{"Name": "Engine"}]})
            .to_string(),
        )
    } else if path.contains("/networks") {
        Body::from("[]")
    } else if path.contains("/events") {
        let event = json!({"Type": "container", "Action": "start"}).to_string();
        let (head, tail) = event.split_at(10);
        let pieces = [head.to_owned(), format!("{tail}\n")];
        let pieces = pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        Body::from_stream(stream::iter(pieces).chain(stream::pending()))
    } else if path.ends_with("/exec/0ab9/json") {
        Body::from(json!({"ID": "0ab9", "Running": false, "ExitCode": 7}).to_string())
    } else if path.ends_with("/exec") {
        let made = Body::from(json!({"Id": "0ab9"}).to_string());
        return Ok(response.status(StatusCode::CREATED).body(made).expect("a response"));
    } else if let Some(name) = container_inspected(&path) {
        if containers.lock().unwrap().iter().any(|known| known == name) {
            let shown = Body::from(json!({"Id": "0ab9"}).to_string());
            return Ok(response.body(shown).expect("a response"));
        }
        let body = json!({"message": format!("No such container: {name}")}).to_string();
        return Ok(response
            .status(StatusCode::NOT_FOUND)
            .body(Body::from(body))
            .expect("a response"));
    } else if ["/exec/", "/attach", "/session", "/grpc"].iter().any(|to| path.contains(to)) {
        let to = request.headers().get("upgrade").cloned();
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.expect("upgraded"));
            let mut text = String::new();
            // To the end: a client that has said all closes its half.
            io.read_to_string(&mut text).await.expect("read");
            io.write_all(format!("echo {text}").as_bytes()).await.expect("written");
            io.shutdown().await.expect("shut down");
        });
        return Ok(response
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "Upgrade")
            .header("upgrade", to.unwrap_or(HeaderValue::from_static("tcp")))
            .body(Body::empty())
            .expect("a response"));
    } else {
        Body::new(request.into_body())
    };
    Ok(response.header("x-engine", "yes").body(body).expect("a response"))
}

/// The container of `/v1.41/containers/NAME/json`.
fn container_inspected(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/containers/")?;
    rest.strip_suffix("/json").filter(|name| !name.contains('/'))
}

async fn with_engine() -> (Served, Engine) {
    let served = leader().await;
    let engine = engine(served.folder.path());
    *served.fake.engine.lock().unwrap() = Some(engine.socket.clone());
    (served, engine)
}

#[tokio::test]
async fn what_is_not_swarms_passes_through_in_a_version_that_the_engine_speaks() {
    let (served, engine) = with_engine().await;
    for (path, seen) in [
        ("/v1.47/containers/json?all=1", "/v1.41/containers/json?all=1"),
        ("/v1.30/images/json", "/v1.30/images/json"),
        ("/containers/json", "/v1.41/containers/json"),
        ("/distribution/redis:7/json", "/v1.41/distribution/redis:7/json"),
    ] {
        let answered = served.client.get(path).await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.header("x-engine"), "yes");
        assert_eq!(answered.header("api-version"), "1.47");
        assert_eq!(engine.asked.lock().unwrap().last().expect("asked"), seen);
    }
    let body = json!({"Image": "redis"});
    let echoed = served.client.post("/v1.41/containers/create", body.clone()).await;
    assert_eq!(echoed.json(), body);
    let pings = engine.asked.lock().unwrap().iter().filter(|p| *p == "/_ping").count();
    assert_eq!(pings, 1, "the engine's version is asked once");
}

#[tokio::test]
async fn clients_older_than_what_the_engine_answers_are_asked_for_in_its_oldest_version() {
    let served = leader().await;
    let engine = engine_of(served.folder.path().join("engine.sock"), ("1.44", "1.52"));
    *served.fake.engine.lock().unwrap() = Some(engine.socket.clone());
    for (path, seen) in [
        ("/v1.24/containers/json", "/v1.44/containers/json"),
        ("/v1.41/images/json?all=1", "/v1.44/images/json?all=1"),
        ("/v1.45/images/json", "/v1.45/images/json"),
        ("/images/json", "/v1.47/images/json"),
    ] {
        let answered = served.client.get(path).await;
        assert_eq!(answered.status, 200, "{path}");
        assert_eq!(engine.asked.lock().unwrap().last().expect("asked"), seen);
    }
    // All is what a client of 1.41 means, and what it promised its user.
    served.client.post("/v1.41/volumes/prune", json!({})).await;
    let all = filters(r#"{"all":{"true":true}}"#);
    let asked = engine.asked.lock().unwrap().last().cloned();
    assert_eq!(asked, Some(format!("/v1.44/volumes/prune?{all}")));
}

#[tokio::test]
async fn clients_build_as_the_engine_recommends() {
    let (served, _engine) = with_engine().await;
    for method in ["GET", "HEAD"] {
        let pong = served.client.call(method, "/_ping", None).await;
        assert_eq!(
            (pong.header("builder-version"), pong.header("docker-experimental")),
            ("1", "true")
        );
        assert_eq!(pong.header("api-version"), "1.47", "of the API here, not the engine's");
    }
    let listed = served.client.get("/v1.41/services").await;
    assert_eq!(listed.header("docker-experimental"), "true", "what the engine said last");
    // Without an engine nothing can be built, and one that is away hides nobody else.
    for engine in [None, Some("/nowhere/docker.sock".into())] {
        let served = leader().await;
        *served.fake.engine.lock().unwrap() = engine;
        let pong = served.client.get("/_ping").await;
        assert_eq!(pong.status, 200);
        assert_eq!(
            (pong.header("builder-version"), pong.header("docker-experimental")),
            ("", "false")
        );
    }
}

#[tokio::test]
async fn what_the_engine_is_too_old_for_is_refused_by_name_and_defaults_pass() {
    let (served, engine) = with_engine().await;
    let passed = || {
        let asked = std::mem::take(&mut *engine.asked.lock().unwrap());
        asked.into_iter().filter(|path| path.contains("/v1.")).collect::<Vec<_>>()
    };
    let subpath = json!({"Image": "x", "HostConfig": {"Mounts": [
        {"Type": "volume", "Source": "v", "Target": "/d", "VolumeOptions": {"Subpath": "a"}}]}});
    let refused = served.client.post("/v1.47/containers/create", subpath.clone()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.message().as_str()),
        (
            400,
            "HostConfig.Mounts.VolumeOptions.Subpath wants an engine of API 1.45 or later (Docker \
             26.0), and this node's speaks 1.41: leave it out, or use a node with a newer engine"
        )
    );
    let mac = json!({"Container": "web", "EndpointConfig": {"MacAddress": "02:42:ac:11:00:02"}});
    for (path, body, name) in [
        ("/containers/create", subpath.clone(), "Subpath"),
        ("/containers/web/stop?t=1&signal=SIGINT", json!({}), "the parameter signal"),
        ("/v1.42/containers/web/restart?signal=SIGINT", json!({}), "the parameter signal"),
        ("/networks/bridge/connect", mac, "EndpointConfig.MacAddress"),
    ] {
        let refused = served.client.post(path, body).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.message().contains(name), "{path}: {}", refused.message());
    }
    assert_eq!(passed(), [""; 0], "nothing was made or stopped");
    // As the docker client 28 writes `docker run x`, with all that it writes for nothing.
    let plain = json!({
        "Hostname": "", "Tty": false, "Image": "x", "Healthcheck": {"Interval": 5},
        "HostConfig": {"Binds": null, "NetworkMode": "default", "ConsoleSize": [24, 80],
            "CgroupnsMode": "", "Annotations": null, "Mounts": [{"Type": "bind", "Source": "/s",
                "Target": "/t", "BindOptions": {"ReadOnlyNonRecursive": true}}]},
        "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": null, "Links": null,
            "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0}}},
    });
    let echoed = served.client.post("/v1.47/containers/create", plain.clone()).await;
    assert_eq!((echoed.status.as_u16(), echoed.json()), (200, plain));
    // A client that speaks the engine's own version gets what the engine gives.
    let old = served.client.post("/v1.41/containers/create", subpath.clone()).await;
    assert_eq!((old.status.as_u16(), old.json()), (200, subpath));
    let stopped = served.client.post("/v1.47/containers/web/stop?t=1&signal=", json!({})).await;
    assert_eq!(stopped.status, 200);
}

#[tokio::test]
async fn large_bodies_stream_through_unbounded() {
    let (served, _engine) = with_engine().await;
    let piece = Bytes::from(vec![7; 1 << 20]);
    let pieces = stream::iter((0..80).map(move |_| Ok::<_, Infallible>(piece.clone())));
    let request = Request::post("/v1.41/images/load")
        .header("host", "docker")
        .body(Body::from_stream(pieces))
        .expect("a request");
    let echoed = served.client.send(request).await;
    assert_eq!(echoed.body.len(), 80 << 20);
}

#[tokio::test]
async fn what_is_swarms_never_reaches_the_engine() {
    let (served, engine) = with_engine().await;
    for path in ["/nodes", "/services", "/tasks", "/secrets", "/swarm", "/swarm/x", "/swarmw/x"] {
        served.client.get(path).await;
    }
    served.client.call("PUT", "/services", None).await;
    assert!(engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn info_and_version_are_merged() {
    let (served, _engine) = with_engine().await;
    let info = served.client.get("/info").await.json();
    assert_eq!(info["Containers"], 7);
    assert_eq!(info["Swarm"]["LocalNodeState"], "active");
    let version = served.client.get("/version").await.json();
    assert_eq!(version["Version"], "20.10.24");
    assert_eq!(version["ApiVersion"], "1.47");
    assert_eq!(version["MinAPIVersion"], "1.24");
    let names: Vec<_> =
        version["Components"].as_array().expect("a list").iter().map(|c| &c["Name"]).collect();
    assert_eq!(names, ["Engine", "swarmw"]);
}

#[tokio::test]
async fn an_engine_that_is_away_is_named() {
    let served = leader().await;
    *served.fake.engine.lock().unwrap() = Some("/nowhere/docker.sock".into());
    let refused = served.client.get("/containers/json").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused
            .message()
            .starts_with("the container engine at unix:///nowhere/docker.sock does not answer: "),
        "{}",
        refused.message()
    );
    let info = served.client.get("/info").await.json();
    let warning = info["Warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("/nowhere/docker.sock"), "{warning}");
    assert_eq!(info["Swarm"]["LocalNodeState"], "active");
}

#[tokio::test]
async fn hijacked_connections_are_joined_end_to_end() {
    let (served, engine) = with_engine().await;
    // A build's session and its other questions are HTTP/2 both ways, of which we read nothing.
    for (path, to) in [
        ("/v1.41/exec/abc/start", "tcp"),
        ("/v1.47/session", "h2c"),
        ("/session", "h2c"),
        ("/v1.47/grpc", "h2c"),
    ] {
        let mut stream = UnixStream::connect(&served.client.0).await.expect("connects");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{path}: {head}");
        assert!(head.contains(&format!("upgrade: {to}")), "{path}: {head}");
        stream.write_all(b"hello").await.expect("sent");
        stream.shutdown().await.expect("half closed");
        let mut echoed = String::new();
        stream.read_to_string(&mut echoed).await.expect("read");
        assert_eq!(echoed, "echo hello", "{path}");
    }
    let asked = engine.asked.lock().unwrap().clone();
    let sessions = asked.iter().filter(|path| *path == "/v1.41/session").count();
    assert_eq!(sessions, 2, "{asked:?}");
}

#[tokio::test]
async fn a_node_without_an_engine_says_what_to_do() {
    let served = serve(Standing::Inactive).await;
    served.fake.set(leading());
    let refused = served.client.get("/v1.41/containers/json").await;
    assert_eq!(refused.status, 503);
    assert!(refused.message().contains("--engine unix://"), "{}", refused.message());
}

#[tokio::test]
async fn a_node_without_an_engine_looks_images_up_itself() {
    let served = serve(Standing::Inactive).await;
    served.fake.set(leading());
    let found = served.client.get("/v1.41/distribution/reg.example/hello:1/json").await.json();
    assert_eq!(found["Descriptor"]["digest"], "sha256:ab");
    assert_eq!(found["Platforms"][0]["architecture"], "wasm");
    let refused = served.client.get("/distribution/nowhere/json").await;
    assert_eq!(refused.status, 500);
    assert_eq!(refused.message(), "no nowhere");
}

#[tokio::test]
async fn an_engine_out_of_order_does_not_hide_the_cluster() {
    let (served, engine) = with_engine().await;
    *engine.broken.lock().unwrap() = true;
    let info = served.client.get("/info").await.json();
    let warning = info["Warnings"][0].as_str().expect("a warning");
    assert!(warning.ends_with("/info gives 500 Internal Server Error"), "{warning}");
    assert_eq!(info["Swarm"]["ControlAvailable"], true);
    let version = served.client.get("/version").await.json();
    assert_eq!(version["Platform"]["Name"], "swarmw");
    let events = served.client.get("/events?until=12").await;
    assert_eq!(events.status, 200);
    let passed = served.client.get("/containers/json").await;
    assert_eq!((passed.status.as_u16(), passed.message().as_str()), (500, "out of order"));
}
