//! Connections that stop being HTTP, beside those of the docker client: web sockets, and
//! sessions of builds.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::support::{Cluster, Node, eventually};

/// Ends a wait for bytes that do not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client of HTTP/2 says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame of settings without any, and the word that the other side's are taken
/// (RFC 9113, 6.5).
const NO_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_TAKEN: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

/// What is typed into a web socket comes back out of the container's `cat`.
pub fn a_container_is_attached_to_by_a_web_socket(node: &Node) {
    let made = node.docker(&["run", "-d", "-i", "--name", "echo", "tool:1", "cat"]);
    assert_eq!(made.code, 0, "{made}");
    let mut stream = upgraded(
        node,
        "GET /v1.41/containers/echo/attach/ws?stream=1&stdin=1&stdout=1",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: http://test",
    );
    // One frame of text, masked as a client's are (RFC 6455, 5.2), by a mask of zeros.
    let typed = b"typed into it\n";
    let length = 0x80 | u8::try_from(typed.len()).expect("short");
    stream.write_all(&[&[0x81, length, 0, 0, 0, 0], &typed[..]].concat()).expect("taken");
    let mut said = Vec::new();
    while said.len() < typed.len() {
        said.extend(frame(&mut stream));
    }
    assert_eq!(said, typed, "{}", String::from_utf8_lossy(&said));
    drop(stream);
    node.docker(&["rm", "-f", "echo"]);
}

/// What one frame of a web socket's server has: short ones, which have no mask.
fn frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("the head of a frame");
    assert!(head[1] < 126, "no short frame without a mask: {head:?}");
    let mut data = vec![0; usize::from(head[1])];
    stream.read_exact(&mut data).expect("what the frame has");
    data
}

/// The engine's BuildKit makes an image of what it is sent, and speaks HTTP/2 to who opens a
/// session.
pub fn an_engine_builds_by_its_build_kit(cluster: &Cluster, node: &Node) {
    let dockerfile = "FROM scratch\nCOPY note /note\nLABEL built=here\n";
    cluster.file("Dockerfile", dockerfile.as_bytes());
    cluster.file("note", b"built\n");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(cluster.folder())
        .args(["-cf", "-", "Dockerfile", "note"])
        .output()
        .expect("tar is installed");
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    let built = posted(node, "/v1.41/build?version=2&t=kit:1", "application/x-tar", &tar.stdout);
    assert!(built.starts_with("HTTP/1.1 200"), "{built}");
    // What only BuildKit says.
    assert!(built.contains("moby.buildkit.trace"), "{built}");
    let label = node.docker(&["image", "inspect", "--format", "{{.Config.Labels.built}}", "kit:1"]);
    assert_eq!(label.stdout, "here\n", "{label}\n{built}");

    let mut session = upgraded(
        node,
        "POST /v1.41/session",
        "Upgrade: h2c\r\nX-Docker-Expose-Session-Uuid: session-of-a-test\r\n\
         X-Docker-Expose-Session-Name: test\r\nX-Docker-Expose-Session-Sharedkey: test",
    );
    let mut said = vec![0; PREFACE.len()];
    session.read_exact(&mut said).expect("the engine's first words");
    assert_eq!(said, PREFACE, "{}", String::from_utf8_lossy(&said));
    session.write_all(&NO_SETTINGS).expect("taken");
    let mut said: Vec<u8> = Vec::new();
    while !said.windows(SETTINGS_TAKEN.len()).any(|frame| *frame == SETTINGS_TAKEN) {
        let mut more = [0; 1024];
        let read = session.read(&mut more).expect("the engine's frames");
        assert_ne!(read, 0, "the session ended without a word of our settings: {said:?}");
        said.extend(&more[..read]);
    }
}

/// A connection that is no longer HTTP, from its first byte on.
fn upgraded(node: &Node, request: &str, head: &str) -> UnixStream {
    let socket = node.socket();
    eventually("the connection is handed over", || {
        let mut stream = UnixStream::connect(&socket).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        let request =
            format!("{request} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n{head}\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
        // Byte by byte: what follows the head is not ours to read here.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(|e| e.to_string())?;
            answer.extend(byte);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.starts_with("HTTP/1.1 101") { Ok(stream) } else { Err(answer) }
    })
}

/// Head and body of what a body is answered with.
fn posted(node: &Node, path: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = UnixStream::connect(node.socket()).expect("the daemon's socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a stream that waits");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("its end");
    String::from_utf8_lossy(&answer).into_owned()
}
