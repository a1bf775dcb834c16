//! Sockets.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use swarmw_api::{Api, ListenError, Listener, Standing};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::fake::{leader, serve};

#[tokio::test]
async fn a_socket_has_its_mode_and_a_live_one_is_not_taken() {
    let served = serve(Standing::Inactive).await;
    let path = served.client.0.clone();
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let taken = Listener::unix(&path, 0o660).await.err();
    assert!(matches!(taken, Some(ListenError::InUse(_))), "{taken:?}");
    assert_eq!(served.client.get("/_ping").await.status, 200);
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_another_file_is_not() {
    let served = leader().await;
    let path = served.folder.path().join("other.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
    let listener = Listener::unix(&path, 0o600).await.expect("listens");
    assert_eq!(listener.address(), format!("unix://{}", path.display()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(served.api.clone(), stop.clone()));
    assert_eq!(Client::new(&path).get("/nodes").await.status, 200);
    stop.cancel();
    serving.await.expect("ends");
    assert!(!path.exists(), "the file goes with the daemon");

    let file = served.folder.path().join("precious");
    std::fs::write(&file, "words").expect("written");
    let refused = Listener::unix(&file, 0o600).await.err();
    assert!(matches!(refused, Some(ListenError::NotASocket(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "words");
}

#[tokio::test]
async fn tcp_answers_too_on_loopback_or_with_tls() {
    let served = serve(Standing::Inactive).await;
    let open = Listener::tcp("0.0.0.0:0".parse().expect("an address"), None).await;
    assert!(matches!(open.err(), Some(ListenError::NeedsTls(_))));
    let api: Api = served.api.clone();
    let listener =
        Listener::tcp("127.0.0.1:0".parse().expect("an address"), None).await.expect("listens");
    let address = listener.address().replace("tcp://", "");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(api, stop.clone()));
    let mut stream = tokio::net::TcpStream::connect(&address).await.expect("connects");
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream
        .write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("OK"), "{answer}");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), serving).await.expect("in time").expect("ends");
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_configured() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = serve(Standing::Inactive).await;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.expect("a key"))
        .expect("a configuration");
    let listener =
        Listener::tcp("127.0.0.1:0".parse().expect("an address"), Some(Arc::new(config)))
            .await
            .expect("listens");
    let address = listener.address().replace("tcp://", "");
    let stop = CancellationToken::new();
    tokio::spawn(listener.serve(served.api.clone(), stop.clone()));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(&address).await.expect("connects");
    let name = "localhost".try_into().expect("a name");
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .expect("a handshake");
    stream
        .write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    stop.cancel();
}
