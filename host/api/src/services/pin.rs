//! Before 1.30 clients could not ask what an image is: the daemon did it for them, so that all
//! nodes run the same one.

use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{ImageReference, ServiceSpec, no_digest};

use crate::api::Host;
use crate::engine;
use crate::reply::Reply;
use crate::version::ApiVersion;

/// First version whose clients ask themselves.
const ASKED_BY_CLIENTS: ApiVersion = ApiVersion::v1(30);
/// The most time for a registry; then the image stays as it was typed.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(20);

/// Puts the digest behind an image that has none, where the client could not. What no registry
/// knows stays as it is, with a warning.
pub(super) async fn pin(
    host: &Host,
    version: ApiVersion,
    spec: &mut ServiceSpec,
) -> Option<String> {
    if version >= ASKED_BY_CLIENTS {
        return None;
    }
    let named = {
        let image = &spec.container()?.image;
        let reference = ImageReference::parse(image);
        // What is no image is refused later, in its own words.
        if reference.digest.is_some() || !reference.is_valid() {
            return None;
        }
        match reference.tag {
            Some(_) => image.clone(),
            None => format!("{image}:latest"),
        }
    };
    let asked = digest(host, &named, &spec.task_template.registry_auth);
    let Ok(Ok(Some(digest))) = tokio::time::timeout(REGISTRY_PATIENCE, asked).await else {
        return Some(no_digest(&named));
    };
    let container = &mut Arc::make_mut(&mut spec.task_template).container_spec;
    container.get_or_insert_default().image = format!("{named}@{digest}");
    None
}

/// `None` where the registry names none.
async fn digest(host: &Host, image: &str, auth: &str) -> Reply<Option<String>> {
    let told = engine::image(host, image, auth).await?;
    let digest = told.pointer("/Descriptor/digest").and_then(|digest| digest.as_str());
    Ok(digest.filter(|digest| !digest.is_empty()).map(str::to_owned))
}
