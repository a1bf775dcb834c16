//! Addresses that the engine asks for, on behalf of containers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use swarmw_engine_driver::{AddressRequest, Refused};
use swarmw_model::{
    Attachment, AttachmentId, EndpointId, NetworkEndpoint, NetworkId, NetworkNews, NodeId,
};
use tokio::time::Instant;
use tracing::info;

use super::sandboxes::is_namespace;
use super::tidy::PATIENCE;
use super::{Known, Networks};

/// Addresses that the engine has asked for and not given back: each is one container's.
#[derive(Default)]
pub(super) struct Given(Mutex<BTreeMap<(NetworkId, IpAddr), Instant>>);

// === impl Given ===

impl Given {
    /// Whether nobody had it.
    fn give(&self, network: NetworkId, address: IpAddr) -> bool {
        let mut given = self.lock();
        let is_free = !given.contains_key(&(network, address));
        given.insert((network, address), Instant::now());
        is_free
    }

    /// It is free.
    pub(super) fn take_back(&self, network: NetworkId, address: IpAddr) {
        self.lock().remove(&(network, address));
    }

    /// The engine may have ended before it gave one back: those that no container has had
    /// for a while are free.
    pub(super) fn tidy(&self, has: impl Fn(NetworkId, IpAddr) -> bool) {
        let now = Instant::now();
        self.lock().retain(|(network, address), last| {
            if has(*network, *address) {
                *last = now;
            }
            now.duration_since(*last) < PATIENCE
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(NetworkId, IpAddr), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Networks ===

impl Networks {
    /// An address for a container.
    pub(super) async fn address_for_container(
        &self,
        asked: &AddressRequest,
    ) -> Result<IpNet, Refused> {
        let Some(wanted) = asked.wanted else {
            let address = self.attach(asked).await?;
            self.0.given.give(asked.network, address.addr());
            return Ok(address);
        };
        if self.has(asked.network, wanted, true) || !self.0.given.give(asked.network, wanted) {
            return Err(Refused::new(format!(
                "Address already in use: {wanted} is that of another container on this node"
            )));
        }
        // A task's own, which the leader gave with the node: its container is the first to
        // ask for it. Or one of a container that goes on.
        let given = match self.holder(asked.network, wanted) {
            Some((_, address)) => Ok(address),
            None => self.attach(asked).await,
        };
        if given.is_err() {
            self.0.given.take_back(asked.network, wanted);
        }
        given
    }

    async fn attach(&self, asked: &AddressRequest) -> Result<IpNet, Refused> {
        let v6 = asked.pool.addr().is_ipv6();
        let attached = self.0.leader.attach(asked.network, asked.wanted, v6).await;
        let attachment = attached.map_err(Refused::new)?;
        let address = attachment.on.addresses.first().copied();
        let address = address.ok_or_else(|| Refused::new("the leader gave no address"))?;
        self.0.heard.edit(|known| known.expect(self.0.node, &attachment));
        Ok(address)
    }

    /// A container's address is wanted no longer.
    pub(super) async fn give_back(&self, network: NetworkId, address: IpAddr) {
        self.0.given.take_back(network, address);
        // Somebody else's by now.
        if self.has(network, address, false) {
            return;
        }
        if let Some((EndpointId::Attachment(id), _)) = self.holder(network, address) {
            self.detach(id).await;
        }
    }

    pub(super) async fn detach(&self, id: AttachmentId) {
        if self.is_leaving() {
            // With the node.
            return;
        }
        match self.0.leader.detach(id).await {
            // The leader's next word may be late; nobody else is to find it meanwhile.
            Ok(()) => self.take_in(NetworkNews {
                remove_endpoints: vec![EndpointId::Attachment(id)],
                ..Default::default()
            }),
            Err(error) => {
                if self.0.said.leader.is_news(id, &error) {
                    info!(%error, "an address will be given back later");
                }
                return;
            }
        }
        self.0.said.leader.is_over(&id);
    }

    /// Whether a container of this node has an address; `alive`: and may still run.
    pub(super) fn has(&self, network: NetworkId, address: IpAddr, alive: bool) -> bool {
        let all = self.0.memory.endpoints();
        let mut on = all.iter().filter(|endpoint| endpoint.network == network);
        on.any(|endpoint| {
            endpoint.addresses.iter().any(|own| own.addr() == address)
                && (!alive || endpoint.sandbox.as_deref().is_none_or(is_namespace))
        })
    }

    /// Who has an address by the leader's word, where it is somebody of this node that has
    /// not ended.
    fn holder(&self, network: NetworkId, address: IpAddr) -> Option<(EndpointId, IpNet)> {
        let known = self.0.heard.known();
        let ended = self.0.ended.borrow();
        let has_ended = |id| matches!(id, EndpointId::Task(task) if ended.contains(&task));
        let own = known.endpoints.values().filter(|e| e.node == self.0.node);
        let mut own = own.filter(|endpoint| !has_ended(endpoint.id));
        own.find_map(|endpoint| Some((endpoint.id, address_of(endpoint, network, address)?)))
    }
}

// === impl Known ===

impl Known {
    /// A container that the leader has just given an address: it is known at once.
    fn expect(&mut self, node: NodeId, attachment: &Attachment) {
        let id = EndpointId::Attachment(attachment.id);
        self.endpoints.entry(id).or_insert_with(|| NetworkEndpoint {
            id,
            service: None,
            names: attachment.names.clone(),
            node,
            on: vec![attachment.on.clone()],
            serves: true,
            user_space: false,
        });
    }
}

/// An endpoint's address on a network, with its prefix, if it has it.
fn address_of(endpoint: &NetworkEndpoint, network: NetworkId, address: IpAddr) -> Option<IpNet> {
    let on = endpoint.on.iter().filter(|on| on.network == network);
    on.flat_map(|on| &on.addresses).find(|has| has.addr() == address).copied()
}
