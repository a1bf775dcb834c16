//! TLS settings that follow the node's credentials.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::UnixTime;
use swarmw_ambient::Ambient;
use swarmw_model::{NodeId, Time, TlsInfo};

use crate::credentials::{chain, key, leaf};
use crate::identity::issuer_of;
use crate::verify::{ClientVerifier, Denied, Unverified};
use crate::{CaError, Credentials, Identity};

/// Every node's certificate has this name; clients check for it. Which node it is,
/// and in which role, the identity says.
pub const SERVER_NAME: &str = "swarm-node";

/// HTTP/2, which gRPC runs on.
const ALPN: &[u8] = b"h2";

/// TLS settings of a node. Clones are one: credentials replaced in one are used by
/// the next connection of all. TLS 1.3 only.
#[derive(Clone)]
pub struct Tls {
    now: Arc<ArcSwap<Settings>>,
    denied: Denied,
    ambient: Ambient,
}

struct Settings {
    credentials: Credentials,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

// === impl Tls ===

impl Tls {
    /// Settings from credentials, by the machine's clock.
    ///
    /// # Errors
    /// Key and certificate do not belong together.
    pub fn new(credentials: &Credentials) -> Result<Self, CaError> {
        Self::by(Ambient::system(), credentials)
    }

    /// Settings from credentials; `ambient` says which certificates have ended.
    ///
    /// # Errors
    /// Key and certificate do not belong together.
    pub fn by(ambient: Ambient, credentials: &Credentials) -> Result<Self, CaError> {
        let denied = Denied::default();
        let settings = Settings::new(credentials, &denied, &ambient)?;
        Ok(Self { now: Arc::new(ArcSwap::from_pointee(settings)), denied, ambient })
    }

    /// Uses other credentials from the next connection on.
    ///
    /// # Errors
    /// Key and certificate do not belong together; the present ones stay.
    pub fn replace(&self, credentials: &Credentials) -> Result<(), CaError> {
        self.now.store(Arc::new(Settings::new(credentials, &self.denied, &self.ambient)?));
        Ok(())
    }

    /// Turns these nodes away, whatever their certificates say.
    pub fn deny(&self, removed: std::collections::BTreeSet<NodeId>) {
        if **self.denied.load() != removed {
            self.denied.store(Arc::new(removed));
        }
    }

    /// Whether a node has been removed.
    pub fn is_denied(&self, node: NodeId) -> bool {
        self.denied.load().contains(&node)
    }

    /// For accepting connections: a client certificate is checked when shown.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.now.load().server.clone()
    }

    /// For connecting to other nodes: shows our certificate, demands one of the
    /// cluster.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.now.load().client.clone()
    }

    /// For connecting without a certificate: with a root the server must prove
    /// itself, without one anybody is talked to, which is right only for reading
    /// the root certificate.
    ///
    /// # Errors
    /// The text holds no certificate.
    pub fn bootstrap_client_config(
        root_pem: Option<&str>,
        ambient: &Ambient,
    ) -> Result<Arc<ClientConfig>, CaError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_details(provider.clone(), Clock::of(ambient))
            .with_protocol_versions(&[&TLS13])?;
        let mut config = match root_pem {
            Some(root) => builder.with_root_certificates(roots(root)?).with_no_client_auth(),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified { provider }))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// The credentials in use.
    pub fn credentials(&self) -> Credentials {
        self.now.load().credentials.clone()
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        self.now.load().credentials.identity.clone()
    }

    /// The root in use.
    pub fn root_pem(&self) -> String {
        self.now.load().credentials.root_pem.clone()
    }

    /// When the certificate in use should be renewed; see [`Credentials::renew_at`].
    pub fn renew_at(&self, share: f64) -> Time {
        self.now.load().credentials.renew_at(share)
    }

    /// Of the certificate in use, as the API shows it.
    pub fn info(&self) -> TlsInfo {
        let settings = self.now.load();
        let credentials = &settings.credentials;
        let issuer = leaf(&credentials.chain_pem)
            .and_then(|own| Ok(issuer_of(&own, &leaf(&credentials.root_pem)?)))
            .ok()
            .flatten();
        let (subject, public_key) = issuer.unwrap_or_default();
        TlsInfo {
            trust_root: credentials.root_pem.clone(),
            cert_issuer_subject: STANDARD.encode(subject),
            cert_issuer_public_key: STANDARD.encode(public_key),
        }
    }
}

// === impl Settings ===

impl Settings {
    fn new(credentials: &Credentials, denied: &Denied, ambient: &Ambient) -> Result<Self, CaError> {
        let own = chain(&credentials.chain_pem)?;
        let trusted = Arc::new(roots(&credentials.root_pem)?);
        let inner = WebPkiClientVerifier::builder_with_provider(trusted.clone(), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        let verifier = Arc::new(ClientVerifier { inner, denied: denied.clone() });
        let mut server = ServerConfig::builder_with_details(provider(), Clock::of(ambient))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.clone(), key(&credentials.key_pem)?)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would not show its certificate again: a node removed
        // since, or one with another role, would go on as it was.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_details(provider(), Clock::of(ambient))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(trusted)
            .with_client_auth_cert(own, key(&credentials.key_pem)?)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Self {
            credentials: credentials.clone(),
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

/// The clock that certificates are held against.
#[derive(Debug)]
struct Clock(Ambient);

impl Clock {
    fn of(ambient: &Ambient) -> Arc<Self> {
        Arc::new(Self(ambient.clone()))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = std::time::Duration::from_millis(self.0.now().as_millis());
        Some(UnixTime::since_unix_epoch(since))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(pem: &str) -> Result<RootCertStore, CaError> {
    let mut store = RootCertStore::empty();
    for certificate in chain(pem)? {
        store.add(certificate)?;
    }
    Ok(store)
}
