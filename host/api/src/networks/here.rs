//! The networks of the cluster as a node knows them that does not hold the state: by what
//! the leader told it of those with a task or a container here, and by its engine.

use super::engines;
use super::resource::Resource;
use crate::api::Host;
use crate::reply::{Refused, Reply};

/// Those that somebody of this node is on. Of a shadow that the leader said nothing of (a
/// container is about to join, or the last one has left) the engine's word is taken.
pub(super) async fn networks(host: &Host) -> Reply<Vec<Resource>> {
    let heard = host.networks_heard();
    let overlays = heard.networks.iter().filter(|network| network.is_overlay());
    let mut all: Vec<Resource> = overlays.map(|network| Resource::heard(network, &heard)).collect();
    let shadows = match engines::shadows(host).await {
        Ok(shadows) => shadows,
        Err(refused) if all.is_empty() => return Err(refused),
        Err(Refused(why)) => {
            tracing::warn!(%why, "networks are shown without the engine's");
            return Ok(all);
        }
    };
    // The shadow of a network that was removed may still have the name of a newer one.
    let is_heard = |network: &Resource| {
        all.iter().any(|heard| heard.id == network.id || heard.name == network.name)
    };
    let others: Vec<Resource> =
        shadows.into_iter().map(|s| s.network).filter(|network| !is_heard(network)).collect();
    all.extend(others);
    Ok(all)
}
