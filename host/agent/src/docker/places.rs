//! Where a task's container is to be.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest};
use ipnet::IpNet;
use swarmw_model::{Assignment, Network, NetworkAttachment, NetworkId};
use swarmw_overlay::{Local, Overlay, Settings};

use super::failure::Failure;
use super::gateway::{self, GATEWAY_BRIDGE};
use super::shadows::Shadows;
use crate::executor::TaskError;

/// How long a task waits to be told of its networks.
const NEWS_PATIENCE: Duration = Duration::from_secs(30);
/// On a node that joins none, it waits to be told that they are the engine's own.
const NEWS_PATIENCE_OF_NONE: Duration = Duration::from_secs(2);

/// Where a task's container is, as its engine names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a network that each engine has: `host` for example.
    Predefined(String),
    /// On a network of the cluster.
    Shadow {
        /// The shadow's name on the engine.
        name: String,
        /// Addresses that the container has there.
        addresses: Vec<IpNet>,
    },
}

// === impl Shadows ===

impl Shadows {
    /// Where the container of a task is to be, with shadows made for its networks. On the
    /// network of the routing mesh it is by its engine's bridge, where containers on networks
    /// of the cluster are anyway.
    pub(super) async fn places(&self, task: &Assignment) -> Result<Vec<Place>, TaskError> {
        let mut places = Vec::new();
        let mut on_mesh = false;
        for place in wanted(task) {
            match place {
                Wanted::Predefined(name) => places.push(Place::Predefined(name)),
                Wanted::Network(id, addresses) => {
                    let told = self.told_of(id).await;
                    if told.as_ref().is_some_and(|network| network.spec.ingress) {
                        on_mesh = true;
                        continue;
                    }
                    let network = self.judge(id, told).await?;
                    places.push(if network.is_overlay() {
                        let name = self.ensure(&network).await?.name;
                        Place::Shadow { name, addresses }
                    } else {
                        Place::Predefined(network.spec.name)
                    });
                }
            }
        }
        // A node that joins no networks has no way from others to its bridge.
        if on_mesh && places.is_empty() && self.joins() {
            gateway::ensure(&self.engine, task.node_id).await?;
            places.push(Place::Predefined(GATEWAY_BRIDGE.to_owned()));
        }
        Ok(places)
    }

    /// Puts a container that was made and not started on those of its places that it is
    /// not on yet: an engine before API 1.44 makes it with one.
    pub(super) async fn connect(
        &self,
        container: &str,
        places: &[Place],
        on: &[String],
    ) -> Result<(), Failure> {
        for place in places {
            let Place::Shadow { name, addresses } = place else { continue };
            if on.contains(name) {
                continue;
            }
            let request = &NetworkConnectRequest {
                container: container.to_owned(),
                endpoint_config: Some(endpoint(addresses)),
            };
            let connect = move |docker: Docker| async move {
                docker.connect_network(name, request.clone()).await
            };
            self.engine.call(connect).await?;
        }
        Ok(())
    }

    /// Where a container is on the bridge that its engine connects it to when its networks
    /// have no gateway; the container's own settings do not name it.
    pub(super) async fn on_bridge(&self, container: &str) -> Result<Option<Local>, Failure> {
        let mut containers = match self.containers_on(GATEWAY_BRIDGE).await {
            // It is made for the first container that needs it.
            Err(failure) if failure.is_not_found() => return Ok(None),
            containers => containers?,
        };
        Ok(containers.remove(container).map(|(_, local)| local))
    }

    /// A network by its id, as soon as the leader has told of it.
    async fn told_of(&self, id: NetworkId) -> Option<Network> {
        let mut told = self.told.subscribe();
        let heard = told.wait_for(|networks| networks.contains_key(&id));
        let heard = tokio::time::timeout(self.patience(), heard).await;
        heard.ok().and_then(Result::ok).and_then(|all| all.get(&id).cloned())
    }

    fn patience(&self) -> Duration {
        if self.joins() { NEWS_PATIENCE } else { NEWS_PATIENCE_OF_NONE }
    }

    /// A network that containers can be on, by its id and what the leader has told of it.
    async fn judge(&self, id: NetworkId, told: Option<Network>) -> Result<Network, TaskError> {
        match told {
            Some(network) if self.joins() || !network.is_overlay() => Ok(network),
            None if self.joins() => {
                let seconds = self.patience().as_secs();
                Err(TaskError(format!("the manager did not tell of network {id} for {seconds} s")))
            }
            _ => Err(unable().await),
        }
    }
}

/// Why a node joins no networks.
async fn unable() -> TaskError {
    let why = match Overlay::able(&Settings::new("")).await {
        Ok(()) => "its daemon found it unable to when it began: start the daemon again".to_owned(),
        Err(why) => why.to_string(),
    };
    TaskError(format!("this node joins no overlay networks: {why}"))
}

// === impl Place ===

impl Place {
    /// What the engine calls the network.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Predefined(name) | Self::Shadow { name, .. } => name,
        }
    }
}

/// Whether a task's container may be in more than one place.
pub(super) fn wants_several(task: &Assignment) -> bool {
    wanted(task).len() > 1
}

/// Where a task should be.
enum Wanted {
    Predefined(String),
    Network(NetworkId, Vec<IpNet>),
}

/// The networks that a task has addresses on, and those of its spec that give none.
fn wanted(task: &Assignment) -> Vec<Wanted> {
    let attached = |id: &NetworkId| task.attachments.iter().any(|a| a.network == *id);
    let on = |a: &NetworkAttachment| Wanted::Network(a.network, a.addresses.clone());
    let mut wanted: Vec<_> = task.attachments.iter().map(on).collect();
    for target in task.spec.networks.iter().map(|network| &network.target) {
        match target.parse() {
            Ok(id) if attached(&id) => {}
            Ok(id) => wanted.push(Wanted::Network(id, Vec::new())),
            Err(_) => wanted.push(Wanted::Predefined(target.clone())),
        }
    }
    wanted
}

/// What the engine is told of a container on a shadow. No aliases: names are the cluster's.
pub(super) fn endpoint(addresses: &[IpNet]) -> EndpointSettings {
    let of = |v6: bool| addresses.iter().map(IpNet::addr).find(|address| address.is_ipv6() == v6);
    let config = EndpointIpamConfig {
        ipv4_address: of(false).map(|address| address.to_string()),
        ipv6_address: of(true).map(|address| address.to_string()),
        link_local_ips: None,
    };
    EndpointSettings {
        ipam_config: (!addresses.is_empty()).then_some(config),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swarmw_model::{NetworkNews, NodeId, ServiceId, TaskId, TaskState};
    use tokio::time::Instant;

    use super::super::engine::Engine;
    use super::*;

    /// A task with an address on a network.
    fn on_network(network: NetworkId) -> Assignment {
        let address = "10.0.0.5/24".parse().expect("an address");
        Assignment {
            id: TaskId::from_bits(1),
            service_id: ServiceId::from_bits(2),
            service: Default::default(),
            slot: 1,
            node_id: NodeId::from_bits(4),
            spec: Default::default(),
            desired_state: TaskState::Running,
            status: Default::default(),
            job_iteration: None,
            attachments: vec![NetworkAttachment { network, addresses: vec![address] }],
            generic_resources: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_joins_no_networks_says_so_and_knows_the_engines_own() {
        let shadows = Shadows::new(Engine::new("/nowhere.sock".into()), false);
        let begun = Instant::now();
        let id = NetworkId::from_bits(7);
        let known = async || shadows.judge(id, shadows.told_of(id).await).await;
        let refused = known().await.expect_err("nobody told of it");
        assert!(refused.0.starts_with("this node joins no overlay networks: "), "{refused:?}");
        assert_eq!(begun.elapsed(), NEWS_PATIENCE_OF_NONE);

        let told = |driver: &str| {
            let network = Network {
                id,
                version: Default::default(),
                created_at: Default::default(),
                updated_at: Default::default(),
                spec: serde_json::from_value(json!({"Name": "host", "Driver": {"Name": driver}}))
                    .expect("a spec"),
                pools: Vec::new(),
                vni: 0,
            };
            NetworkNews { complete: true, networks: vec![network], ..Default::default() }
        };
        shadows.hear(&told("overlay"));
        let begun = Instant::now();
        known().await.expect_err("it is an overlay");
        let mesh = |driver: &str| {
            let mut news = told(driver);
            news.networks[0].spec.ingress = true;
            news
        };
        shadows.hear(&mesh("overlay"));
        let places = shadows.places(&on_network(id)).await.expect("the mesh is no place");
        assert_eq!(places, [], "and in user space it goes on");
        shadows.hear(&told("host"));
        assert_eq!(known().await.expect("one of the engine's").spec.name, "host");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
