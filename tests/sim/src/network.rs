//! A network in memory: hosts, listeners, and links that can be cut and slowed.
//!
//! A cut link loses nothing that TCP would not send again: bytes wait until it is
//! mended, and nobody is told. A host without power closes all its connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_proto::{Listener, Transport, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Bytes on their way on one wire, in one direction.
const WIRE_BYTES: usize = 256 << 10;
/// Connections that wait to be accepted.
const WAITING_MAX: usize = 64;
/// Where connections come from: all from one port, nobody looks at it.
const SOME_PORT: u16 = 40_000;

/// The network. Clones are one.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    switch: Mutex<Switch>,
    /// Rings when a link was cut or mended.
    changed: watch::Sender<()>,
    ambient: Ambient,
}

#[derive(Default)]
struct Switch {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<(Box<dyn Wire>, SocketAddr)>>,
    power: BTreeMap<IpAddr, CancellationToken>,
    /// From, to.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    /// The longest that bytes take on a link; a random part of it is taken.
    delay: BTreeMap<(IpAddr, IpAddr), Duration>,
}

/// One host's access to the network, as long as it has power.
#[derive(Clone)]
pub(crate) struct Port {
    network: Network,
    host: IpAddr,
    power: CancellationToken,
}

struct Door {
    incoming: mpsc::Receiver<(Box<dyn Wire>, SocketAddr)>,
}

// === impl Network ===

impl Network {
    pub(crate) fn new(ambient: Ambient) -> Self {
        Self(Arc::new(Inner { switch: Mutex::default(), changed: watch::Sender::new(()), ambient }))
    }

    /// Gives a host power; what it had before goes down.
    pub(crate) fn power_on(&self, host: IpAddr) -> Port {
        let power = CancellationToken::new();
        if let Some(before) = self.switch().power.insert(host, power.clone()) {
            before.cancel();
        }
        Port { network: self.clone(), host, power }
    }

    /// Takes a host off the network: all its connections are closed.
    pub(crate) fn power_off(&self, host: IpAddr) {
        if let Some(power) = self.switch().power.remove(&host) {
            power.cancel();
        }
        self.switch().listeners.retain(|address, _| address.ip() != host);
    }

    /// Cuts the link between two hosts, both ways.
    pub fn cut(&self, a: IpAddr, b: IpAddr) {
        self.change(|switch| switch.cut.extend([(a, b), (b, a)]));
    }

    /// Cuts one direction: `to` does not hear `from` any more.
    pub fn cut_one_way(&self, from: IpAddr, to: IpAddr) {
        self.change(|switch| switch.cut.extend([(from, to)]));
    }

    /// Mends the link between two hosts.
    pub fn mend(&self, a: IpAddr, b: IpAddr) {
        self.change(|switch| switch.cut.retain(|link| *link != (a, b) && *link != (b, a)));
    }

    /// Mends all links.
    pub fn mend_all(&self) {
        self.change(|switch| {
            switch.cut.clear();
            switch.delay.clear();
        });
    }

    /// Has bytes between two hosts take up to so long.
    pub fn slow(&self, a: IpAddr, b: IpAddr, delay: Duration) {
        self.change(|switch| switch.delay.extend([((a, b), delay), ((b, a), delay)]));
    }

    fn change(&self, change: impl FnOnce(&mut Switch)) {
        change(&mut self.switch());
        self.0.changed.send_replace(());
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.0.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until bytes have come from one host to the other.
    async fn pass(&self, from: IpAddr, to: IpAddr) {
        let link = (from, to);
        if from == to {
            return;
        }
        let delay = self.switch().delay.get(&link).copied().unwrap_or_default();
        if !delay.is_zero() {
            let share: f64 = self.0.ambient.chance().random();
            tokio::time::sleep(delay.mul_f64(share)).await;
        }
        let mut changed = self.0.changed.subscribe();
        while self.switch().cut.contains(&link) {
            // The sender lives as long as the network.
            let _ = changed.changed().await;
        }
    }

    /// Lays a wire between two hosts: the ends of either.
    fn lay(&self, from: &Port, to: &CancellationToken, host: IpAddr) -> [DuplexStream; 2] {
        let (near, near_socket) = duplex(WIRE_BYTES);
        let (far, far_socket) = duplex(WIRE_BYTES);
        let (near_in, near_out) = tokio::io::split(near_socket);
        let (far_in, far_out) = tokio::io::split(far_socket);
        let powers = [from.power.clone(), to.clone()];
        tokio::spawn(self.clone().carry(near_in, far_out, (from.host, host), powers.clone()));
        tokio::spawn(self.clone().carry(far_in, near_out, (host, from.host), powers));
        [near, far]
    }

    /// Carries bytes in one direction until either end goes.
    async fn carry(
        self,
        mut from: tokio::io::ReadHalf<DuplexStream>,
        mut to: tokio::io::WriteHalf<DuplexStream>,
        (sender, receiver): (IpAddr, IpAddr),
        [one, other]: [CancellationToken; 2],
    ) {
        let carrying = async {
            let mut buffer = vec![0; WIRE_BYTES];
            loop {
                let size = from.read(&mut buffer).await.unwrap_or(0);
                self.pass(sender, receiver).await;
                if size == 0 || to.write_all(&buffer[..size]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = one.cancelled() => {}
            () = other.cancelled() => {}
            () = carrying => {}
        }
        // Whichever it was, there is nothing more to read at the other end.
        let _ = to.shutdown().await;
    }
}

// === impl Port ===

impl Port {
    async fn call(self, to: SocketAddr) -> io::Result<Box<dyn Wire>> {
        let host = to.ip();
        let calling = async {
            self.network.pass(self.host, host).await;
            let (door, power) = {
                let switch = self.network.switch();
                (switch.listeners.get(&to).cloned(), switch.power.get(&host).cloned())
            };
            let (Some(door), Some(power)) = (door, power) else {
                self.network.pass(host, self.host).await;
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let [near, far] = self.network.lay(&self, &power, host);
            let from = SocketAddr::new(self.host, SOME_PORT);
            let far: Box<dyn Wire> = Box::new(far);
            door.send((far, from)).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            self.network.pass(host, self.host).await;
            let near: Box<dyn Wire> = Box::new(near);
            Ok(near)
        };
        tokio::select! {
            () = self.power.cancelled() => Err(io::ErrorKind::NetworkDown.into()),
            called = calling => called,
        }
    }
}

impl Transport for Port {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let (port, address) = (self.clone(), address.to_owned());
        async move { port.call(parse(&address)?).await }.boxed()
    }

    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let (port, address) = (self.clone(), address.to_owned());
        async move {
            if port.power.is_cancelled() {
                return Err(io::ErrorKind::NetworkDown.into());
            }
            let (door, incoming) = mpsc::channel(WAITING_MAX);
            port.network.switch().listeners.insert(parse(&address)?, door);
            let listener: Box<dyn Listener> = Box::new(Door { incoming });
            Ok(listener)
        }
        .boxed()
    }
}

impl Listener for Door {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Wire>, SocketAddr)>> {
        async {
            match self.incoming.recv().await {
                Some(connection) => Ok(connection),
                // The host has no power any more.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    address.parse().map_err(io::Error::other)
}
