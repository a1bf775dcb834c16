//! The way of a component's process to its networks: the daemon, which it asks by the socket
//! in its folder, and by another daemon's when that one was started again.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use wasmtime_wasi::sockets::SocketAddrUse;

use crate::forward::{Answer, Ask, CONNECTIONS_MAX, DIAL_DEADLINE, Failure, get, put, short};

/// How long a daemon is looked for that is being started again…
const AWAY_PATIENCE: Duration = Duration::from_secs(10);
/// …and how often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A daemon that has not answered by then is away.
const ANSWER_DEADLINE: Duration = DIAL_DEADLINE.saturating_add(Duration::from_secs(15));
/// From the moment on that a connection is there until the component takes it.
const TAKE_DEADLINE: Duration = Duration::from_secs(60);

/// The way to the daemon. Clones are the same.
#[derive(Clone)]
pub(super) struct Ways(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    places: Arc<Semaphore>,
    /// Sockets that a component's connections are led to, and whether they may be.
    doors: Mutex<HashMap<SocketAddr, oneshot::Receiver<bool>>>,
}

/// A connection of a component that is led to its target by a socket of its own process.
pub(super) struct Led {
    /// Where the component wants to go.
    pub(super) target: SocketAddr,
    /// Where it is led.
    pub(super) door: SocketAddr,
    /// Tells which of the connections to there is the component's own.
    own: Option<oneshot::Sender<SocketAddr>>,
    failure: Arc<OnceLock<Missed>>,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// Nothing on the task's networks is there.
    NotOurs,
    Failed(Failure),
}

/// The daemon's end of a connection of a component.
struct Relay {
    ways: Ways,
    target: SocketAddr,
    door: SocketAddr,
    may: oneshot::Sender<bool>,
    own: oneshot::Receiver<SocketAddr>,
    failure: Arc<OnceLock<Missed>>,
    _place: OwnedSemaphorePermit,
}

// === impl Ways ===

impl Ways {
    /// Of the task of a folder.
    pub(super) fn of(folder: PathBuf) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self(Arc::new(Inner { folder, places, doors: Mutex::default() }))
    }

    /// The addresses of a name; `None`: it is not one of the task's networks.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Vec<IpAddr>>, Failure> {
        match self.ask(&Ask::Find(name.to_owned())).await?.0 {
            Answer::Found(addresses) => Ok(Some(addresses)),
            Answer::NotOurs => Ok(None),
            Answer::Failed(failure) => Err(failure),
            Answer::Reached => Err(Failure::Unreachable),
        }
    }

    /// A connection to a port of a name or an address.
    pub(super) async fn reach(&self, host: &str, port: u16) -> Result<UnixStream, Missed> {
        let asked = self.ask(&Ask::Reach(host.to_owned(), port)).await;
        let (answer, stream) = asked.map_err(Missed::Failed)?;
        match answer {
            Answer::Reached => Ok(stream),
            Answer::NotOurs => Err(Missed::NotOurs),
            Answer::Failed(failure) => Err(Missed::Failed(failure)),
            Answer::Found(_) => Err(Missed::Failed(Failure::Unreachable)),
        }
    }

    /// Begins a connection to a target. The component is to connect to its door, and hears
    /// there what became of it. Must be called within a tokio runtime.
    pub(super) fn lead(&self, target: SocketAddr) -> io::Result<Led> {
        let too_many = |_| io::Error::from(io::ErrorKind::QuotaExceeded);
        let place = self.0.places.clone().try_acquire_owned().map_err(too_many)?;
        let loopback: IpAddr = match target {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let listener = std::net::TcpListener::bind((loopback, 0))?;
        listener.set_nonblocking(true)?;
        let door = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let (may, waits) = oneshot::channel();
        let (own, is_own) = oneshot::channel();
        let failure = Arc::<OnceLock<Missed>>::default();
        self.doors().insert(door, waits);
        let relay = Relay {
            ways: self.clone(),
            target,
            door,
            may,
            own: is_own,
            failure: failure.clone(),
            _place: place,
        };
        tokio::spawn(relay.run(listener));
        Ok(Led { target, door, own: Some(own), failure })
    }

    /// Whether a component may use an address: for a connection that it is led to, once that
    /// is there.
    pub(super) async fn may_use(self, address: SocketAddr, what: SocketAddrUse) -> bool {
        match what {
            SocketAddrUse::TcpConnect => {
                let waits = self.doors().remove(&address);
                match waits {
                    Some(waits) => waits.await.unwrap_or(false),
                    None => false,
                }
            }
            // What precedes a connection; nobody listens.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        }
    }

    async fn ask(&self, ask: &Ask) -> Result<(Answer, UnixStream), Failure> {
        let begun = Instant::now();
        let mut stream = loop {
            match self.connect().await {
                Ok(stream) => break stream,
                Err(_) if begun.elapsed() < AWAY_PATIENCE => tokio::time::sleep(LOOK_AGAIN).await,
                Err(_) => return Err(Failure::Unreachable),
            }
        };
        let answered = async {
            put(&mut stream, ask).await?;
            get(&mut stream).await
        };
        match tokio::time::timeout(ANSWER_DEADLINE, answered).await {
            Ok(Ok(answer)) => Ok((answer, stream)),
            // A daemon that ends in the middle.
            Ok(Err(_)) => Err(Failure::Unreachable),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        let (_folder, name) = short(&self.0.folder)?;
        UnixStream::connect(name).await
    }

    fn doors(&self) -> MutexGuard<'_, HashMap<SocketAddr, oneshot::Receiver<bool>>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Led ===

impl Led {
    /// The component has connected, from an address of its own.
    pub(super) fn is_taken(&mut self, from: SocketAddr) {
        if let Some(own) = self.own.take() {
            // It may have ended meanwhile.
            let _ = own.send(from);
        }
    }

    /// Why it has not.
    pub(super) fn failure(&self) -> Option<Missed> {
        self.failure.get().copied()
    }
}

// === impl Relay ===

impl Relay {
    /// Connects to the target, then takes the component's connection, and no other process's,
    /// and passes bytes on until both have ended.
    async fn run(self, listener: TcpListener) {
        let Self { ways, target, door, may, own, failure, _place } = self;
        let reached = ways.reach(&target.ip().to_string(), target.port()).await;
        let is_reached = reached.is_ok();
        if let Err(missed) = &reached {
            let _ = failure.set(*missed);
        }
        // The component may have gone.
        let _ = may.send(is_reached);
        if let Ok(mut daemon) = reached
            && let Ok(Some(mut component)) =
                tokio::time::timeout(TAKE_DEADLINE, take(&listener, own)).await
        {
            drop(listener);
            let _ = component.set_nodelay(true);
            // Either side may end it at any time.
            let _ = copy_bidirectional(&mut component, &mut daemon).await;
        }
        // It never asked whether it may.
        ways.doors().remove(&door);
    }
}

/// The connection that comes from the component's own address.
async fn take(listener: &TcpListener, own: oneshot::Receiver<SocketAddr>) -> Option<TcpStream> {
    let own = own.await.ok()?;
    loop {
        let (stream, from) = listener.accept().await.ok()?;
        if from == own {
            return Some(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;
    use crate::forward::DOOR;

    /// A daemon that answers one question so, and then says and hears bytes.
    fn daemon(folder: &std::path::Path, answer: Answer) -> tokio::task::JoinHandle<Ask> {
        let path = folder.join(DOOR);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("binds");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody");
            let ask = get(&mut stream).await.expect("a question");
            put(&mut stream, &answer).await.expect("answered");
            let _ = stream.write_all(b"hello").await;
            let _ = stream.read_u8().await;
            ask
        })
    }

    fn target() -> SocketAddr {
        "10.1.0.5:80".parse().expect("an address")
    }

    #[tokio::test]
    async fn a_connection_is_there_before_the_component_has_it_and_is_its_own_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = daemon(folder.path(), Answer::Reached);
        let ways = Ways::of(folder.path().to_owned());
        let mut led = ways.lead(target()).expect("led");
        assert!(ways.clone().may_use(led.door, SocketAddrUse::TcpConnect).await);
        // Another process of the machine was quicker.
        let mut other = TcpStream::connect(led.door).await.expect("connects");
        let mut own = TcpStream::connect(led.door).await.expect("connects");
        led.is_taken(own.local_addr().expect("an address"));
        let mut said = [0; 5];
        own.read_exact(&mut said).await.expect("what the daemon says");
        assert_eq!(&said, b"hello");
        assert_eq!(other.read(&mut said).await.unwrap_or(0), 0, "nothing for others");
        own.write_all(b"x").await.expect("heard");
        assert_eq!(daemon.await.expect("ends"), Ask::Reach("10.1.0.5".to_owned(), 80));
        assert_eq!(led.failure(), None);
    }

    #[tokio::test]
    async fn why_there_is_none_is_known_and_nothing_else_may_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let ways = Ways::of(folder.path().to_owned());
        for (answer, missed) in [
            (Answer::Failed(Failure::Refused), Missed::Failed(Failure::Refused)),
            (Answer::NotOurs, Missed::NotOurs),
        ] {
            let daemon = daemon(folder.path(), answer);
            let led = ways.lead(target()).expect("led");
            assert!(!ways.clone().may_use(led.door, SocketAddrUse::TcpConnect).await);
            assert_eq!(led.failure(), Some(missed));
            daemon.abort();
        }
        for (address, what) in [
            ("127.0.0.1:22", SocketAddrUse::TcpConnect),
            ("10.1.0.5:80", SocketAddrUse::TcpConnect),
            ("0.0.0.0:8080", SocketAddrUse::TcpBind),
            ("0.0.0.0:0", SocketAddrUse::TcpListen),
            ("0.0.0.0:0", SocketAddrUse::UdpBind),
        ] {
            let used = ways.clone().may_use(address.parse().expect("an address"), what);
            assert!(!used.await, "{address} {what:?}");
        }
        assert!(ways.doors().is_empty());
    }

    #[tokio::test]
    async fn a_daemon_that_is_started_again_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let ways = Ways::of(folder.path().to_owned());
        let path = folder.path().to_owned();
        let later = tokio::spawn(async move {
            tokio::time::sleep(3 * LOOK_AGAIN).await;
            daemon(&path, Answer::Found(vec![[10, 1, 0, 5].into()])).await
        });
        let found = ways.find("api").await;
        assert_eq!(found, Ok(Some(vec![[10, 1, 0, 5].into()])));
        let asked = later.await.expect("it ends").expect("it answers");
        assert_eq!(asked, Ask::Find("api".to_owned()));
    }
}
