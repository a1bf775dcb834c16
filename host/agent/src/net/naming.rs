//! Containers that no service made are found by the names that their engine knows, which
//! it does not tell its driver.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;
use swarmw_engine_driver::Endpoint;
use swarmw_model::{AttachmentId, EndpointId};
use tracing::warn;

use super::Networks;

/// Between two looks for the container of an endpoint…
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// …and how often: it is listed as soon as it has started.
const LOOKS: u32 = 120;
/// Characters of a short id.
const SHORT_ID: usize = 12;

// === impl Networks ===

impl Networks {
    /// Tells the leader, in a while, what the container of an endpoint is called.
    pub(super) fn name_later(&self, endpoint: Endpoint) {
        let attachments = self.attachments_of(&endpoint);
        if attachments.is_empty() {
            return;
        }
        let networks = self.clone();
        tokio::spawn(async move {
            for _ in 0..LOOKS {
                tokio::time::sleep(LOOK_AGAIN).await;
                let Some((container, names)) = networks.names_of(&endpoint).await else { continue };
                for id in attachments {
                    let told = networks.0.leader.name(id, container.clone(), names.clone()).await;
                    if let Err(error) = told {
                        warn!(container, error, "a container is not found by its name");
                    }
                }
                return;
            }
        });
    }

    fn attachments_of(&self, endpoint: &Endpoint) -> Vec<AttachmentId> {
        let known = self.0.known.borrow();
        let own = known.endpoints.values().filter(|e| e.node == self.0.node);
        let here = own.filter(|e| {
            let mut on = e.on.iter().filter(|on| on.network == endpoint.network);
            on.any(|on| on.addresses.iter().any(|a| endpoint.addresses.contains(a)))
        });
        here.filter_map(|e| match e.id {
            EndpointId::Attachment(id) => Some(id),
            EndpointId::Task(_) => None,
        })
        .collect()
    }

    /// The container of an endpoint, with its name, its short id and its aliases.
    async fn names_of(&self, endpoint: &Endpoint) -> Option<(String, Vec<String>)> {
        let options = ListContainersOptions {
            filters: Some(HashMap::from([("network".to_owned(), vec![endpoint.on.to_string()])])),
            ..Default::default()
        };
        let options = &options;
        let list =
            move |docker: Docker| async move { docker.list_containers(Some(options.clone())).await };
        let listed = self.0.engine.call(list).await.ok()?;
        let id = listed.iter().find(|one| is_of(one, endpoint))?.id.clone()?;
        let wanted = &id;
        let inspect =
            move |docker: Docker| async move { docker.inspect_container(wanted, None).await };
        let seen = self.0.engine.call(inspect).await.ok()?;
        let name = seen.name.unwrap_or_default();
        let networks = seen.network_settings.and_then(|s| s.networks).unwrap_or_default();
        let on = networks.into_values().find(|on| on.endpoint_id == Some(endpoint.id.to_string()));
        let aliases = on.and_then(|on| on.aliases).unwrap_or_default();
        let short: String = id.chars().take(SHORT_ID).collect();
        let mut names = vec![name.trim_start_matches('/').to_owned(), short];
        names.extend(aliases);
        names.dedup();
        Some((id, names))
    }
}

fn is_of(container: &ContainerSummary, endpoint: &Endpoint) -> bool {
    let settings = container.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    let mut all = networks.into_iter().flat_map(|networks| networks.values());
    all.any(|on| on.endpoint_id == Some(endpoint.id.to_string()))
}
