//! By its socket.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use swarmw_engine_driver::{CALL_DEADLINE, Driver, Memory, REQUEST_MAX, ServeError};
use swarmw_test_engine::Veths;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn driver(folder: &Path) -> Driver {
    let memory = Memory::open(folder.join("memory")).expect("opens");
    Driver::new(Arc::new(Veths::new(vec!["false".to_owned()])), Arc::new(memory))
}

/// One request as an engine sends it; status and body.
pub async fn ask(socket: &Path, method: &str, body: &str) -> (u16, String) {
    let (socket, request) = (
        socket.to_owned(),
        format!(
            "POST /{method} HTTP/1.1\r\nHost: plugins.moby.localhost\r\nConnection: close\r\n\
             Accept: application/vnd.docker.plugins.v1.2+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
        // Refused before its end is read.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.expect("a status"), body.to_owned())
    })
    .await
    .expect("asked")
}

#[tokio::test]
async fn an_engine_finds_a_driver_that_only_its_owner_may_call_and_that_goes_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("plugins/swarmw.sock");

    let serving = driver(folder.path()).serve(&socket).await.expect("serves");

    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names = std::fs::read_dir(socket.parent().expect("a folder")).expect("its files");
    assert_eq!(names.count(), 1, "nothing but the socket");
    let (status, body) = ask(&socket, "Plugin.Activate", "").await;
    assert_eq!((status, body.as_str()), (200, r#"{"Implements":["NetworkDriver","IpamDriver"]}"#));
    let (status, body) = ask(&socket, "VolumeDriver.Create", "{}").await;
    assert_eq!(status, 404);
    assert!(body.contains(r#""Err":"this driver has no method"#), "{body}");
    serving.end().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_living_drivers_socket_is_left_alone_and_a_dead_ones_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("swarmw.sock");
    let first = driver(folder.path()).serve(&socket).await.expect("serves");
    let second = driver(folder.path()).serve(&socket).await;
    assert!(matches!(second, Err(ServeError::InUse(_))), "{second:?}");
    first.end().await;

    drop(UnixListener::bind(&socket).expect("a socket that nobody listens on any more"));
    let third = driver(folder.path()).serve(&socket).await.expect("serves");
    // Somebody took its place: it is not removed with ours.
    std::fs::remove_file(&socket).expect("removed");
    std::fs::write(&socket, "").expect("another file");
    third.end().await;
    assert!(socket.exists());
    let fourth = driver(folder.path()).serve(&socket).await;
    assert!(matches!(fourth, Err(ServeError::NotASocket(_))), "{fourth:?}");
}

#[tokio::test]
async fn a_request_that_is_too_long_or_no_request_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("swarmw.sock");
    let _serving = driver(folder.path()).serve(&socket).await.expect("serves");
    let long = "x".repeat(REQUEST_MAX + 1);
    let (status, body) = ask(&socket, "NetworkDriver.Join", &long).await;
    assert_eq!(status, 413, "{body}");
    for (method, sent) in [
        ("NetworkDriver.Join", "{"),
        ("NetworkDriver.CreateEndpoint", r#"{"NetworkID":"../../etc","EndpointID":"a"}"#),
        ("IpamDriver.RequestAddress", r#"{"PoolID":"LocalDefault/10.0.0.0/24"}"#),
        ("IpamDriver.ReleaseAddress", r#"{"PoolID":"x","Address":"y"}"#),
    ] {
        let (status, body) = ask(&socket, method, sent).await;
        assert_eq!(status, 200);
        assert!(body.starts_with(r#"{"Err":""#) && body.contains(r#","Error":""#), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_answered_before_the_engine_gives_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("swarmw.sock");
    let memory = Memory::open(folder.path().join("memory")).expect("opens");
    let driver = Driver::new(Arc::new(Veths::silent()), Arc::new(memory));
    let _serving = driver.serve(&socket).await.expect("serves");
    let begun = tokio::time::Instant::now();

    let mut stream = tokio::net::UnixStream::connect(&socket).await.expect("connects");
    let body = r#"{"PoolID":"000000000000000000000001p/0.0.0.0/0","Address":""}"#;
    let request = format!(
        "POST /IpamDriver.RequestAddress HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");

    assert!(
        answer.contains(r#""Err":"IpamDriver.RequestAddress took longer than 20 s"#),
        "{answer}"
    );
    assert_eq!(begun.elapsed().as_secs(), CALL_DEADLINE.as_secs());
}
