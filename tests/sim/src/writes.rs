//! What operators do.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use swarmw_manager::is_leader_lost;
use swarmw_model::{Id, NodeSpec, Refusal, RequestId, ServiceId, ServiceSpec};
use swarmw_state::Change;

use crate::Cluster;

/// Between two tries of a write that found no leader.
const WRITE_PAUSE: Duration = Duration::from_millis(100);

impl Cluster {
    /// Writes, wherever the leader is and however often it takes.
    ///
    /// # Errors
    /// What the state refused.
    pub async fn write(&self, change: Change) -> Result<Option<Id>, Refusal> {
        let request = RequestId::from_bits(self.ambient.chance().random());
        self.soon("a write is taken", async || {
            let manager = self.leader().await.manager()?;
            let written = manager.write(Some(request), change.clone()).await;
            match written {
                Err(refusal) if is_leader_lost(&refusal) => {
                    tokio::time::sleep(WRITE_PAUSE).await;
                    None
                }
                written => Some(written),
            }
        })
        .await
    }

    /// Creates a service.
    ///
    /// # Panics
    /// It is refused.
    pub async fn create(&self, spec: ServiceSpec) -> ServiceId {
        let manager = self.leader().await.manager().expect("a leader is a manager");
        manager.check_service(&spec, None).await.expect("a service that plugins can work with");
        let id = ServiceId::from_bits(self.ambient.chance().random());
        let change = Change::CreateService { id, spec: Box::new(spec) };
        self.write(change).await.expect("a service of this name");
        id
    }

    /// Changes a service's spec.
    ///
    /// # Panics
    /// It is refused.
    pub async fn update(&self, id: ServiceId, change: impl Fn(&mut ServiceSpec)) {
        self.soon("the service is changed", async || {
            let service = self.fresh().await.service(id).expect("a service").clone();
            let mut spec = service.spec.clone();
            change(&mut spec);
            let update =
                Change::UpdateService { id, version: service.version, spec: Box::new(spec) };
            self.settled(self.write(update).await)
        })
        .await;
    }

    /// Has a service's containers be of another image.
    pub async fn update_image(&self, id: ServiceId, image: &str) {
        self.update(id, |spec| {
            let template = Arc::make_mut(&mut spec.task_template);
            template.container_spec.get_or_insert_default().image = image.into();
        })
        .await;
    }

    /// Changes a node's spec.
    ///
    /// # Panics
    /// It is refused.
    pub async fn update_node(&self, name: &str, change: impl Fn(&mut NodeSpec)) {
        let id = self.node(name).id();
        self.soon("the node is changed", async || {
            let node = self.fresh().await.node(id).expect("a node").clone();
            let mut spec = node.spec.clone();
            change(&mut spec);
            self.settled(self.write(Change::UpdateNode { id, version: node.version, spec }).await)
        })
        .await;
    }

    /// A write whose premise was gone is to be tried again.
    fn settled(&self, written: Result<Option<Id>, Refusal>) -> Option<()> {
        match written {
            Ok(_) => Some(()),
            Err(refusal) if refusal == Refusal::out_of_sequence() => None,
            Err(refusal) => panic!("refused: {refusal}"),
        }
    }
}
