//! What is let through to an engine, and what becomes of it.

use std::path::PathBuf;

use hyper::client::conn::http1::handshake;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;

const NEW: ApiVersion = ApiVersion::v1(47);

fn passed(method: &str, path: &str, engine: ApiVersion) -> Option<String> {
    let uri: Uri = path.parse().expect("a path");
    let (asked, wanted) = wanted(method, uri.path())?;
    let uri = at_the_engine("web.1.t", &wanted, asked.min(engine), uri.query());
    Some(uri.expect("a path").to_string())
}

#[test]
fn whatever_container_is_named_the_tasks_own_is_asked() {
    for (method, path, at_the_engine) in [
        ("POST", "/v1.47/containers/other/exec", "/v1.47/containers/web.1.t/exec"),
        ("GET", "/v1.47/containers/x/logs?tail=3", "/v1.47/containers/web.1.t/logs?tail=3"),
        ("GET", "/v1.41/containers/x/attach/ws", "/v1.41/containers/web.1.t/attach/ws"),
        ("POST", "/v1.47/exec/0ab9/start", "/v1.47/exec/0ab9/start"),
    ] {
        let passed = passed(method, path, NEW);
        assert_eq!(passed.as_deref(), Some(at_the_engine), "{method} {path}");
    }
}

#[test]
fn an_older_engine_is_asked_in_its_own_version() {
    let passed = passed("GET", "/v1.47/containers/x/json", ApiVersion::v1(41));
    assert_eq!(passed.as_deref(), Some("/v1.41/containers/web.1.t/json"));
}

#[test]
fn nothing_else_of_the_engine_is_reached() {
    for (method, path) in [
        ("GET", "/v1.47/containers/json"),
        ("POST", "/v1.47/containers/create"),
        ("DELETE", "/v1.47/containers/x"),
        ("POST", "/v1.47/containers/x/stop"),
        ("POST", "/v1.47/containers/x/exec/../../create"),
        ("POST", "/v1.47/exec/../images/create"),
        ("POST", "/v1.47/exec/%2e%2e/start"),
        ("POST", "/v1.47/exec//start"),
        ("GET", "/v1.47/images/x/json"),
        ("GET", "/containers/x/json"),
        ("GET", "/vx/containers/x/json"),
    ] {
        assert_eq!(passed(method, path, NEW), None, "{method} {path}");
    }
}

/// An engine that has two containers and a command in each, and says what it was asked.
async fn engine_answer(
    mut request: Request<Incoming>,
    version: Value,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let versioned = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
    let told = match versioned.map_or(&path[1..], |(_, rest)| rest) {
        "version" => version,
        "containers/web.1.t/json" => json!({ "Id": "c1", "State": {} }),
        "exec/aa/json" => json!({ "ID": "aa", "ContainerID": "c1", "ExitCode": 7 }),
        "exec/bb/json" => json!({ "ID": "bb", "ContainerID": "c2", "ExitCode": 7 }),
        "exec/aa/start" => {
            let taken = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut streams = TokioIo::new(taken.await.expect("upgraded"));
                let mut said = String::new();
                // To the end of what the client says.
                streams.read_to_string(&mut said).await.expect("read");
                streams.write_all(format!("echo {said}").as_bytes()).await.expect("written");
                streams.shutdown().await.expect("shut down");
            });
            let response = Response::builder().status(101).header("connection", "Upgrade");
            return Ok(response.header(UPGRADE, "tcp").body(nothing()).expect("a response"));
        }
        "exec/cc/json" => return Ok(refusal((StatusCode::NOT_FOUND, "no cc".to_owned()))),
        _ => json!({ "path": path }),
    };
    let body = Full::new(Bytes::from(told.to_string())).map_err(|never| match never {});
    Ok(Response::new(body.boxed()))
}

fn engine(socket: &Path) {
    engine_of(socket, json!({ "ApiVersion": "1.41" }));
}

/// One that says this of its version.
fn engine_of(socket: &Path, version: Value) {
    let listener = UnixListener::bind(socket).expect("binds");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let version = version.clone();
            let answer = service_fn(move |request| engine_answer(request, version.clone()));
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(serving.with_upgrades());
        }
    });
}

/// Sends a request as a manager does, and gives the answer.
async fn call(socket: PathBuf, method: &str, path: &str) -> Response<Incoming> {
    let places = Arc::new(Semaphore::new(1));
    let place = places.try_acquire_owned().expect("a place");
    let container =
        Container { engine: Engine::new(socket), name: "web.1.t".to_owned(), _place: place };
    let (near, far) = tokio::io::duplex(1 << 10);
    tokio::spawn(Arc::new(container).serve(Box::new(far)));
    let (mut sender, connection) = handshake(TokioIo::new(near)).await.expect("shakes hands");
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().method(method).uri(path).header("host", "docker");
    if path.ends_with("/start") {
        request = request.header("connection", "Upgrade").header(UPGRADE, "tcp");
    }
    let request = request.body(nothing()).expect("a request");
    sender.send_request(request).await.expect("an answer")
}

async fn told(socket: &Path, method: &str, path: &str) -> (u16, String) {
    let answer = call(socket.to_owned(), method, path).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn an_engine_that_answers_newer_versions_alone_is_asked_in_its_oldest() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("engine.sock");
    engine_of(&socket, json!({ "ApiVersion": "1.52", "MinAPIVersion": "1.44" }));
    for (asked, seen) in [("1.41", "1.44"), ("1.45", "1.45"), ("1.47", "1.47")] {
        let (status, said) = told(&socket, "GET", &format!("/v{asked}/containers/x/top")).await;
        let want = format!(r#"{{"path":"/v{seen}/containers/web.1.t/top"}}"#);
        assert_eq!((status, said), (200, want));
    }
}

#[tokio::test]
async fn the_engine_is_asked_for_the_tasks_container_and_its_commands_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("engine.sock");
    engine(&socket);
    let (status, said) = told(&socket, "GET", "/v1.47/containers/other/top").await;
    assert_eq!((status, &*said), (200, r#"{"path":"/v1.41/containers/web.1.t/top"}"#));
    let (status, said) = told(&socket, "GET", "/v1.47/exec/aa/json").await;
    assert!(status == 200 && said.contains(r#""ExitCode":7"#), "{status} {said}");
    let (status, said) = told(&socket, "GET", "/v1.47/exec/bb/json").await;
    assert_eq!((status, &*said), (404, r#"{"message":"No such exec instance: bb"}"#));
    let (status, said) = told(&socket, "GET", "/v1.47/exec/cc/json").await;
    assert_eq!((status, &*said), (404, r#"{"message":"no cc"}"#));
    let (status, said) = told(&socket, "POST", "/v1.47/containers/web.1.t/stop").await;
    assert!(status == 501 && said.contains("is not answered for other nodes"), "{said}");
}

#[tokio::test]
async fn streams_are_joined_and_a_shut_half_is_passed_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("engine.sock");
    engine(&socket);
    let mut answer = call(socket, "POST", "/v1.47/exec/aa/start").await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let taken = hyper::upgrade::on(&mut answer).await.expect("taken over");
    let mut streams = TokioIo::new(taken);
    streams.write_all(b"hello").await.expect("said");
    streams.shutdown().await.expect("half closed");
    let mut said = String::new();
    streams.read_to_string(&mut said).await.expect("read");
    assert_eq!(said, "echo hello");
}

#[tokio::test]
async fn an_engine_that_is_away_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("engine.sock");
    let (status, said) = told(&socket, "GET", "/v1.47/containers/x/json").await;
    assert!(status == 503 && said.contains("Cannot connect to the Docker daemon"), "{said}");
}
