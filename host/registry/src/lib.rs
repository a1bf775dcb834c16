//! OCI registries: what an image reference names, and the component in a Wasm
//! artifact (the CNCF layout: a manifest with one `application/wasm` layer).
//!
//! Registries on loopback are spoken to over plain HTTP, as Docker does, and those that
//! the operator names; all others over HTTPS. Nothing is kept here: callers keep what
//! they fetch by its digest. Whose credentials are used is the caller's choice too;
//! [`CredentialHelpers`] asks the programs that have some.

mod auth;
mod helper;
mod push;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_client::{Client, Reference};
use serde::{Deserialize, Serialize};
use swarmw_model::Platform;

pub use auth::{Credentials, InvalidCredentials};
pub use helper::{CredentialHelper, CredentialHelpers, HelperError};
pub use push::{Artifact, Pushed};
pub use signature::{InvalidKey, TrustedKey};

/// The largest component that is fetched, in bytes.
pub const COMPONENT_MAX: u64 = 256 << 20;
/// The largest image configuration that is read, in bytes.
const CONFIG_MAX: u64 = 1 << 20;
/// For a registry to take a connection, and between two pieces of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Layers that hold a component: the CNCF's media type, and the one before it.
const COMPONENT_LAYERS: [&str; 2] =
    ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// What an image looked up may be.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not the reference of an image.
    #[error("invalid reference format: {0}")]
    Reference(String),
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] InvalidCredentials),
    /// The credentials for this registry would have to be exchanged first.
    #[error(
        "{0}: the credentials are an identity token, which only a Docker engine can use: for \
         components, log in with a user name and a password or an access token"
    )]
    IdentityToken(String),
    /// The registry's words, or that it cannot be reached.
    #[error("{registry}: {message}")]
    Registry {
        /// Its host.
        registry: String,
        /// What it said.
        message: String,
    },
    /// The image is there, but is no Wasm artifact.
    #[error("{0} is not a Wasm artifact: it has no layer of type application/wasm")]
    NotWasm(String),
    /// No key that is trusted has signed it.
    #[error("{artifact} has no signature by a trusted key ({keys})")]
    Unsigned {
        /// Its reference.
        artifact: String,
        /// The names of the keys.
        keys: String,
    },
    /// The component, or the configuration, is larger than its bound.
    #[error("{what} of {size} bytes is larger than the {max} allowed")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The bound.
        max: u64,
    },
}

/// What a reference names, in the shape of the engine API's `/distribution`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Distribution {
    /// The manifest, or the index of several.
    pub descriptor: Descriptor,
    /// What the image runs on.
    pub platforms: Vec<OciPlatform>,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of manifest.
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A platform in the words of OCI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OciPlatform {
    /// `amd64`, `wasm`, …
    pub architecture: String,
    /// `linux`, `wasip2`, …
    pub os: String,
}

/// A component from a registry.
#[derive(Clone, Debug)]
pub struct Component {
    /// Digest of its manifest, which is what a reference pins.
    pub manifest: String,
    /// Its own digest, checked.
    pub digest: String,
    /// The component.
    pub bytes: Bytes,
}

#[derive(Deserialize)]
struct AnyManifest {
    #[serde(default)]
    config: Option<OciDescriptor>,
    #[serde(default)]
    manifests: Vec<ListedManifest>,
    #[serde(rename = "mediaType", default)]
    media_type: Option<String>,
}

#[derive(Deserialize)]
struct ListedManifest {
    #[serde(default)]
    platform: Option<OciPlatform>,
}

/// The registries of the world, as this node speaks to them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    insecure: Arc<[String]>,
}

// === impl Registries ===

impl Registries {
    /// Those that `insecure` names, as `HOST:PORT` or `HOST`, are spoken to over plain
    /// HTTP.
    pub fn new(insecure: impl IntoIterator<Item = String>) -> Self {
        Self { insecure: insecure.into_iter().collect() }
    }

    /// Looks an image up.
    ///
    /// # Errors
    /// The reference, or the registry's refusal.
    pub async fn look_up(
        &self,
        image: &str,
        credentials: &Credentials,
    ) -> Result<Distribution, RegistryError> {
        let reference = parse(image)?;
        look_up(&self.client(&reference), &reference, credentials).await
    }

    /// Fetches the component of a Wasm artifact.
    ///
    /// # Errors
    /// As [`Registries::look_up`]; or it is no Wasm artifact, or too large.
    pub async fn component(
        &self,
        image: &str,
        credentials: &Credentials,
    ) -> Result<Component, RegistryError> {
        let reference = parse(image)?;
        component(&self.client(&reference), &reference, credentials).await
    }

    /// Who of `keys` has signed the manifest of this digest, beside which `image`
    /// stands.
    ///
    /// # Errors
    /// Nobody, or the registry does not answer.
    pub async fn signer(
        &self,
        image: &str,
        digest: &str,
        credentials: &Credentials,
        keys: &[TrustedKey],
    ) -> Result<String, RegistryError> {
        let reference = parse(image)?;
        signature::signer(&self.client(&reference), &reference, credentials, digest, keys).await
    }

    /// Pushes a component under a reference.
    ///
    /// # Errors
    /// The reference, or the registry's refusal.
    pub async fn push(
        &self,
        image: &str,
        artifact: &Artifact,
        credentials: &Credentials,
    ) -> Result<Pushed, RegistryError> {
        let reference = parse(image)?;
        push::push(&self.client(&reference), &reference, artifact, credentials).await
    }

    fn client(&self, reference: &Reference) -> Client {
        // The second call finds the first one's provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let protocol = match self.is_plain(reference.resolve_registry()) {
            true => ClientProtocol::Http,
            false => ClientProtocol::Https,
        };
        Client::new(ClientConfig {
            protocol,
            connect_timeout: Some(PATIENCE),
            read_timeout: Some(PATIENCE),
            ..ClientConfig::default()
        })
    }

    /// Whether a registry is spoken to in the clear.
    fn is_plain(&self, registry: &str) -> bool {
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let named = self.insecure.iter().any(|name| name == registry || name == host);
        named || is_loopback(registry)
    }
}

async fn look_up(
    client: &Client,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Distribution, RegistryError> {
    let refused = |e| refusal(reference, e);
    let auth = credentials.known(reference.registry())?;
    let (bytes, digest) =
        client.pull_manifest_raw(reference, auth, &MANIFESTS).await.map_err(refused)?;
    let manifest: AnyManifest =
        serde_json::from_slice(&bytes).map_err(|e| refusal(reference, e))?;
    let platforms: Vec<OciPlatform> = match &manifest.config {
        Some(config) => {
            let text = blob(client, reference, config, "a configuration", CONFIG_MAX).await?;
            serde_json::from_slice(&text).into_iter().collect()
        }
        None => manifest.manifests.into_iter().filter_map(|m| m.platform).collect(),
    };
    let media_type = manifest.media_type.unwrap_or_else(|| MANIFESTS[1].to_owned());
    let known = |p: &OciPlatform| !p.os.is_empty() || !p.architecture.is_empty();
    Ok(Distribution {
        descriptor: Descriptor { media_type, digest, size: bytes.len() as u64 },
        platforms: platforms.into_iter().filter(known).collect(),
    })
}

async fn component(
    client: &Client,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Component, RegistryError> {
    let auth = credentials.known(reference.registry())?;
    let (manifest, digest) =
        client.pull_manifest(reference, auth).await.map_err(|e| refusal(reference, e))?;
    let not_wasm = || RegistryError::NotWasm(reference.whole());
    let OciManifest::Image(manifest) = manifest else { return Err(not_wasm()) };
    let layer = component_layer(&manifest).ok_or_else(not_wasm)?;
    let bytes = blob(client, reference, layer, "a component", COMPONENT_MAX).await?;
    Ok(Component { manifest: digest, digest: layer.digest.clone(), bytes: bytes.into() })
}

fn component_layer(manifest: &OciImageManifest) -> Option<&OciDescriptor> {
    manifest.layers.iter().find(|layer| COMPONENT_LAYERS.contains(&layer.media_type.as_str()))
}

/// Fetches a blob of a known size; its digest is checked on the way.
async fn blob(
    client: &Client,
    reference: &Reference,
    descriptor: &OciDescriptor,
    what: &'static str,
    max: u64,
) -> Result<Vec<u8>, RegistryError> {
    let size = u64::try_from(descriptor.size).unwrap_or(u64::MAX);
    if size > max {
        return Err(RegistryError::TooLarge { what, size, max });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    client.pull_blob(reference, descriptor, &mut bytes).await.map_err(|e| refusal(reference, e))?;
    Ok(bytes)
}

fn parse(image: &str) -> Result<Reference, RegistryError> {
    image.parse().map_err(|_| RegistryError::Reference(image.to_owned()))
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

fn refusal(reference: &Reference, error: impl std::error::Error) -> RegistryError {
    let registry = reference.resolve_registry().to_owned();
    let mut message = error.to_string();
    let cause = innermost(&error);
    let sent = message.contains("error sending request for url (https://");
    if !message.contains(&cause) {
        message = format!("{message}: {cause}");
    }
    // Nobody answered, or somebody without TLS did.
    if sent && !UNREACHED.iter().any(|words| cause.contains(words)) {
        message.push_str(&format!(
            "; if it speaks plain HTTP, start the daemon with --insecure-registry {registry}"
        ));
    }
    RegistryError::Registry { registry, message }
}

/// What the system says where there is nobody to speak TLS or not.
const UNREACHED: [&str; 3] = ["onnection refused", "lookup address", "unreachable"];

/// The cause that says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

// === impl OciPlatform ===

impl From<OciPlatform> for Platform {
    fn from(platform: OciPlatform) -> Self {
        Self { architecture: platform.architecture, os: platform.os }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_on_loopback_and_named_ones_are_spoken_to_in_the_clear() {
        let registries = Registries::new(["10.0.0.2:5000", "reg.example"].map(str::to_owned));
        for (registry, want) in [
            ("localhost:5000", true),
            ("localhost", true),
            ("127.0.0.9:5000", true),
            ("[::1]:5000", true),
            ("10.0.0.1:5000", false),
            ("localhost.example", false),
            ("index.docker.io", false),
            ("10.0.0.2:5000", true),
            ("10.0.0.2:5001", false),
            ("reg.example:5000", true),
        ] {
            assert_eq!(registries.is_plain(registry), want, "{registry}");
        }
    }

    #[tokio::test]
    async fn errors_name_what_was_asked_for() {
        let (registries, anyone) = (Registries::default(), Credentials::default());
        let invalid = registries.look_up("UPPER CASE", &anyone).await.expect_err("not a reference");
        assert_eq!(invalid.to_string(), "invalid reference format: UPPER CASE");
        let nobody =
            registries.component("localhost:1/x:y", &anyone).await.expect_err("nobody listens");
        assert!(nobody.to_string().starts_with("localhost:1: "), "{nobody}");
    }
}
