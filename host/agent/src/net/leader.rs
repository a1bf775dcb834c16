//! Addresses for containers that no service made: the leader gives them.

use std::net::IpAddr;
use swarmw_model::{Attachment, AttachmentId, Network, NetworkId};
use swarmw_proto::{Channels, pb, wire};

use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// What is said where no leader can be asked.
const NO_LEADER: &str = "no manager of the cluster is reached at the moment, and only the leader \
    gives addresses: try again when `swarmw node ls` answers";

/// The leader, as the node's session knows it.
#[derive(Clone)]
pub(crate) struct Leader {
    address: watch::Receiver<Option<String>>,
    channels: Channels,
}

// === impl Leader ===

impl Leader {
    /// The leader at whatever address the session has at the time.
    pub(crate) fn new(address: watch::Receiver<Option<String>>, channels: Channels) -> Self {
        Self { address, channels }
    }

    /// A container joins a network: with this address, or with any of the family.
    pub(crate) async fn attach(
        &self,
        network: NetworkId,
        wanted: Option<IpAddr>,
        v6: bool,
    ) -> Result<Attachment, String> {
        let request = pb::AttachRequest {
            network: network.to_string(),
            address: wanted.map_or_else(String::new, |address| address.to_string()),
            v6,
        };
        let reply = self.client()?.attach(request).await.map_err(said)?.into_inner();
        wire::decode(&reply.attachment).map_err(|error| error.to_string())
    }

    /// A network, by its id or name.
    pub(crate) async fn find(&self, network: &str) -> Result<Option<Network>, String> {
        let request = pb::NetworkRequest { network: network.to_owned() };
        let reply = self.client()?.find_network(request).await.map_err(said)?.into_inner();
        wire::decode(&reply.network).map_err(|error| error.to_string())
    }

    /// What such a container is found by.
    pub(crate) async fn name(
        &self,
        id: AttachmentId,
        container: String,
        names: Vec<String>,
    ) -> Result<(), String> {
        let request = pb::AttachmentNames { id: id.to_string(), container, names };
        self.client()?.name_attachment(request).await.map_err(said).map(drop)
    }

    /// It has left.
    pub(crate) async fn detach(&self, id: AttachmentId) -> Result<(), String> {
        let request = pb::DetachRequest { id: id.to_string() };
        match self.client()?.detach(request).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            done => done.map_err(said).map(drop),
        }
    }

    fn client(&self) -> Result<pb::dispatcher_client::DispatcherClient<Channel>, String> {
        let address = self.address.borrow().clone().ok_or(NO_LEADER)?;
        let channel = self.channels.get(&address).map_err(said)?;
        Ok(pb::dispatcher_client::DispatcherClient::new(channel))
    }
}

/// The leader's own words, or why there are none.
fn said(status: Status) -> String {
    match status.code() {
        Code::Unavailable => format!("{NO_LEADER} ({})", status.message()),
        _ => status.message().to_owned(),
    }
}
