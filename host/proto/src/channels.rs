//! Connections to other nodes.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use swarmw_ambient::Ambient;
use swarmw_ca::{SERVER_NAME, Tls};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::{Tcp, Transport, Wire};

/// Until a connection stands.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A peer is asked for a sign of life this often while a call is under way…
const KEEPALIVE: Duration = Duration::from_secs(5);
/// …and given this long to answer.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Whether a call failed because the peer gave no sign of life, rather than by its word.
pub fn fell_silent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// One connection per address, made at the first call and again when it broke.
#[derive(Clone)]
pub struct Channels {
    tls: Tls,
    transport: Arc<dyn Transport>,
    /// What this node tells others, and where it reaches itself.
    home: Option<Home>,
    open: Arc<Mutex<HashMap<String, Channel>>>,
}

#[derive(Clone)]
struct Home {
    advertised: Arc<str>,
    listening: SocketAddr,
}

// === impl Channels ===

impl Channels {
    /// Connections over TCP that prove this node by its certificate.
    pub fn new(tls: Tls) -> Self {
        Self::over(Arc::new(Tcp), tls)
    }

    /// The same, over another transport.
    pub fn over(transport: Arc<dyn Transport>, tls: Tls) -> Self {
        Self { tls, transport, home: None, open: Arc::default() }
    }

    /// Reaches this node itself where it listens: the address that others use may
    /// lead here from outside only.
    #[must_use]
    pub fn at_home(self, advertised: &str, listening: SocketAddr) -> Self {
        let loopback = |ip: IpAddr| match ip {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let listening = SocketAddr::new(loopback(listening.ip()), listening.port());
        Self { home: Some(Home { advertised: advertised.into(), listening }), ..self }
    }

    /// The connection to `host:port`. Nothing is sent before the first call.
    ///
    /// # Errors
    /// The text is no address.
    pub fn get(&self, address: &str) -> Result<Channel, Status> {
        if let Some(channel) = self.open().get(address) {
            return Ok(channel.clone());
        }
        let tls = self.tls.clone();
        let here = self.home.as_ref().filter(|home| *home.advertised == *address);
        let target = here.map_or(address.to_owned(), |home| home.listening.to_string());
        let channel = channel(&target, self.transport.clone(), move || tls.client_config())?;
        self.open().insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Forgets all connections: after credentials were replaced, the next call
    /// shows the new ones. Calls under way go on.
    pub fn reset(&self) {
        self.open().clear();
    }

    /// A connection without a certificate, for a node that joins. With a root the
    /// other side must prove itself; without one it is not checked, which is right
    /// only for reading the root.
    ///
    /// # Errors
    /// The text is no address, or the root no certificate.
    pub fn bootstrap(address: &str, root_pem: Option<&str>) -> Result<Channel, Status> {
        Self::bootstrap_over(Arc::new(Tcp), &Ambient::system(), address, root_pem)
    }

    /// The same, over another transport and by another clock.
    ///
    /// # Errors
    /// The text is no address, or the root no certificate.
    pub fn bootstrap_over(
        transport: Arc<dyn Transport>,
        ambient: &Ambient,
        address: &str,
        root_pem: Option<&str>,
    ) -> Result<Channel, Status> {
        let config = Tls::bootstrap_client_config(root_pem, ambient)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        channel(address, transport, move || config.clone())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn channel(
    address: &str,
    transport: Arc<dyn Transport>,
    config: impl Fn() -> Arc<ClientConfig> + Send + Clone + 'static,
) -> Result<Channel, Status> {
    let invalid = |_| Status::invalid_argument(format!("not an address: {address:?}"));
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(invalid)?
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_PATIENCE);
    let target = address.to_owned();
    Ok(endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let (stream, config) = (transport.connect(&target), config());
        async move { shake(stream.await?, config).await.map(TokioIo::new) }
    })))
}

async fn shake(
    stream: Box<dyn Wire>,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<Box<dyn Wire>>> {
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}
