//! TCP: a connection in, a connection out, bytes both ways.

use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use crate::ports::Job;

/// Connections of one port at a time; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 10_000;
/// After accepting failed (too many open files), before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A task that does not take the connection by then is passed over.
const REACH_DEADLINE: Duration = Duration::from_secs(5);

pub(crate) async fn serve(listener: TcpListener, job: &Job) {
    loop {
        let Ok(place) = job.places.clone().acquire_owned().await else { return };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let job = job.clone();
        tokio::spawn(async move {
            let end = job.end.clone();
            tokio::select! {
                () = end.cancelled() => {}
                () = forward(client, job) => {}
            }
            drop(place);
        });
    }
}

/// Forwards to the first task that can be reached, beginning with the one whose
/// turn it is. Without any the connection is reset.
async fn forward(mut client: TcpStream, job: Job) {
    let _ = client.set_nodelay(true);
    for backend in job.backends.round() {
        let task = backend.task;
        let target = job.target_of(&backend);
        let reached = tokio::time::timeout(REACH_DEADLINE, job.reach.tcp(backend, target));
        match reached.await {
            Ok(Ok(mut server)) => {
                // Either side may end it at any time: that is no error of ours.
                let _ = copy_bidirectional(&mut client, &mut server).await;
                return;
            }
            Ok(Err(error)) => debug!(%task, %error, "a task cannot be reached"),
            Err(_) => debug!(%task, "a task did not answer in time"),
        }
    }
    // It was accepted before that was known: the client is not to take it for an answer.
    let _ = client.set_zero_linger();
}
