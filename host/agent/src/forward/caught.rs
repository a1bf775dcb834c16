//! Connections of containers here to addresses of components: the node's router hands them
//! over, and each says by its own address where it wants to go.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use swarmw_model::NetworkId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Forward;
use crate::net::Known;

/// After accepting failed (too many open files), before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// === impl Forward ===

impl Forward {
    /// Takes connections until it is closed, and ends those that it took.
    pub(crate) async fn serve_caught(self, listener: TcpListener, closed: CancellationToken) {
        loop {
            let Ok(place) = self.0.caught.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = closed.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a container's connection to a component is not taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (forward, closed) = (self.clone(), closed.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = closed.cancelled() => {}
                    () = forward.pass_on(stream, from) => {}
                }
                drop(place);
            });
        }
    }

    async fn pass_on(&self, mut stream: TcpStream, from: SocketAddr) {
        // Whoever is not led anywhere is reset, as by a kernel.
        if set_socket_linger(&stream, Some(Duration::ZERO)).is_err() {
            return;
        }
        let (Ok(to), Some(parts)) = (stream.local_addr(), self.parts().await) else { return };
        let (ip, from) = (to.ip().to_canonical(), from.ip().to_canonical());
        let known = parts.heard.known();
        let Some(network) = network_of(&known, ip, from) else { return };
        drop(known);
        match self.reach(&parts, &[network], ip, to.port()).await {
            Ok(mut component) => {
                let _ = stream.set_nodelay(true);
                // Either side may end it at any time; from here on in order.
                if set_socket_linger(&stream, None).is_ok() {
                    let _ = copy_bidirectional(&mut stream, &mut component).await;
                }
            }
            Err(why) => debug!(%to, ?why, "a container does not reach a component"),
        }
    }
}

/// The network of an address, if somebody else is on it too. The router lets nobody use
/// another's address.
fn network_of(known: &Known, address: IpAddr, other: IpAddr) -> Option<NetworkId> {
    let networks = known.networks.values();
    let mut on = networks.filter(|network| network.pool_of(address).is_some());
    on.find(|network| network.pool_of(other).is_some()).map(|network| network.id)
}
