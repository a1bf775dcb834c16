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
                let attachments = attachments.into_iter().map(|(id, _)| id);
                return networks.name(attachments, &container, &names).await;
            }
        });
    }

    /// Tells the leader what containers are called that it knows by another name, or by
    /// none: it was not reached when they began, or somebody renamed them.
    pub(super) async fn name_again(&self) {
        let mut joined = self.0.memory.endpoints();
        joined.retain(|e| e.sandbox.is_some() && !self.attachments_of(e).is_empty());
        if joined.is_empty() || self.is_leaving() {
            return;
        }
        let on = joined.iter().map(|endpoint| endpoint.on.to_string()).collect();
        let Some(listed) = self.containers_on(on).await else { return };
        for endpoint in joined {
            let seen = listed.iter().find(|one| is_of(one, &endpoint)).and_then(name_and_short);
            let Some((name, short)) = seen else { continue };
            let mut known = self.attachments_of(&endpoint);
            known.retain(|(_, names)| names.first() != Some(&name) || !names.contains(&short));
            if !known.is_empty()
                && let Some((container, names)) = self.names_of(&endpoint).await
            {
                self.name(known.into_iter().map(|(id, _)| id), &container, &names).await;
            }
        }
    }

    async fn name(
        &self,
        attachments: impl Iterator<Item = AttachmentId>,
        container: &str,
        names: &[String],
    ) {
        for id in attachments {
            match self.0.leader.name(id, container.to_owned(), names.to_owned()).await {
                Ok(()) => drop(self.0.said.leader.is_over(&id)),
                Err(error) => {
                    if self.0.said.leader.is_news(id, &error) {
                        warn!(container, error, "a container is not found by its name");
                    }
                }
            }
        }
    }

    /// What the leader knows of an endpoint's container, with its names.
    fn attachments_of(&self, endpoint: &Endpoint) -> Vec<(AttachmentId, Vec<String>)> {
        let known = self.0.heard.known();
        let own = known.endpoints.values().filter(|e| e.node == self.0.node);
        let here = own.filter(|e| {
            let mut on = e.on.iter().filter(|on| on.network == endpoint.network);
            on.any(|on| on.addresses.iter().any(|a| endpoint.addresses.contains(a)))
        });
        here.filter_map(|e| match e.id {
            EndpointId::Attachment(id) => Some((id, e.names.clone())),
            EndpointId::Task(_) => None,
        })
        .collect()
    }

    /// Running containers on networks of the engine.
    async fn containers_on(&self, networks: Vec<String>) -> Option<Vec<ContainerSummary>> {
        let options = ListContainersOptions {
            filters: Some(HashMap::from([("network".to_owned(), networks)])),
            ..Default::default()
        };
        let options = &options;
        let list = move |docker: Docker| async move {
            docker.list_containers(Some(options.clone())).await
        };
        self.0.engine.call(list).await.ok()
    }

    /// The container of an endpoint, with its name, its short id and its aliases.
    async fn names_of(&self, endpoint: &Endpoint) -> Option<(String, Vec<String>)> {
        let listed = self.containers_on(vec![endpoint.on.to_string()]).await?;
        let id = listed.iter().find(|one| is_of(one, endpoint))?.id.clone()?;
        let wanted = &id;
        let inspect =
            move |docker: Docker| async move { docker.inspect_container(wanted, None).await };
        let seen = self.0.engine.call(inspect).await.ok()?;
        let name = seen.name.unwrap_or_default();
        let networks = seen.network_settings.and_then(|s| s.networks).unwrap_or_default();
        let on = networks.into_values().find(|on| on.endpoint_id == Some(endpoint.id.to_string()));
        let aliases = on.and_then(|on| on.aliases).unwrap_or_default();
        let mut names = vec![name.trim_start_matches('/').to_owned(), short(&id)];
        names.extend(aliases);
        names.dedup();
        Some((id, names))
    }
}

fn short(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}

/// A listed container's own name (others are those by which links lead to it) and short id.
fn name_and_short(container: &ContainerSummary) -> Option<(String, String)> {
    let mut names = container.names.iter().flatten().filter_map(|name| name.strip_prefix('/'));
    let name = names.find(|name| !name.contains('/'))?;
    Some((name.to_owned(), short(container.id.as_ref()?)))
}

fn is_of(container: &ContainerSummary, endpoint: &Endpoint) -> bool {
    let settings = container.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    let mut all = networks.into_iter().flat_map(|networks| networks.values());
    all.any(|on| on.endpoint_id == Some(endpoint.id.to_string()))
}
