//! Queries in datagrams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tracing::debug;

use super::Responder;
use crate::desk::{Decision, QUERY_MAX, Transport};

/// A socket that fails is not asked again at once.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Answers until it is aborted, and with it what still waits for the engine.
pub(super) async fn serve(socket: UdpSocket, responder: Arc<Responder>) {
    let socket = Arc::new(socket);
    let mut forwards = JoinSet::new();
    // A longer one is cut, and so is no message.
    let mut buffer = vec![0; QUERY_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = forwards.join_next() => continue,
        };
        let (query, client) = match received {
            Ok((size, client)) => (&buffer[..size], client),
            Err(error) => {
                debug!(%error, "no query is received");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        match responder.at_once(query, Transport::Udp) {
            Decision::Silence => {}
            Decision::Reply(reply) => send(&socket, client, &reply).await,
            Decision::Forward => {
                let (responder, socket, query) =
                    (responder.clone(), socket.clone(), query.to_vec());
                forwards.spawn(async move {
                    if let Some(answer) = responder.forwarded(&query, Transport::Udp).await {
                        send(&socket, client, &answer).await;
                    }
                });
            }
        }
    }
}

/// A client that is gone gets no answer.
async fn send(socket: &UdpSocket, client: SocketAddr, answer: &[u8]) {
    if let Err(error) = socket.send_to(answer, client).await {
        debug!(%client, %error, "an answer is not sent");
    }
}
