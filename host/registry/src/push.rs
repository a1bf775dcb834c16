//! Pushing a component in the CNCF's layout: a manifest with a Wasm configuration
//! and one layer of type `application/wasm`, which wkg, oras and cosign know too.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::{Client, Reference};
use serde_json::json;

use crate::{Credentials, RegistryError, parse, refusal};

/// The configuration of a Wasm artifact.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Its layer.
const LAYER: &str = "application/wasm";

/// A component to push.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The component.
    pub bytes: Bytes,
    /// The interfaces that it exports, for the configuration.
    pub exports: Vec<String>,
    /// For the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// What a registry has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Of the manifest: `sha256:…`.
    pub digest: String,
    /// `HOST/NAME@sha256:…`, which names this content and no other.
    pub pinned: String,
}

pub(crate) async fn push(
    client: &Client,
    reference: &Reference,
    artifact: &Artifact,
    credentials: &Credentials,
) -> Result<Pushed, RegistryError> {
    let refused = |e| refusal(reference, e);
    let auth = credentials.known(reference.registry())?;
    let layer = ImageLayer::new(artifact.bytes.clone(), LAYER.to_owned(), None);
    let layer_digest = layer.sha256_digest();
    let config = json!({
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer_digest],
        "component": {
            "exports": artifact.exports,
            "imports": ["swarmw:types/host@0.1.0"],
            "target": null,
        },
    });
    let config = Config::new(config.to_string(), CONFIG.to_owned(), None);
    let layers = [layer];
    let annotations = Some(artifact.annotations.clone());
    let manifest = OciImageManifest::build(&layers, &config, annotations);
    client.push(reference, &layers, config, auth, Some(manifest)).await.map_err(refused)?;
    let digest = client.fetch_manifest_digest(reference, auth).await.map_err(refused)?;
    let pinned = format!("{}/{}@{digest}", reference.registry(), reference.repository());
    Ok(Pushed { digest, pinned })
}

// === impl Credentials ===

impl Credentials {
    /// Those that `docker login` has stored for the registry of a reference:
    /// `config.json` in `$DOCKER_CONFIG` or `~/.docker`. Nobody's when there are none.
    ///
    /// # Errors
    /// The reference, the file, or credentials that only a helper program knows.
    pub fn of_docker(image: &str) -> Result<Self, RegistryError> {
        let registry = parse(image)?.resolve_registry().to_owned();
        let folder = std::env::var_os("DOCKER_CONFIG")
            .map(std::path::PathBuf::from)
            .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
        let Some(path) = folder.map(|folder| folder.join("config.json")) else {
            return Ok(Self::default());
        };
        match std::fs::read(&path) {
            Ok(text) => Self::of_docker_config(&text, &registry)
                .map_err(|message| RegistryError::Registry { registry, message }),
            // No such file: nobody has logged in.
            Err(_) => Ok(Self::default()),
        }
    }

    fn of_docker_config(text: &[u8], registry: &str) -> Result<Self, String> {
        let config: serde_json::Value = serde_json::from_slice(text)
            .map_err(|error| format!("Docker's config.json cannot be read: {error}"))?;
        // Docker Hub goes by its old name there.
        let names = match registry {
            "index.docker.io" => ["https://index.docker.io/v1/", "docker.io"],
            other => [other, other],
        };
        let entry = names.iter().find_map(|name| config.get("auths")?.get(name));
        let auth = entry.and_then(|entry| entry.get("auth")?.as_str()).unwrap_or_default();
        if auth.is_empty() {
            let helper = config.get("credsStore").and_then(|h| h.as_str());
            return match (entry, helper) {
                (Some(_), Some(helper)) => Err(format!(
                    "docker-credential-{helper} has the credentials, which is not asked: \
                     run `docker login` with a DOCKER_CONFIG that has no credsStore"
                )),
                _ => Ok(Self::default()),
            };
        }
        let pair = crate::auth::standard(auth).and_then(|pair| {
            let (name, password) = pair.split_once(':')?;
            Some((name.to_owned(), password.to_owned()))
        });
        match pair {
            Some((name, password)) => Ok(Self::user(name, password)),
            None => Err("the credentials in Docker's config.json are not base64 of NAME:PASSWORD"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_docker_login() {
        let text = br#"{"auths":{"localhost:5000":{"auth":"bWU6czpjcmV0"},"https://index.docker.io/v1/":{}},"credsStore":"pass"}"#;
        let read = Credentials::of_docker_config(text, "localhost:5000").expect("an entry");
        assert!(read == Credentials::user("me".into(), "s:cret".into()), "{read:?}");
        let other = Credentials::of_docker_config(text, "ghcr.io").expect("nobody");
        assert!(other.is_nobody(), "{other:?}");
        let helper = Credentials::of_docker_config(text, "index.docker.io").expect_err("a helper");
        assert!(helper.starts_with("docker-credential-pass has the credentials"), "{helper}");
        assert!(Credentials::of_docker_config(b"{", "x").is_err());
    }
}
