//! UDP: a session per client and the address that it asks.

mod sessions;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;

use crate::Datagrams;
use crate::ports::Job;
use sessions::Sessions;
use socket::{Caller, Socket};

/// A session without datagrams for so long ends.
pub const SESSION_IDLE: Duration = Duration::from_secs(30);
/// Sessions of one port at a time; beyond it the one longest silent goes.
pub const SESSIONS_MAX: usize = 4_096;
/// Datagrams that wait for a session; beyond it they are dropped, as UDP may.
const WAITING_MAX: usize = 64;
/// The largest datagram.
const DATAGRAM_MAX: usize = 65_535;

/// Forwards until the port is closed or nobody serves it, and returns when the socket is
/// closed: its sessions have ended by then. While tasks leave, their clients keep them, and who
/// has none yet is not heard: the kernel could not tell both apart.
///
/// # Errors
/// The kernel does not tell at which address a datagram was asked for.
pub(crate) async fn serve(socket: UdpSocket, job: &Job) -> io::Result<()> {
    let socket = Arc::new(Socket::new(socket)?);
    let mut served = job.backends.follow();
    let mut sessions = Sessions::default();
    let mut conversations = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let keeps = !conversations.is_empty();
        let received = tokio::select! {
            () = job.close.cancelled() => break,
            _ = served.wait_for(|served| served.is_over(keeps)) => break,
            Some(ended) = conversations.join_next() => {
                if let Ok(caller) = ended {
                    sessions.forget_ended(caller);
                }
                continue;
            }
            received = socket.receive(&mut buffer) => received,
        };
        let Ok((size, caller)) = received else { continue };
        if !job.backends.are_some() && !sessions.has(caller) {
            continue;
        }
        let session = sessions.heard(caller, || {
            let (session, datagrams) = mpsc::channel(WAITING_MAX);
            let (socket, job) = (socket.clone(), job.clone());
            conversations.spawn(async move {
                converse(&socket, caller, job, datagrams).await;
                caller
            });
            session
        });
        // A full queue drops the datagram.
        let _ = session.try_send(buffer[..size].to_vec());
    }
    conversations.shutdown().await;
    Ok(())
}

async fn converse(
    socket: &Socket,
    caller: Caller,
    job: Job,
    mut from_client: mpsc::Receiver<Vec<u8>>,
) {
    let Some(task) = reach(&job).await else { return };
    loop {
        let moved = tokio::select! {
            () = tokio::time::sleep(SESSION_IDLE) => return,
            datagram = from_client.recv() => match datagram {
                Some(datagram) => task.send(&datagram).await,
                None => return,
            },
            answer = task.receive() => match answer {
                Ok(answer) => socket.answer(&answer, caller).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = moved {
            debug!(client = %caller.client, %error, "a UDP session ends");
            return;
        }
    }
}

async fn reach(job: &Job) -> Option<Box<dyn Datagrams>> {
    for backend in job.backends.round() {
        let task = backend.task;
        let target = job.target_of(&backend);
        match job.reach.udp(backend, target).await {
            Ok(datagrams) => return Some(datagrams),
            Err(error) => debug!(%task, %error, "a task cannot be reached"),
        }
    }
    None
}
