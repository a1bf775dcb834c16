//! What the API asks of registries.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use swarmw_api::Fetched;
use swarmw_model::{ImageReference, PluginOffer, Refusal, RefusalKind};
use swarmw_registry::{CredentialHelpers, Credentials, Registries, RegistryError, TrustedKey};
use tracing::warn;

/// What an image is, in the shape of the engine API's `/distribution`. A client that sends no
/// credentials is answered with those of the node's own program for the registry.
pub(super) async fn look_up(
    registries: &Registries,
    helpers: &CredentialHelpers,
    image: &str,
    auth: &str,
) -> Result<Value, Refusal> {
    let mut credentials = credentials(auth)?;
    if credentials.is_nobody() {
        let registry = ImageReference::parse(image).domain();
        match helpers.get(registry).await {
            Some(Ok(own)) => credentials = own,
            Some(Err(why)) => warn!(registry, %why, "an image is looked up without credentials"),
            None => {}
        }
    }
    let found = registries.look_up(image, &credentials).await.map_err(refusal)?;
    serde_json::to_value(found)
        .map_err(|e| Refusal::plain(RefusalKind::Unknown, format!("{image}: {e}")))
}

/// The component that a reference names, and the reference with its digest; signed by
/// one of the keys, where there are any.
pub(super) async fn fetch(
    registries: &Registries,
    keys: &[TrustedKey],
    reference: &str,
    auth: &str,
) -> Result<Fetched, Refusal> {
    let credentials = credentials(auth)?;
    let found = registries.component(reference, &credentials).await.map_err(refusal)?;
    let signer = match keys {
        [] => None,
        keys => Some(
            registries
                .signer(reference, &found.manifest, &credentials, keys)
                .await
                .map_err(|e| Refusal::plain(RefusalKind::PermissionDenied, e.to_string()))?,
        ),
    };
    let named = reference.split_once('@').map_or(reference, |(named, _)| named);
    Ok(Fetched { component: found.bytes, reference: format!("{named}@{}", found.manifest), signer })
}

/// Refuses an unsigned component where keys are set.
pub(super) fn check_signed(keys: &[TrustedKey], offer: &PluginOffer) -> Result<(), Refusal> {
    if keys.is_empty() || offer.signer.is_some() {
        return Ok(());
    }
    Err(Refusal::plain(
        RefusalKind::PermissionDenied,
        "this node takes signed plugins only (--plugin-key): push the component and its \
         signature to a registry, and add it from there",
    ))
}

/// Reads the keys of whoever may sign plugins, each named after its file.
pub(super) fn plugin_keys(files: &[PathBuf]) -> Result<Vec<TrustedKey>> {
    let read = |path: &PathBuf| {
        let shown = path.display();
        let pem = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        TrustedKey::parse(&name, &pem).with_context(|| format!("--plugin-key {shown}"))
    };
    files.iter().map(read).collect()
}

fn credentials(auth: &str) -> Result<Credentials, Refusal> {
    Credentials::of_header(auth).map_err(|e| Refusal::invalid(e.to_string()))
}

fn refusal(error: RegistryError) -> Refusal {
    Refusal::plain(RefusalKind::Unknown, error.to_string())
}
