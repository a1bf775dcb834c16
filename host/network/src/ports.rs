//! The ports of a node: opened, kept, closed as the leader's list says.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::Socket;
use swarmw_model::{Backend, PortProtocol, PublishedPort};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backends::Backends;
use crate::{Reach, held, listen, tcp, udp};

/// A port that is taken by another process is tried again after this time.
const BIND_RETRY: Duration = Duration::from_secs(2);

/// A published port: transport and number.
type Key = (PortProtocol, u16);

/// The published ports of a node.
#[derive(Clone)]
pub struct PublishedPorts(Arc<Inner>);

struct Inner {
    address: IpAddr,
    reach: Arc<dyn Reach>,
    open: Mutex<HashMap<Key, Open>>,
    /// What still holds the socket of a port that was closed, for a moment.
    closing: Mutex<HashMap<Key, JoinHandle<()>>>,
    refused: watch::Sender<BTreeSet<Key>>,
    cancel: CancellationToken,
}

struct Open {
    backends: Arc<Backends>,
    target: Arc<std::sync::atomic::AtomicU16>,
    error: Arc<Mutex<Option<String>>>,
    close: CancellationToken,
    /// Ends when the socket is closed.
    held: JoinHandle<()>,
}

/// A port that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortError {
    /// Transport.
    pub protocol: PortProtocol,
    /// The published port.
    pub port: u16,
    /// Why.
    pub reason: String,
}

// === impl PublishedPorts ===

impl PublishedPorts {
    /// Ports that listen on one address, or for the unspecified one on all, of both families.
    pub fn new(address: IpAddr, reach: Arc<dyn Reach>) -> Self {
        Self(Arc::new(Inner {
            address,
            reach,
            open: Mutex::default(),
            closing: Mutex::default(),
            refused: watch::Sender::default(),
            cancel: CancellationToken::new(),
        }))
    }

    /// Brings the open ports in line with the list. A port that stays keeps its
    /// socket; one that goes takes no new connections, and open ones go on. One that
    /// comes back is opened as soon as its socket of before is closed. One without tasks
    /// refuses new connections, open ones go on, and no other process gets it. Must be
    /// called within a tokio runtime.
    pub fn set(&self, wanted: Vec<PublishedPort>) {
        let (mut open, mut closing) = (self.open(), self.closing());
        closing.retain(|_, held| !held.is_finished());
        let stays = |key: &Key| wanted.iter().any(|w| (w.protocol, w.published) == *key);
        for (key, port) in open.extract_if(|key, _| !stays(key)) {
            port.close.cancel();
            closing.insert(key, port.held);
        }
        for port in wanted {
            let key = (port.protocol, port.published);
            let entry = open.entry(key).or_insert_with(|| self.begin(&port, closing.remove(&key)));
            entry.target.store(port.target, std::sync::atomic::Ordering::Relaxed);
            entry.backends.set(port.backends, !port.leaving.is_empty());
        }
    }

    /// Ports that cannot be opened now.
    pub fn errors(&self) -> Vec<PortError> {
        let open = self.open();
        open.iter()
            .filter_map(|((protocol, port), entry)| {
                let reason = entry.error.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
                Some(PortError { protocol: *protocol, port: *port, reason })
            })
            .collect()
    }

    /// Ports that another process has, at addresses that others could reach it by.
    pub fn refused(&self) -> watch::Receiver<BTreeSet<Key>> {
        self.0.refused.subscribe()
    }

    /// Closes everything, open connections too.
    pub fn shutdown(&self) {
        self.0.cancel.cancel();
        self.open().clear();
    }

    /// `before`: what still holds the socket that the port had.
    fn begin(&self, port: &PublishedPort, before: Option<JoinHandle<()>>) -> Open {
        let key @ (protocol, number) = (port.protocol, port.published);
        let address = SocketAddr::new(self.0.address, number);
        let job = Job {
            reach: self.0.reach.clone(),
            backends: Arc::default(),
            target: Arc::default(),
            places: Arc::new(Semaphore::new(tcp::CONNECTIONS_MAX)),
            close: self.0.cancel.child_token(),
            end: self.0.cancel.clone(),
        };
        // So it listens at once, and is not held first.
        job.backends.set(port.backends.clone(), !port.leaving.is_empty());
        let (backends, target) = (job.backends.clone(), job.target.clone());
        let (close, error) = (job.close.clone(), Arc::<Mutex<_>>::default());
        let (ports, told) = (self.clone(), error.clone());
        let held = tokio::spawn(async move {
            if let Some(before) = before {
                // It was told to end, and says nothing.
                let _ = before.await;
            }
            let say = |reason| ports.say(key, address, &told, reason);
            keep(protocol, address, job, say).await;
            ports.tell_refused(key, false);
        });
        Open { backends, target, error, close, held }
    }

    /// Whether a port is open, or why not.
    fn say(
        &self,
        key: Key,
        address: SocketAddr,
        error: &Mutex<Option<String>>,
        reason: Option<String>,
    ) {
        let protocol = key.0;
        let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
        if *error != reason {
            match &reason {
                Some(reason) => warn!(%address, %protocol, %reason, "a port cannot be published"),
                None => info!(%address, %protocol, "port published"),
            }
        }
        // Nobody listens for SCTP.
        let is_refused = reason.is_some() && protocol != PortProtocol::Sctp;
        self.tell_refused(key, is_refused && !held::is_apart(protocol, key.1));
        *error = reason;
    }

    fn tell_refused(&self, key: Key, is_refused: bool) {
        self.0.refused.send_if_modified(|refused| match is_refused {
            true => refused.insert(key),
            false => refused.remove(&key),
        });
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locked after what is open.
    fn closing(&self) -> MutexGuard<'_, HashMap<Key, JoinHandle<()>>> {
        self.0.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one port's listener works with.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) reach: Arc<dyn Reach>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) target: Arc<std::sync::atomic::AtomicU16>,
    /// For connections of TCP.
    pub(crate) places: Arc<Semaphore>,
    /// No new connections.
    pub(crate) close: CancellationToken,
    /// No connections at all.
    pub(crate) end: CancellationToken,
}

impl Job {
    /// The port inside a task.
    pub(crate) fn target_of(&self, backend: &Backend) -> u16 {
        match backend.target {
            0 => self.target.load(std::sync::atomic::Ordering::Relaxed),
            own => own,
        }
    }
}

/// Keeps the port until it is closed, and tries again while another process has it.
async fn keep(protocol: PortProtocol, address: SocketAddr, job: Job, say: impl Fn(Option<String>)) {
    while !job.close.is_cancelled() {
        let kept = match protocol {
            PortProtocol::Tcp => keep_tcp(address, &job, &say).await,
            PortProtocol::Udp => keep_udp(address, &job, &say).await,
            PortProtocol::Sctp => Err(io::Error::other(
                "user space does not forward SCTP: kernels do, where they can",
            )),
        };
        if let Err(why) = kept {
            say(Some(why.to_string()));
            job.close.run_until_cancelled(tokio::time::sleep(BIND_RETRY)).await;
        }
    }
}

/// Listens while somebody serves, or holds the port while nobody does: until that changes, or
/// the port is closed.
async fn keep_tcp(address: SocketAddr, job: &Job, say: &impl Fn(Option<String>)) -> io::Result<()> {
    if !job.backends.are_some() {
        return hold(listen::hold_tcp(address)?, job, say).await;
    }
    let listener = listen::tcp(address)?;
    say(None);
    tokio::select! {
        () = job.close.cancelled() => {}
        () = job.backends.go() => {}
        () = tcp::serve(listener, job) => {}
    }
    Ok(())
}

/// The same for UDP. Clients of tasks that leave keep the socket open.
async fn keep_udp(address: SocketAddr, job: &Job, say: &impl Fn(Option<String>)) -> io::Result<()> {
    if !job.backends.are_some() {
        return hold(listen::hold_udp(address)?, job, say).await;
    }
    let socket = listen::udp(address)?;
    say(None);
    udp::serve(socket, job).await
}

/// Holds a port until somebody serves it.
async fn hold(held: Socket, job: &Job, say: &impl Fn(Option<String>)) -> io::Result<()> {
    say(None);
    job.close.run_until_cancelled(job.backends.come()).await;
    drop(held);
    Ok(())
}
