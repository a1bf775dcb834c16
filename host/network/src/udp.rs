//! UDP: a session per client address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use crate::Datagrams;
use crate::ports::Job;

/// A session without datagrams for so long ends.
pub const SESSION_IDLE: Duration = Duration::from_secs(30);
/// Sessions of one port at a time; beyond it the one longest silent goes.
pub const SESSIONS_MAX: usize = 4_096;
/// Datagrams that wait for a session; beyond it they are dropped, as UDP may.
const WAITING_MAX: usize = 64;
/// The largest datagram.
const DATAGRAM_MAX: usize = 65_535;

struct Session {
    datagrams: mpsc::Sender<Vec<u8>>,
    heard: Instant,
}

pub(crate) async fn serve(socket: UdpSocket, job: Job) {
    let socket = Arc::new(socket);
    let mut sessions: HashMap<SocketAddr, Session> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((size, client)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer[..size].to_vec();
        let now = Instant::now();
        sessions.retain(|_, session| !session.datagrams.is_closed());
        if !sessions.contains_key(&client) && sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, s)| s.heard).map(|(client, _)| *client);
            oldest.and_then(|client| sessions.remove(&client));
        }
        let session = sessions.entry(client).or_insert_with(|| {
            let (datagrams, receiver) = mpsc::channel(WAITING_MAX);
            tokio::spawn(converse(socket.clone(), client, job.clone(), receiver));
            Session { datagrams, heard: now }
        });
        session.heard = now;
        // A full queue drops the datagram.
        let _ = session.datagrams.try_send(datagram);
    }
}

async fn converse(
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    job: Job,
    mut from_client: mpsc::Receiver<Vec<u8>>,
) {
    let Some(task) = reach(&job).await else { return };
    loop {
        let moved = tokio::select! {
            () = job.end.cancelled() => return,
            () = tokio::time::sleep(SESSION_IDLE) => return,
            datagram = from_client.recv() => match datagram {
                Some(datagram) => task.send(&datagram).await,
                None => return,
            },
            answer = task.receive() => match answer {
                Ok(answer) => socket.send_to(&answer, client).await.map(drop),
                Err(error) => Err(error),
            },
        };
        if let Err(error) = moved {
            debug!(%client, %error, "a UDP session ends");
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
