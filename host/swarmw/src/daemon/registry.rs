//! What the API asks of registries.

use serde_json::Value;
use swarmw_api::Fetched;
use swarmw_model::{Refusal, RefusalKind};
use swarmw_registry::{Credentials, Registries, RegistryError};

/// What an image is, in the shape of the engine API's `/distribution`.
pub(super) async fn look_up(
    registries: &Registries,
    image: &str,
    auth: &str,
) -> Result<Value, Refusal> {
    let found = registries.look_up(image, &credentials(auth)?).await.map_err(refusal)?;
    serde_json::to_value(found)
        .map_err(|e| Refusal::plain(RefusalKind::Unknown, format!("{image}: {e}")))
}

/// The component that a reference names, and the reference with its digest.
pub(super) async fn fetch(
    registries: &Registries,
    reference: &str,
    auth: &str,
) -> Result<Fetched, Refusal> {
    let found = registries.component(reference, &credentials(auth)?).await.map_err(refusal)?;
    let named = reference.split_once('@').map_or(reference, |(named, _)| named);
    Ok(Fetched {
        component: found.bytes,
        reference: format!("{named}@{}", found.manifest),
        signer: None,
    })
}

fn credentials(auth: &str) -> Result<Credentials, Refusal> {
    Credentials::of_header(auth).map_err(|e| Refusal::invalid(e.to_string()))
}

fn refusal(error: RegistryError) -> Refusal {
    Refusal::plain(RefusalKind::Unknown, error.to_string())
}
