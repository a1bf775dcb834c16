//! Queries in streams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::debug;

use super::Responder;
use crate::desk::{Decision, QUERY_MAX, Transport};
use crate::forward::{read_message, write_message};

/// Connections of one sandbox at a time; more wait until one is closed.
pub const CONNECTIONS_MAX: usize = 64;
/// A connection on which nothing moves for so long is closed.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(10);
/// A socket that fails is not asked again at once.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Answers until it is aborted, and with it all connections.
pub(super) async fn serve(listener: TcpListener, responder: Arc<Responder>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, place)) => {
                let responder = responder.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &responder).await {
                        debug!(%error, "a connection ends");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "no connection is accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// One query after the other, until the client closes or says nothing.
async fn converse(mut stream: TcpStream, responder: &Responder) -> io::Result<()> {
    loop {
        let query = in_time(read_message(&mut stream, QUERY_MAX)).await?;
        let reply = match responder.at_once(&query, Transport::Tcp) {
            Decision::Silence => return Ok(()),
            Decision::Reply(reply) => Some(reply),
            Decision::Forward => responder.forwarded(&query, Transport::Tcp).await,
        };
        let Some(reply) = reply else { return Ok(()) };
        in_time(write_message(&mut stream, &reply)).await?;
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(CONNECTION_IDLE, work).await?
}
