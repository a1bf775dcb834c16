//! The API beyond loopback: over TLS, to clients that prove themselves.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{Node, Output};

/// An authority, and what it gave to `server` and to `client`, in files.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&key).expect("an authority");
    fs::write(folder.join("ca.pem"), root.pem()).expect("a file");
    let ca = Issuer::new(params, key);
    for (certificate, key) in [("server.pem", "server-key.pem"), ("cert.pem", "key.pem")] {
        let own = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
        let signed = params.signed_by(&own, &ca).expect("a certificate");
        fs::write(folder.join(certificate), signed.pem()).expect("a file");
        fs::write(folder.join(key), own.serialize_pem()).expect("a file");
    }
}

/// A port that nobody has for now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn the_command_line_speaks_tls_to_a_daemon_that_wants_it() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let port = free_port();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let mut node = Node::new(folder.path(), "n1", [127, 0, 0, 1].into(), "none").serving(&[
        "--host",
        &format!("tcp://0.0.0.0:{port}"),
        "--tlscacert",
        &file("ca.pem"),
        "--tlscert",
        &file("server.pem"),
        "--tlskey",
        &file("server-key.pem"),
    ]);
    node.start();
    let host = format!("tcp://127.0.0.1:{port}");
    let ask = |flags: &[&str], certificates: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmw"));
        command.args(["-H", &host]).args(flags).args(["node", "ls"]);
        command.env_remove("SWARMW_CERT_PATH");
        if let Some(folder) = certificates {
            command.env("SWARMW_CERT_PATH", folder);
        }
        Output::of(&command.output().expect("it starts")).stderr
    };
    let own = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let flags = ["--tlscacert", &own.0, "--tlscert", &own.1, "--tlskey", &own.2];
    let reached = "This node is not a swarm manager.";
    assert!(ask(&flags, None).contains(reached), "{}", ask(&flags, None));
    let by_folder = ask(&[], Some(folder.path()));
    assert!(by_folder.contains(reached), "{by_folder}");

    let clear = ask(&[], None);
    assert!(clear.contains("Are you trying to connect to a TLS-enabled daemon"), "{clear}");
    let half = ask(&["--tlscacert", &own.0], None);
    assert!(half.contains("--tlscert"), "{half}");
    let other = tempfile::tempdir().expect("a folder");
    certificates(other.path());
    let stranger = ask(&[], Some(other.path()));
    assert!(stranger.contains("error during connect"), "{stranger}");
}
