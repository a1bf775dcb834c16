//! The socket in the folder of a component that is on networks.

use std::fs::{File, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{Assignment, NetworkId, TaskId};
use swarmw_names::{Answer as Named, Question, Table, Want};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::dial::Missed;
use super::{Answer, Ask, CONNECTIONS_MAX, DOOR, Failure, Forward, Parts, get, put};

/// Whoever connects and says nothing for so long is not waited for.
const ASK_DEADLINE: Duration = Duration::from_secs(10);
/// After accepting failed (too many open files), before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Only the daemon's own user connects.
const OWN_ONLY: u32 = 0o600;

// === impl Forward ===

impl Forward {
    /// Opens the way of a component to its networks; one that is open stays. Must be called
    /// within a tokio runtime.
    pub(crate) fn open_door(&self, folder: &Path, task: &Assignment) -> io::Result<()> {
        let mut doors = self.doors();
        if doors.contains_key(&task.id) {
            return Ok(());
        }
        let (folder, name) = short(folder)?;
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&name)?;
        std::fs::set_permissions(&name, Permissions::from_mode(OWN_ONLY))?;
        drop(folder);
        let closed = CancellationToken::new();
        let networks = task.attachments.iter().map(|on| on.network).collect();
        let door = Door { forward: self.clone(), task: task.id, networks };
        tokio::spawn(Arc::new(door).serve(listener, closed.clone()));
        doors.insert(task.id, closed);
        Ok(())
    }

    /// Closes it, with the connections that went by it: the task has ended.
    pub(crate) fn close_door(&self, task: TaskId) {
        if let Some(door) = self.doors().remove(&task) {
            door.cancel();
        }
    }
}

/// A short name for the socket of a folder, as long as the folder is kept open: addresses of
/// sockets have 108 bytes at most.
pub(crate) fn short(folder: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(folder)?;
    let name = format!("/proc/self/fd/{}/{DOOR}", folder.as_raw_fd());
    Ok((folder, name.into()))
}

/// One task's way.
struct Door {
    forward: Forward,
    task: TaskId,
    networks: Vec<NetworkId>,
}

// === impl Door ===

impl Door {
    async fn serve(self: Arc<Self>, listener: UnixListener, closed: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = closed.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(task = %self.task, %error, "a component is not heard");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = places.clone().try_acquire_owned();
            let (door, closed) = (self.clone(), closed.clone());
            tokio::spawn(async move {
                let answered = async {
                    match place {
                        Ok(_place) => door.answer(stream).await,
                        Err(_) => refuse(stream).await,
                    }
                };
                let answered = tokio::select! {
                    () = closed.cancelled() => return,
                    answered = answered => answered,
                };
                // The component gave up, or ended.
                if let Err(error) = answered {
                    debug!(task = %door.task, %error, "a component is not answered");
                }
            });
        }
    }

    async fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let ask: Ask = tokio::time::timeout(ASK_DEADLINE, get(&mut stream)).await??;
        let Some(parts) = self.forward.parts().await else {
            return put(&mut stream, &Answer::Failed(Failure::Unreachable)).await;
        };
        let (host, port) = match ask {
            Ask::Find(name) => {
                let found = self.find(&parts, &name);
                let answer = found.map_or(Answer::NotOurs, Answer::Found);
                return put(&mut stream, &answer).await;
            }
            Ask::Reach(host, port) => (host, port),
        };
        match self.reach(&parts, &host, port).await {
            Err(Missed::NotOurs) => put(&mut stream, &Answer::NotOurs).await,
            Err(Missed::Failed(failure)) => put(&mut stream, &Answer::Failed(failure)).await,
            Ok(mut reached) => {
                put(&mut stream, &Answer::Reached).await?;
                // Either side may end it at any time.
                let _ = copy_bidirectional(&mut stream, &mut reached).await;
                Ok(())
            }
        }
    }

    /// A connection by a name or an address; by a name to the first of its addresses that is
    /// reached.
    async fn reach(
        &self,
        parts: &Parts,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn swarmw_network::Stream>, Missed> {
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.find(parts, host).ok_or(Missed::NotOurs)?,
        };
        let mut missed = Missed::Failed(Failure::Unreachable);
        for address in addresses {
            match self.forward.reach(parts, &self.networks, address, port).await {
                Ok(stream) => return Ok(stream),
                Err(why) => missed = why,
            }
        }
        Err(missed)
    }

    /// The addresses of a name on the task's networks, or an address of theirs; `None` where
    /// it is not theirs.
    fn find(&self, parts: &Parts, name: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = name.parse() {
            let known = parts.heard.known();
            let mut own = self.networks.iter().filter_map(|id| known.networks.get(id));
            return own.any(|network| network.pool_of(address).is_some()).then(|| vec![address]);
        }
        let names = parts.heard.names();
        find(&names.load(), &self.networks, name, || parts.ambient.chance())
    }
}

async fn refuse(mut stream: UnixStream) -> io::Result<()> {
    // Unread bytes would break the connection before the answer is read.
    tokio::time::timeout(ASK_DEADLINE, get::<Ask>(&mut stream)).await??;
    put(&mut stream, &Answer::Failed(Failure::TooMany)).await
}

/// Addresses of both families, IPv4 first.
fn find<R: rand::RngCore>(
    names: &Table,
    networks: &[NetworkId],
    name: &str,
    chance: impl Fn() -> R,
) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    for want in [Want::V4, Want::V6] {
        match names.answer(networks, Question { name, want }, chance()) {
            Named::NotOurs => return None,
            Named::Addresses { addresses, .. } => found.extend(addresses),
            Named::Names { .. } | Named::Nothing => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use swarmw_ambient::Ambient;
    use swarmw_model::{EndpointId, NetworkAttachment, NetworkEndpoint, NetworkNews, NodeId};

    use super::*;

    #[test]
    fn names_are_those_of_ones_own_networks_with_addresses_of_both_families() {
        let [web, db] = [11, 12].map(NetworkId::from_bits);
        let addresses = ["10.1.0.5/24", "fd01::5/64"].map(|net| net.parse().expect("an address"));
        let endpoint = NetworkEndpoint {
            id: EndpointId::Task(TaskId::from_bits(1)),
            service: None,
            names: vec!["api.1".to_owned()],
            node: NodeId::from_bits(1),
            on: vec![NetworkAttachment { network: web, addresses: addresses.to_vec() }],
            serves: true,
            user_space: true,
        };
        let mut names = Table::default();
        names.apply(&NetworkNews { endpoints: vec![endpoint], ..NetworkNews::default() });
        let ambient = Ambient::system();
        let found = |on: &[NetworkId], name| find(&names, on, name, || ambient.chance());
        let both = addresses.map(|net: ipnet::IpNet| net.addr()).to_vec();
        assert_eq!(found(&[web], "API.1"), Some(both));
        assert_eq!(found(&[db], "api.1"), None, "another network's");
        assert_eq!(found(&[web], "example.org"), None, "nobody's");
    }

    #[test]
    fn a_socket_has_a_short_name_however_deep_its_folder_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("a".repeat(100)).join("b".repeat(100));
        std::fs::create_dir_all(&deep).expect("made");
        let (_open, name) = short(&deep).expect("a name");
        let _listener = std::os::unix::net::UnixListener::bind(&name).expect("binds");
        std::os::unix::net::UnixStream::connect(&name).expect("connects");
        assert!(deep.join(DOOR).exists());
    }
}
